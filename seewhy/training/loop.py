"""The one loop: every task and every network is trained here. It tells what happens; it does not call back.

    training = Training(network, task, train_loader, val_loader, Settings(seed=0))
    for progress in training:
        print(progress.done, progress.numbers)

Order, augmentation and mixing are pure functions of (seed, epoch, example id), so a state saved after any step
continues to the same weights, bit for bit on the same machine and thread count. Ranks learn from their part of each
batch and see the sums over all of it, so that each takes the step that one process would.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seewhy import chance, hooks
from seewhy.loading import Loader, joined
from seewhy.processes import ranks
from seewhy.training import adapting, batchnorm, optimising
from seewhy.training.augmenting import augment, scaled
from seewhy.training.computing import Arithmetic, compiled, generators_kept
from seewhy.training.evaluating import evaluate
from seewhy.training.mixing import Mixture, mix, partners
from seewhy.training.settings import Settings
from seewhy.types import Batch, Progress, Task


class Training:
    """One training from its first to its last step; iterate over it. `state` and `restore` make it resumable.

    `notes` are sentences on what was asked for and could not be had.
    """

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
        self.settings, self.device = settings, torch.device(device)
        self.batch = min(settings.batch, len(train))
        self._pieces = _pieces(self.batch, settings.accumulate)
        self.steps_per_epoch = len(train) // self.batch  # the rest of an epoch waits for the next order
        self.steps: int | None = None  # known after calibration
        self.step = 0
        self.best: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.notes: list[str] = []
        self._best_weights: dict[str, Tensor] = {}
        self._sums = {"loss": 0.0, "right": 0.0, "seen": 0.0}
        self._stale = 0
        self._keys = chance.keys(train.dataset.ids)
        self._forward: Callable[..., Any] = network
        self._parameters = list(network.parameters())
        self._arithmetic = Arithmetic(settings.precision, self.device)
        self._average = optimising.Average(network, settings.ema) if settings.ema else None
        self.optimizer = optimising.optimizer(
            network,
            settings.optimizer,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
        )

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the average of the weights, where there is one."""
        return self.network if self._average is None else self._average.network

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end; afterwards the network holds the weights that were best on the validation split."""
        for loader in (self.train, self.validation):
            if loader is not None:
                yield from loader.prepare()
        began = time.perf_counter()
        if self.settings.fine_tune and self.step == 0:
            yield from self.adapt()
        if self.settings.grow_from < 1:
            self._refuse_one_size()
        if self.settings.compile:
            yield Progress("compile", 0, 1)
            self._compile()
        if self.steps is None:
            yield Progress("calibrate", 0, 1)
            self.steps = self._planned_steps(spent=ranks.most(time.perf_counter() - began))
        ranks.as_the_first(self.network.state_dict().values())
        while True:
            if self._validation_is_due():
                yield self._validate()
            if self.step >= self.steps or self._gave_up():
                break
            yield from self._epoch()
        self.network.load_state_dict(self._best_weights or self.judged.state_dict())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a new process needs to go on, as tensors and plain values. Raises FloatingPointError rather than
        give a weight that is not finite."""
        self._refuse_what_is_not_finite()
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best_weights.items()}
        if self._average is not None:
            tensors |= {f"average.{name}": value for name, value in self.judged.state_dict().items()}
        for place, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in entries.items()}
        tensors["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        plain = {"steps": self.steps, "step": self.step, "best": self.best, "history": self.history}
        return tensors, {**plain, "sums": self._sums, "stale": self._stale, "scale": self._arithmetic.state()}

    def restore(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the network, the data and the settings must be the same."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        self._best_weights = under("best.")
        if self._average is not None:
            self._average.network.load_state_dict(under("average."))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in under("optimizer.").items():
            place, _, entry = name.partition(".")
            if value.ndim == 4:  # laid out in memory as the weights are, or each step would be slower from here on
                value = torch.empty_like(parameters[int(place)]).copy_(value)
            entries.setdefault(int(place), {})[entry] = value
        state = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**state, "state": entries})
        torch.set_rng_state(tensors["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self._arithmetic.restore(plain["scale"])
        self.steps, self.step, self._stale = plain["steps"], plain["step"], plain["stale"]
        self.best, self.history, self._sums = dict(plain["best"]), list(plain["history"]), dict(plain["sums"])

    # ------------------------------------------------------------------------------------------- one epoch

    def _epoch(self) -> Iterator[Progress]:
        """From the step reached to the end of its epoch, or of the training."""
        assert self.steps is not None
        epoch, offset = divmod(self.step, self.steps_per_epoch)
        order = self.order(epoch)
        if offset == 0:
            self._sums = {"loss": 0.0, "right": 0.0, "seen": 0.0}
        ahead = order[offset * self.batch :][: (self.steps - self.step) * self.batch]
        began, seen = time.perf_counter(), 0
        for batch in self.train.each(self._mine(ahead)):
            rate = self._rate()
            optimising.set_rate(self.optimizer, rate)
            loss, right = self.learn(batch, epoch)
            self.step += 1
            seen += self.batch
            self._sums["loss"] += loss * self.batch
            self._sums["right"] += right
            self._sums["seen"] += self.batch
            speed = seen / max(time.perf_counter() - began, 1e-9)
            numbers = {**self._so_far(epoch), "learning_rate": rate, "images_per_second": speed}
            yield Progress("train", self.step, self.steps, numbers)

    def order(self, epoch: int) -> list[int]:
        """The places of an epoch's examples, in whole batches."""
        order = chance.order(self._keys, seed=self.settings.seed, epoch=epoch)
        return order[: self.steps_per_epoch * self.batch].tolist()

    def _mine(self, order: Sequence[int]) -> list[list[int]]:
        """Of each batch of this order the places that are this rank's, piece by piece; all of them if it is alone."""
        starts = range(0, len(order), self.batch)
        return [[order[start + place] for _, own in self._pieces for place in own] for start in starts]

    def _so_far(self, epoch: int) -> dict[str, float]:
        """The epoch's running means on the images as they were trained on; what cannot be told is left out."""
        seen = max(self._sums["seen"], 1)
        means = {"loss": self._sums["loss"] / seen, "accuracy": self._sums["right"] / seen}
        return {"epoch": epoch + 1.0, **{name: value for name, value in means.items() if not math.isnan(value)}}

    def learn(self, batch: Batch, epoch: int) -> tuple[float, float]:
        """One step on one batch; the loss and how many were right. No weight moves for a loss that is not finite."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        if ranks.count() > 1:  # dropout differs from rank to rank and follows from the step
            torch.manual_seed(int(chance.keys([f"{self.settings.seed} {self.step} {ranks.number()}"])))
        loss, right = self._gradients(batch, epoch)
        ranks.add_gradients(self._parameters)
        self._arithmetic.unscale(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        # The one time that a step waits for the device.
        mean, count, length = torch.stack([loss, right, norm]).tolist()
        if not math.isfinite(mean) or not (math.isfinite(length) or self._arithmetic.may_overflow()):
            raise FloatingPointError(self._what_is_not_finite(mean, batch))
        self._arithmetic.step(self.optimizer)
        if self._average is not None:
            self._average.update(self.step)
        return mean, count

    def _gradients(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        """Gather the batch's gradients, piece by piece; its loss and how many were right."""
        loss, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        start = 0
        for length, own in self._pieces:
            piece = batch if len(own) == len(batch) else batch.rows(range(start, start + len(own)))
            start += len(own)
            mixture = self._made_ready(piece, epoch)
            with self._arithmetic.autocast(), batchnorm.over_ranks():
                output = self._forward(**mixture.batch.inputs)
            output, mixture = self._of_all_ranks(self._arithmetic.full(output), mixture, length)
            share = mixture.objective(self.task, output) * (length / self.batch)
            self._arithmetic.backward(share)
            with torch.no_grad():
                loss += share
                right += _right(output, mixture)
        return loss, right

    def _of_all_ranks(self, output: Any, mixture: Mixture, length: int) -> tuple[Any, Mixture]:
        """The outputs of the whole piece with all that they are compared with: the images themselves stay where they
        are. So any objective is that of the whole piece, and equal on all ranks."""
        if ranks.count() == 1:
            return output, mixture
        told = ranks.gathered(mixture.batch.with_inputs(image=None).to("cpu"))
        batch = joined(told).to(self.device)
        others = None if mixture.partners is None else partners(batch)
        return ranks.joined(output, length, together=2), replace(mixture, batch=batch, partners=others)

    def _made_ready(self, batch: Batch, epoch: int) -> Mixture:
        """On the device, changed a little, mixed, at the size of this step."""
        how = self.settings
        batch = augment(batch.to(self.device), how.augmentation, seed=how.seed, epoch=epoch)
        mixture = mix(batch, mixup=how.mixup, cutmix=how.cutmix, seed=how.seed, epoch=epoch, step=self.step)
        if how.grow_from == 1:
            return mixture
        assert self.steps is not None
        share = optimising.grown(self.step / self.steps, start=how.grow_from)
        images = scaled(mixture.batch.inputs["image"], share)
        return replace(mixture, batch=mixture.batch.with_inputs(image=images))

    def _validation_is_due(self) -> bool:
        """At the end of an epoch and of the training, once: a state saved between the last step and this has it due."""
        ends = self.step > 0 and (self.step % self.steps_per_epoch == 0 or self.step == self.steps)
        return ends and (not self.history or self.history[-1]["step"] != self.step)

    def _validate(self) -> Progress:
        """Loss and rightness on the validation split; keeps the best weights. A tie goes to the later epoch."""
        self._refuse_what_is_not_finite()
        row = {"step": float(self.step), **self._so_far((self.step - 1) // self.steps_per_epoch)}
        if self.validation is not None and len(self.validation):
            loss, right = evaluate(self.judged, self.validation, self.batch, self.device)
            row |= {"val_loss": loss, "val_accuracy": right}
            if not self.best or (right, -loss) >= (self.best["val_accuracy"], -self.best["val_loss"]):
                self.best, self._best_weights, self._stale = row, copy.deepcopy(self.judged.state_dict()), 0
            else:
                self._stale += 1
        self.history.append(row)
        return Progress("validate", self.step, self.steps, row)

    def _gave_up(self) -> bool:
        return self.settings.patience is not None and self._stale > self.settings.patience

    # ---------------------------------------------------------------------------------- before the first step

    def adapt(self) -> Iterator[Progress]:
        """Statistics and a head for these images. Statistics come in the order of the first epoch: a class at a time
        would not be what training sees."""
        order = self.order(epoch=0)
        rows = range(len(self.train))[ranks.share(len(self.train))]
        ordered, listed = (
            (batch.to(self.device) for batch in batches)
            for batches in (self.train.each(self._mine(order)), self.train.batches(rows, self.batch))
        )
        yield from adapting.adapt_statistics(self.network, ordered, count=len(self.train))
        yield from adapting.fit_head(self.network, self.task, listed, count=len(self.train))

    def _refuse_one_size(self) -> None:
        """Raises ValueError where the network cannot see the smallest images that growing would begin with."""
        images = scaled(self.train.batch(range(2)).to(self.device).inputs["image"], self.settings.grow_from)
        try:
            with hooks.frozen(self.network), torch.inference_mode():
                self.network(image=images)
        except (RuntimeError, ValueError) as error:
            side = f"{images.shape[2]} x {images.shape[3]}"
            raise ValueError(f"The network takes no images of {side} pixels, so they cannot grow: {error}") from error

    def _compile(self) -> None:
        if ranks.count() > 1:
            self.notes.append("Training is not compiled: its ranks share batch normalisation")
            return
        self._forward, why_not = compiled(self.network)
        if why_not:
            self.notes.append(why_not)

    def rehearsal(self) -> Training:
        """A copy at its first step, to try something out on: nothing of this training moves."""
        plain = replace(self.settings, minutes=None, grow_from=1.0)
        return Training(copy.deepcopy(self.network), self.task, self.train, None, plain, self.device)

    def _rate(self) -> float:
        """The learning rate of the coming step."""
        assert self.steps is not None
        how = self.settings
        return how.learning_rate * optimising.scheduled(self.step / self.steps, how.schedule, warm_up=how.warm_up)

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
        with generators_kept(self.device):
            trial = self.rehearsal()
            trial._forward = trial.network if self._forward is self.network else torch.compile(trial.network)
            places = self._mine(range(self.steps_per_epoch * self.batch))
            times: list[float] = []
            while len(times) < 4 or (sum(times) < 2 and len(times) < 30):
                began = time.perf_counter()
                trial.learn(self.train.batch(places[len(times) % len(places)]), epoch=0)
                times.append(ranks.most(time.perf_counter() - began))
            began = time.perf_counter()
            with hooks.frozen(trial.network), torch.inference_mode():
                trial.network(**self.train.batch(places[0]).to(self.device).inputs)
            return sorted(times[1:])[len(times[1:]) // 2], ranks.most(time.perf_counter() - began)

    # -------------------------------------------------------------------------------------------- what is not finite

    def _refuse_what_is_not_finite(self) -> None:
        """A step from finite gradients may still overflow; such weights are neither validated nor kept."""
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise FloatingPointError(
                    f"Training stopped after step {self.step}: {name!r} is no longer finite. {self._advice()}"
                )

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
            f"step before. {self._advice()}"
        )

    def _advice(self) -> str:
        return f"A lower learning rate than {self.settings.learning_rate:g} usually helps."


def _pieces(batch: int, accumulate: int) -> list[tuple[int, range]]:
    """A batch cut into pieces to be learnt from one after the other: each piece's length, and which places of the batch
    this rank has of it. Cuts leave neighbours, which may be mixed, together.

    Raises ValueError where there are not two examples for each rank.
    """
    pairs = batch // 2
    if pairs < ranks.count():
        raise ValueError(f"A batch of {batch} is too small for {ranks.count()} ranks; it needs two images a rank")
    count = min(accumulate, pairs // ranks.count())
    cuts = [2 * (pairs * piece // count) for piece in range(count)] + [batch]
    return [
        (end - start, range(start, end)[ranks.share(end - start, together=2)])
        for start, end in itertools.pairwise(cuts)
    ]


def _right(output: Any, mixture: Mixture) -> Tensor | float:
    """How many of a batch's classes are right; NaN where the output is not one row of class scores an example, and
    where an image has two answers."""
    targets = mixture.batch.targets
    classes = isinstance(output, Tensor) and isinstance(targets, Tensor) and targets.dtype == torch.int64
    if mixture.partners is not None or not classes or output.ndim != 2 or targets.shape != output.shape[:1]:
        return math.nan
    return (output.argmax(1) == targets).sum()
