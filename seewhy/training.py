"""The one loop: every task and every network is trained here. It tells what happens; it does not call back.

    training = Training(network, task, train_loader, val_loader, Settings(seed=0))
    for progress in training:
        print(progress.done, progress.numbers)

Order and augmentation are pure functions of (seed, epoch, example id), so a state saved after any step continues to
the same weights, bit for bit on the same machine and thread count.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seewhy import chance
from seewhy.augmenting import NONE, Augmentation, augment
from seewhy.loading import Loader
from seewhy.types import Batch, Progress, Task


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. `steps` wins over `epochs`; `minutes` lowers either, once, before the first step.

    `head_first` is the share of the steps in which only the last linear layer learns, `trunk_rate` the learning rate
    of everything below it as a share of the head's: both are for networks that bring weights along.
    """

    epochs: float = 20
    steps: int | None = None
    minutes: float | None = None
    batch: int = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"
    warm_up: float = 0.1
    weight_decay: float = 0.05
    clip: float = 1.0
    head_first: float = 0.0
    trunk_rate: float = 1.0
    patience: int | None = None
    augmentation: Augmentation = field(default=NONE)
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs > 0,
            "steps": self.steps is None or self.steps >= 1,
            "minutes": self.minutes is None or self.minutes > 0,
            "batch": self.batch >= 2,
            "learning_rate": self.learning_rate > 0,
            "warm_up": 0 <= self.warm_up < 1,
            "head_first": 0 <= self.head_first < 1,
            "clip": self.clip > 0,
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"Training setting {name} is {getattr(self, name)}, which is out of range")


