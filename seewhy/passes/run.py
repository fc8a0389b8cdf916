"""What every kind of evidence works with: a network, a question and the inputs, and how often the network has run."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Hashable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import hooks
from seewhy.passes.budget import SHARE, Budget, Passes, free_bytes
from seewhy.shelf import nearest
from seewhy.types import Batch, Question

#: How many examples, and how many input values, go through the network at once at most: more is no faster.
EXAMPLES_AT_ONCE = 512
VALUES_AT_ONCE = 2**22

#: So much is remembered of one network, for the shapes of input that came last.
MOST_REMEMBERED = 16

Made = TypeVar("Made")
Known = TypeVar("Known")


class Unsuitable(ValueError):
    """This network, or this score, has nothing that the explainer could look at; the message says what is missing."""


class Need(ABC):
    """One kind of evidence with its settings: a frozen dataclass in a file of its own, equal where it asks the same.

    `together` names the needs that come from the same passes, so that their costs are not added up. `traced` says
    whether any of the layers, or how much memory a run takes, is asked for: then the first pass follows them. `scored`
    says whether anybody asks for the score of the unchanged inputs, which is a run where no other pass gives it.
    """

    __slots__ = ()
    together: ClassVar[str] = ""
    traced: ClassVar[bool] = True
    scored: ClassVar[bool] = True

    @abstractmethod
    def passes(self, run: Run) -> Passes:
        """What gathering costs at most, beyond the one forward pass that gives the score of the unchanged inputs."""

    @abstractmethod
    def gather(self, run: Run) -> Iterator[Any]:
        """Better and better evidence; the last is whole. Raises Unsuitable where there can be none."""


class Run:
    """What a kind of evidence gathers with. The network is frozen, and no graph is recorded unless one is asked for.

    `wanted` are all the needs of this gathering, so that one pass can serve several.
    """

    def __init__(
        self,
        network: nn.Module,
        question: Question,
        batch: Batch,
        *,
        wanted: tuple[Need, ...] = (),
        budget: str | None = None,
        chunk: int | None = None,
    ) -> None:
        self.network, self.question, self.rows, self.wanted = network, question, len(batch), wanted
        self.inputs = hooks.placed(network, batch)
        self.budget, self.chunk = Budget.of(budget), chunk
        self.forwards = self.backwards = self.seconds = 0.0
        self.cut_short = False
        self._made: dict[Any, Any] = {}
        self._baseline: Tensor | None = None
        self._layers: list[hooks.Layer] | None = None

    # ------------------------------------------------------------------------------------------------ inputs

    def input(self, name: str) -> Tensor:
        """One of the inputs. Raises KeyError with the nearest name, ValueError where it is no tensor."""
        if name not in self.inputs:
            raise KeyError(f"No input {name!r}. {nearest(name, self.inputs)}There are: {', '.join(self.inputs)}.")
        value = self.inputs[name]
        if not isinstance(value, Tensor):
            raise ValueError(f"The input {name!r} is a {type(value).__name__}, not a tensor; choose another")
        return value

    def image(self, name: str) -> Float[Tensor, "batch channels height width"]:
        """One of the inputs, which must be an image."""
        value = self.input(name)
        if value.ndim != 4 or not value.is_floating_point():
            raise ValueError(
                f"The input {name!r} is {value.dtype} {tuple(value.shape)}; squares can be covered in images only "
                "(batch, channels, height, width)"
            )
        return value

    def leaf(self, name: str) -> Tensor:
        """A copy of one of the inputs, to take a gradient at."""
        value = self.input(name)
        if not value.is_floating_point():
            raise ValueError(f"The input {name!r} holds {value.dtype} and has no gradient; choose another")
        return value.detach().clone().requires_grad_()

    def repeated(self, copies: int, changed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Fresh copies of the inputs, so many times over, one copy after another; those that are given exchanged."""
        others = {name: value for name, value in self.inputs.items() if name not in changed}
        whole = Batch(ids=("",) * self.rows, inputs=others)
        return {**whole.rows([*range(self.rows)] * copies).inputs, **changed}

    # ---------------------------------------------------------------------------------------------- running

    def scores(
        self,
        inputs: Mapping[str, Any],
        copies: int = 1,
        *,
        share: float = 1.0,
        within: AbstractContextManager[Any] | None = None,
    ) -> Float[Tensor, "copies batch"]:
        """The scores of inputs that hold the batch so many times over, one copy after another.

        `share` is the part of a forward pass that this costs, where the trunk is replayed; `within` holds while the
        network runs, and no longer when the question reads its output.
        """
        self.forwards += copies * share
        with within or nullcontext():
            output = hooks.run(self.network, inputs, at=self.question.at)
        return torch.stack([self._score(part) for part in _parted(output, self.rows, copies)])

    def baseline(self) -> Float[Tensor, " batch"]:
        """The scores of the inputs as they are; run once."""
        if self._baseline is None:
            self.unchanged({})
        assert self._baseline is not None
        return self._baseline

    @property
    def known_baseline(self) -> Float[Tensor, " batch"] | None:
        """The same, run only where one of the needs is for it."""
        scored = not self.wanted or any(need.scored for need in self.wanted)
        return self.baseline() if scored else self._baseline

    def learned(self, scores: Float[Tensor, " batch"]) -> None:
        """These are the scores of the inputs as they are, from a pass made for something else as well."""
        if self._baseline is None:
            self._baseline = scores.detach()

    @property
    def layers(self) -> list[hooks.Layer]:
        """What each layer does with such inputs: from the run for `baseline`, or from an earlier one of this network.

        To follow every layer costs more than to run a small one, and what is read here, shapes and shares of the work,
        changes only where a network chooses its way by what it sees. Who must know that asks `unchanged` for `afresh`.
        """
        if self._layers is None:
            self._layers = _followed(self.network, self.inputs)
        if self._layers is None:
            self.unchanged({}, afresh=True)
        assert self._layers is not None
        return self._layers

    def unchanged(self, leaves: Mapping[str, Tensor], *, afresh: bool = False) -> Float[Tensor, " batch"]:
        """The scores of the inputs as they are, with a graph from these leaves, which hold the same values.

        It counts as the run for `baseline`, and for `layers` if any of the needs may read these, or none was named, and
        no earlier run tells of them. `afresh`: it follows the layers in any case.
        """
        traced = afresh or not self.wanted or any(need.traced for need in self.wanted)
        known = None if afresh or not traced else _followed(self.network, self.inputs)
        begun = time.monotonic()
        follow = traced and known is None
        with hooks.tracing(self.network, self.inputs) if follow else nullcontext(known or self._layers) as layers:
            # A network may change its input in place: it gets copies.
            scores = self.scores(self.repeated(1, {name: leaf.clone() for name, leaf in leaves.items()}))[0]
        self.seconds = time.monotonic() - begun
        self._baseline, self._layers = scores.detach(), layers
        if follow and layers is not None:
            modules = tuple(ref(module) for _, module in hooks.modules(self.network))
            remember(_FOLLOWED, self.network, _shapes(self.inputs), _Followed(modules, layers))
        return scores

    def gradients(
        self,
        scores: Float[Tensor, ...],
        tensors: Mapping[str, Tensor],
        *,
        share: float = 1.0,
        unused: Container[str] = (),
    ) -> dict[str, Tensor]:
        """d score / d tensor, each of which is named for the error. `share` of a backward pass is what it costs.

        A tensor that the score does not depend on is an error, or if `unused` holds its name has a gradient of 0.
        Raises Unsuitable where the question is asked at a layer: then the tensor may lie behind it.

        An example's score hangs on that example alone, so the gradient of their sum gives every example its own.
        """
        self.backwards += share
        kind = ValueError if self.question.at is None else Unsuitable
        if not scores.requires_grad:
            raise kind(
                f"The score of {self.question.text!r} has no gradient: nothing differentiable leads from the "
                + " or the ".join(tensors)
            )
        found = torch.autograd.grad(scores, list(tensors.values()), torch.ones_like(scores), allow_unused=True)
        for name, gradient in zip(tensors, found, strict=True):
            if gradient is None and name not in unused:
                raise kind(f"The score of {self.question.text!r} does not depend on the {name}")
        filled = (torch.zeros_like(x) if g is None else g for x, g in zip(tensors.values(), found, strict=True))
        return dict(zip(tensors, filled, strict=True))

    def gradients_at(
        self, name: str, points: Float[Tensor, "copies batch ..."]
    ) -> tuple[Float[Tensor, "copies batch"], Float[Tensor, "copies batch ..."]]:
        """Scores and gradients where one input is exchanged for each of these points; all in one run."""
        copies = len(points)
        leaf = points.detach().flatten(0, 1).requires_grad_()
        with torch.enable_grad():
            scores = self.scores(self.repeated(copies, {name: leaf.clone()}), copies)
        gradient = self.gradients(scores, {f"input {name!r}": leaf}, share=copies)[f"input {name!r}"]
        return scores.detach(), gradient.unflatten(0, (copies, self.rows))

    # -------------------------------------------------------------------------------------- sharing and limits

    def once(self, make: Callable[..., Made], *key: Any) -> Made:
        """`make(run, *key)`, made at the first call and remembered: how several needs share a pass."""
        if (make, key) not in self._made:
            self._made[make, key] = make(self, *key)
        return self._made[make, key]

    def chunks(self, count: int, *, graph: bool = False, cost: float = 1.0) -> Iterator[slice]:
        """So many copies of the batch, in slices that fit into memory; fewer where the budget ends before.

        `graph` says that gradients will be taken, for which all activations are kept; `cost` is what a copy costs in
        passes.
        """
        size, start = max(1, self.rows_at_once(graph=graph) // self.rows), 0
        while start < count:
            affordable = count if cost == 0 else int(min(self.left / cost, count))
            size_now = min(size, count - start, affordable)
            if size_now < 1 or (start and self.out_of_budget()):
                self.cut_short = True
                return
            yield slice(start, start + size_now)
            start += size_now

    def out_of_budget(self) -> bool:
        """Whether the time or the passes are spent."""
        return self.budget.spent(self.forwards + self.backwards)

    @property
    def left(self) -> float:
        """Passes that the budget leaves."""
        return self.budget.passes - self.forwards - self.backwards

    def rows_at_once(self, *, graph: bool = False) -> int:
        """How many examples fit into the memory that is free, by what the layers put out for those of the batch."""
        if self.chunk is not None:
            return self.chunk
        values = max((value[0].numel() for value in self.inputs.values() if isinstance(value, Tensor)), default=1)
        fitting = int(SHARE * free_bytes(self.device) / max(1, self.bytes_an_example(graph=graph)))
        return max(1, min(EXAMPLES_AT_ONCE, VALUES_AT_ONCE // max(1, values), fitting))

    def bytes_an_example(self, *, graph: bool) -> int:
        """Memory that one example takes on its way: the widest layers, or with a graph all of them."""
        weight = next(iter(self.network.parameters()), torch.zeros(0))
        sizes = [torch.Size(layer.shape).numel() * layer.uses for layer in self.layers]
        values = 2 * sum(sizes) if graph else 4 * max(sizes, default=0)
        return values * weight.element_size() // self.rows

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next((x.device for x in self.inputs.values() if isinstance(x, Tensor)), torch.device("cpu"))

    @property
    def spent(self) -> Passes:
        """What it cost so far."""
        return Passes(self.forwards, self.backwards)

    # ---------------------------------------------------------------------------------------------- within

    def _score(self, output: Any) -> Tensor:
        score = self.question.score(output)
        if not isinstance(score, Tensor) or score.shape != (self.rows,) or not score.is_floating_point():
            was = f"{score.dtype} {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
            raise ValueError(
                f"The question {self.question.text!r} scored {was}; "
                f"it must give one floating-point number an example, here {self.rows}"
            )
        return score


# ------------------------------------------------------------------------------------------ layers, once followed


@dataclass(frozen=True, eq=False)
class _Followed:
    """The modules that a network had, and what they did."""

    modules: tuple[ref[nn.Module], ...]
    layers: list[hooks.Layer]


#: By network, and by the shapes of its inputs.
_FOLLOWED: WeakKeyDictionary[nn.Module, dict[Hashable, _Followed]] = WeakKeyDictionary()


def _shapes(inputs: Mapping[str, Any]) -> Hashable:
    return tuple((name, tuple(x.shape)) for name, x in inputs.items() if isinstance(x, Tensor))


def _followed(network: nn.Module, inputs: Mapping[str, Any]) -> list[hooks.Layer] | None:
    """What the layers did in an earlier run with inputs of these shapes, if they are still the same modules."""
    known = _FOLLOWED.get(network, {}).get(_shapes(inputs))
    if known is None:
        return None
    now = hooks.modules(network)
    same = len(now) == len(known.modules) and all(r() is m for r, (_, m) in zip(known.modules, now, strict=True))
    return known.layers if same else None


def remember(
    memory: MutableMapping[nn.Module, dict[Hashable, Known]], network: nn.Module, key: Hashable, value: Known
) -> None:
    """Keep something of a network, instead of what was kept first where that is much."""
    known = memory.setdefault(network, {})
    if len(known) >= MOST_REMEMBERED:
        known.pop(next(iter(known)))
    known[key] = value


# -------------------------------------------------------------------------------------------------------- outputs


def _parted(output: Any, rows: int, copies: int) -> Iterator[Any]:
    """An output for `copies` batches of `rows` examples, as an output for each."""
    if copies == 1:
        yield output
        return
    for start in range(0, rows * copies, rows):
        yield _rows(output, slice(start, start + rows), rows * copies)


def _rows(output: Any, chosen: slice, total: int) -> Any:
    """Some examples of an output: of its tensors with an entry an example, and of its lists with one."""
    if isinstance(output, Mapping):
        build: Any = type(output)
        return build({name: _rows(value, chosen, total) for name, value in output.items()})
    if isinstance(output, (list, tuple)) and len(output) == total:
        stacked = all(isinstance(entry, Tensor) and entry.shape[:1] == (total,) for entry in output)
        return hooks.mapped(output, lambda x: x[chosen]) if stacked else output[chosen]
    return hooks.mapped(output, lambda x: x[chosen] if x.shape[:1] == (total,) else x)
