"""A network and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from seewhy.types import Preprocessing


@dataclass(frozen=True, eq=False)
class Built:
    """What `networks.find` gives.

    `name` and `settings`, which are plain values, find the network again. `preprocessing` is how it wants its images,
    None where any size will do; `class_names` are those of its own head, None under a new one.
    """

    module: nn.Module
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    pretrained: bool = False