class Training:
    """One training from its first to its last step; iterate over it. `state` and `restore` make it resumable."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        train: Loader,
        validation: Loader | None,
        settings: Settings,
        device: str | torch.device = "cpu",
    ) -> None:
        if len(train) < 2:
            raise ValueError(f"{train.dataset.name!r} has {len(train)} training examples; training needs at least 2")
        self.network = network.to(device)
        self.task, self.train, self.validation = task, train, validation
        self.settings, self.device = settings, device
        self.batch = min(settings.batch, len(train))
        self.steps_per_epoch = len(train) // self.batch  # the rest of an epoch waits for the next order
        self.steps: int | None = None  # known after calibration
        self.step = 0
        self.best: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self._best_weights: dict[str, Tensor] = {}
        self._sums = {"loss": 0.0, "right": 0.0, "seen": 0.0}
        self._stale = 0
        self._keys = chance.keys(train.dataset.ids)
        self._head = _head(network)
        self._trunk_learns: bool | None = None
        self._optimizer = _optimizer(network, self._head, settings)

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end; afterwards the network holds the weights that were best on the validation split."""
        for loader in (self.train, self.validation):
            if loader is not None:
                yield from loader.prepare()
        if self.steps is None:
            yield Progress("calibrate", 0, 1)
            self.steps = self._planned_steps()
        try:
            while True:
                if self._validation_is_due():
                    yield self._validate()
                if self.step >= self.steps or self._gave_up():
                    break
                yield from self._epoch()
        finally:
            self._let_trunk_learn(True)
            self._trunk_learns = None
        if self._best_weights:
            self.network.load_state_dict(self._best_weights)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a new process needs to go on, as tensors and plain values."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best_weights.items()}
        for place, entries in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in entries.items()}
        tensors["random"] = torch.get_rng_state()
        plain = {"steps": self.steps, "step": self.step, "best": self.best, "history": self.history}
        return tensors, {**plain, "sums": self._sums, "stale": self._stale}

    def restore(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the network, the data and the settings must be the same."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        self._best_weights = under("best.")
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in under("optimizer.").items():
            place, _, entry = name.partition(".")
            entries.setdefault(int(place), {})[entry] = value
        state = self._optimizer.state_dict()
        self._optimizer.load_state_dict({**state, "state": entries})
        torch.set_rng_state(tensors["random"])
        self.steps, self.step, self._stale = plain["steps"], plain["step"], plain["stale"]
        self.best, self.history, self._sums = dict(plain["best"]), list(plain["history"]), dict(plain["sums"])

    # ------------------------------------------------------------------------------------------- one epoch

    def _epoch(self) -> Iterator[Progress]:
        """From the step reached to the end of its epoch, or of the training."""
        assert self.steps is not None
        epoch, offset = divmod(self.step, self.steps_per_epoch)
        order = chance.order(self._keys, seed=self.settings.seed, epoch=epoch).tolist()
        if offset == 0:
            self._sums = {"loss": 0.0, "right": 0.0, "seen": 0.0}
        ahead = order[offset * self.batch : self.steps_per_epoch * self.batch]
        began, seen = time.perf_counter(), 0
        for batch in self.train.batches(ahead[: (self.steps - self.step) * self.batch], self.batch):
            rate = self._rates()
            loss, right = self._learn(batch, epoch)
            self.step += 1
            seen += len(batch)
            self._sums["loss"] += loss * len(batch)
            self._sums["right"] += right
            self._sums["seen"] += len(batch)
            speed = seen / max(time.perf_counter() - began, 1e-9)
            numbers = {**self._so_far(epoch), "learning_rate": rate, "images_per_second": speed}
            yield Progress("train", self.step, self.steps, numbers)

    def _so_far(self, epoch: int) -> dict[str, float]:
        """The epoch's running means on the augmented training images."""
        seen = max(self._sums["seen"], 1)
        return {"epoch": epoch + 1, "loss": self._sums["loss"] / seen, "accuracy": self._sums["right"] / seen}

    def _learn(self, batch: Batch, epoch: int) -> tuple[float, float]:
        """One step on one batch; the loss and how many were right. No weight moves for a loss that is not finite."""
        self._let_trunk_learn(not self._only_head())
        batch = augment(batch.to(self.device), self.settings.augmentation, seed=self.settings.seed, epoch=epoch)
        output = self.network(**batch.inputs)
        loss = self.task.objective(output, batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise FloatingPointError(self._what_is_not_finite(float(loss.detach()), batch))
        self._optimizer.step()
        with torch.no_grad():
            right = (output.argmax(1) == batch.targets).sum().item() if isinstance(output, Tensor) else math.nan
        return float(loss.detach()), right

    def _validation_is_due(self) -> bool:
        """At the end of an epoch and of the training, once: a state saved between the last step and this has it due."""
        ends = self.step > 0 and (self.step % self.steps_per_epoch == 0 or self.step == self.steps)
        return ends and (not self.history or self.history[-1]["step"] != self.step)

    def _validate(self) -> Progress:
        """Loss and rightness on the validation split; keeps the best weights. A tie goes to the later epoch."""
        row = {"step": float(self.step), **self._so_far((self.step - 1) // self.steps_per_epoch)}
        if self.validation is not None and len(self.validation):
            loss, right = evaluate(self.network, self.validation, self.batch, self.device)
            row |= {"val_loss": loss, "val_accuracy": right}
            if not self.best or (right, -loss) >= (self.best["val_accuracy"], -self.best["val_loss"]):
                self.best, self._best_weights, self._stale = row, copy.deepcopy(self.network.state_dict()), 0
            else:
                self._stale += 1
        self.history.append(row)
        return Progress("validate", self.step, self.steps, row)

    def _gave_up(self) -> bool:
        return self.settings.patience is not None and self._stale > self.settings.patience

    # ------------------------------------------------------------------------------------ rates and budgets

    def _rates(self) -> float:
        """Set the learning rates for the coming step; returns the head's."""
        assert self.steps is not None
        rate = self.settings.learning_rate * scheduled(self.step / self.steps, self.settings)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        return rate

    def _only_head(self) -> bool:
        return self._head is not None and self.step < self.settings.head_first * (self.steps or 0)

    def _let_trunk_learn(self, learns: bool) -> None:
        """While the head learns alone, nothing below it moves, not even the averages of a batch normalisation."""
        if learns == self._trunk_learns:
            return
        self._trunk_learns = learns
        self.network.train(learns)
        for name, parameter in self.network.named_parameters():
            in_head = self._head is not None and name.startswith(f"{self._head}.")
            parameter.requires_grad_(learns or in_head)

    def _planned_steps(self) -> int:
        """How many steps: from steps or epochs, lowered to what fits into the minutes. Measured once, on a copy."""
        settings = self.settings
        steps = settings.steps or max(1, round(settings.epochs * self.steps_per_epoch))
        if settings.minutes is None:
            return steps
        whole, head = self._seconds_a_step(only_head=False), self._seconds_a_step(only_head=True)
        step = settings.head_first * head + (1 - settings.head_first) * whole
        if self.validation is not None:  # a validation pass costs about what the head's steps cost, an epoch
            step += head * len(self.validation) / self.batch / self.steps_per_epoch
        return max(1, min(steps, int(settings.minutes * 60 / step)))

    def _seconds_a_step(self, only_head: bool) -> float:
        """The median time of a few steps on a copy of the network, so that nothing is learnt and no state moves."""
        with torch.random.fork_rng(devices=[]):
            throwaway = replace(self.settings, minutes=None, head_first=0.99 if only_head else 0.0)
            trial = Training(copy.deepcopy(self.network), self.task, self.train, None, throwaway, self.device)
            trial.steps = 1_000_000
            times: list[float] = []
            while len(times) < 4 or (sum(times) < 2 and len(times) < 30):
                began = time.perf_counter()
                start = (len(times) % self.steps_per_epoch) * self.batch
                trial._learn(self.train.batch(range(start, start + self.batch)), epoch=0)
                times.append(time.perf_counter() - began)
        return sorted(times[1:])[len(times[1:]) // 2]

    def _what_is_not_finite(self, loss: float, batch: Batch) -> str:
        layers = [
            name.rpartition(".")[0]
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
        ]
        where = f"the gradient of {layers[-1]!r} is not finite" if layers else f"the loss is {loss}"
        named = ", ".join(batch.ids[:5]) + (" …" if len(batch) > 5 else "")
        return (
            f"Training stopped before step {self.step + 1}: {where} (batch of {named}). The weights are those of the "
            f"step before. A lower learning rate than {self.settings.learning_rate:g} usually helps."
        )


def scheduled(progress: float, settings: Settings) -> float:
    """The learning rate at a share `progress` of the training, as a share of the largest.

    cosine: linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983);
    one-cycle: up for 30 %, down to zero (Smith 2018, https://arxiv.org/abs/1803.09820); constant: after the warm-up, 1.
    """
    warm_up = 0.3 if settings.schedule == "one-cycle" else settings.warm_up
    if progress < warm_up:
        return (progress + 0.01) / (warm_up + 0.01)
    if settings.schedule == "constant":
        return 1.0
    rest = (progress - warm_up) / (1 - warm_up)
    return 1 - rest if settings.schedule == "one-cycle" else 0.5 * (1 + math.cos(math.pi * rest))


def evaluate(network: nn.Module, loader: Loader, batch: int, device: str | torch.device) -> tuple[float, float]:
    """Mean loss and mean rightness over a loader's labelled rows, in evaluation mode; the mode is put back."""
    was_training = network.training
    network.eval()
    losses, rights, seen = 0.0, 0.0, 0
    with torch.inference_mode():
        for chunk in loader.batches(range(len(loader)), batch):
            moved = chunk.to(device)
            output = network(**moved.inputs)
            loss = loader.task.loss(output, moved)
            losses += (
                float(loss.nansum()) if loss is not None else float(loader.task.objective(output, moved)) * len(chunk)
            )
            for answer, target in zip(
                loader.task.decode(output), loader.dataset.targets[seen : seen + len(chunk)], strict=True
            ):
                rights += loader.task.right(answer, target)
            seen += len(chunk)
    network.train(was_training)
    return losses / seen, rights / seen


def _head(network: nn.Module) -> str | None:
    """The name of the last linear layer, which a new set of classes replaces."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1] if names else None


def _optimizer(network: nn.Module, head: str | None, settings: Settings) -> torch.optim.Optimizer:
    """Groups by (head or trunk) and (weight or not): vectors such as biases and normalisation scales do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        in_head = head is not None and name.startswith(f"{head}.")
        groups.setdefault((in_head, parameter.ndim > 1), []).append(parameter)
    listed = [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            "share": 1.0 if in_head else settings.trunk_rate,
        }
        for (in_head, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(listed, lr=settings.learning_rate, betas=(0.9, 0.99))
