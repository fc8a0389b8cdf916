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

from seewhy import chance, hooks
from seewhy.augmenting import NONE, Augmentation, augment
from seewhy.loading import Loader
from seewhy.types import Batch, Progress, Task


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. `steps` wins over `epochs`; `minutes` lowers either, once, before the first step.

    `fine_tune` is for networks that bring weights along: first batch normalisation gets the statistics of these images
    and the last linear layer is fitted to the frozen rest, so that a head made at random does not spoil
    what is below it.
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
    fine_tune: bool = False
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
            "clip": self.clip > 0,
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"Training setting {name} is {getattr(self, name)}, which is out of range")


#: How strongly the weights of a head that is fitted first are pulled to zero, on standardised features.
HEAD_PENALTY = 1e-3


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
        self._optimizer = _optimizer(network, settings)

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end; afterwards the network holds the weights that were best on the validation split."""
        for loader in (self.train, self.validation):
            if loader is not None:
                yield from loader.prepare()
        began = time.perf_counter()
        if self.settings.fine_tune and self.step == 0:
            yield from self._adapt_statistics()
            yield from self._fit_head()
        if self.steps is None:
            yield Progress("calibrate", 0, 1)
            self.steps = self._planned_steps(spent=time.perf_counter() - began)
        while True:
            if self._validation_is_due():
                yield self._validate()
            if self.step >= self.steps or self._gave_up():
                break
            yield from self._epoch()
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
        self.network.train()
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
            right = _right(output, batch.targets)
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
            group["lr"] = rate
        return rate

    def _planned_steps(self, *, spent: float) -> int:
        """How many steps: from steps or epochs, lowered to what fits into the minutes. Measured once, on a copy."""
        settings = self.settings
        steps = settings.steps or max(1, round(settings.epochs * self.steps_per_epoch))
        if settings.minutes is None:
            return steps
        learning, looking = self._seconds_a_batch()
        if self.validation is not None:
            learning += looking * len(self.validation) / self.batch / self.steps_per_epoch
        return max(1, min(steps, int((settings.minutes * 60 - spent) / learning)))

    def _seconds_a_batch(self) -> tuple[float, float]:
        """The median time of a step, and the time of a forward pass alone, on a copy of the network, so that nothing is
        learnt and no state moves."""
        with torch.random.fork_rng(devices=[]):
            throwaway = replace(self.settings, minutes=None)
            trial = Training(copy.deepcopy(self.network), self.task, self.train, None, throwaway, self.device)
            times: list[float] = []
            while len(times) < 4 or (sum(times) < 2 and len(times) < 30):
                began = time.perf_counter()
                start = (len(times) % self.steps_per_epoch) * self.batch
                trial._learn(self.train.batch(range(start, start + self.batch)), epoch=0)
                times.append(time.perf_counter() - began)
            began = time.perf_counter()
            with hooks.frozen(trial.network), torch.inference_mode():
                trial.network(**self.train.batch(range(self.batch)).to(self.device).inputs)
            return sorted(times[1:])[len(times[1:]) // 2], time.perf_counter() - began

    def _adapt_statistics(self) -> Iterator[Progress]:
        """Give batch normalisation the mean statistics of the training images in place of those it came with: one
        forward pass an example (Li et al. 2016, https://arxiv.org/abs/1603.04779)."""
        norms = [module for module in self.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        if not norms:
            return
        seen = 0
        try:
            with hooks.frozen(self.network), torch.no_grad():
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum, norm.training = None, True  # None: the plain mean over all batches
                for batch in self.train.batches(self._first_order(), self.batch):
                    self.network(**batch.to(self.device).inputs)
                    seen += len(batch)
                    yield Progress("adapt", seen, len(self.train))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum, norm.training = momentum, self.network.training

    def _first_order(self) -> list[int]:
        """The order of the first epoch, in whole batches: a class at a time would not be what training sees."""
        order = chance.order(self._keys, seed=self.settings.seed, epoch=0).tolist()
        return order[: self.steps_per_epoch * self.batch]

    def _fit_head(self) -> Iterator[Progress]:
        """Fit the last linear layer to what the rest makes of the training images, as they are: one forward pass an
        example, then regularised logistic regression by L-BFGS on standardised features. Fine-tuning from there
        distorts less (Kumar et al. 2022, https://arxiv.org/abs/2202.10054)."""
        head = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]
        features: list[Tensor] = []
        batches: list[Batch] = []
        keep = head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
        try:
            for batch in self.train.batches(range(len(self.train)), self.batch):
                with hooks.frozen(self.network), torch.no_grad():
                    self.network(**batch.to(self.device).inputs)
                batches.append(batch.to(self.device).with_inputs(image=None))
                yield Progress("head", sum(map(len, batches)), len(self.train))
        finally:
            keep.remove()
        x = torch.cat(features)  # examples, width
        whole = replace(batches[0], targets=torch.cat([batch.targets for batch in batches]))
        mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
        weight = torch.zeros_like(head.weight, requires_grad=True)
        bias = torch.zeros(len(head.weight), device=x.device, requires_grad=True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")
        x = (x - mean) / std

        def loss() -> Tensor:
            solver.zero_grad()
            value = self.task.objective(x @ weight.T + bias, whole) + HEAD_PENALTY / 2 * weight.square().sum()
            value.backward()
            return value

        solver.step(loss)
        with torch.no_grad():
            head.weight.copy_(weight / std)
            if head.bias is not None:
                head.bias.copy_(bias - (weight / std) @ mean)

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


def _right(output: Any, targets: Any) -> float:
    """How many of a batch's classes are right; NaN where the output is not one row of class scores an example."""
    classes = isinstance(output, Tensor) and isinstance(targets, Tensor) and targets.dtype == torch.int64
    if not classes or output.ndim != 2 or targets.shape != output.shape[:1]:
        return math.nan
    return float((output.argmax(1) == targets).sum())


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Vectors, such as biases and the scales of a normalisation, do not decay."""
    parameters = list(network.parameters())
    listed = [
        {"params": [entry for entry in parameters if entry.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [entry for entry in parameters if entry.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(listed, lr=settings.learning_rate, betas=(0.9, 0.99))
