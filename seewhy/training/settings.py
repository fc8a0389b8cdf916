"""How is a network trained? Every choice of the loop, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from seewhy.training.augmenting import NONE, Augmentation
from seewhy.training.computing import Precision


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. `steps` wins over `epochs`; `minutes` lowers either, once, before the first step.

    `fine_tune` is for networks that bring weights along: first batch normalisation gets the statistics of these images
    and the last linear layer is fitted to the frozen rest, so that a head made at random does not spoil
    what is below it. docs/training.md says of each what it costs and when it helps.
    """

    epochs: float = 20
    steps: int | None = None
    minutes: float | None = None
    batch: int = 64
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    layer_decay: float = 1.0
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"
    warm_up: float = 0.1
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.0
    fine_tune: bool = False
    patience: int | None = None
    augmentation: Augmentation = field(default=NONE)
    mixup: float = 0.0
    cutmix: float = 0.0
    grow_from: float = 1.0
    precision: Precision = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs > 0,
            "steps": self.steps is None or self.steps >= 1,
            "minutes": self.minutes is None or self.minutes > 0,
            "batch": self.batch >= 2,
            "accumulate": self.accumulate >= 1,
            "learning_rate": self.learning_rate > 0,
            "layer_decay": 0 < self.layer_decay <= 1,
            "warm_up": 0 <= self.warm_up < 1,
            "clip": self.clip > 0,
            "ema": 0 <= self.ema < 1,
            "mixup": 0 <= self.mixup < math.inf,
            "cutmix": 0 <= self.cutmix < math.inf,
            "grow_from": 0 < self.grow_from <= 1,
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"Training setting {name} is {getattr(self, name)}, which is out of range")
