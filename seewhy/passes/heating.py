"""Heat by several explainers from shared evidence, at the size of the image."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks
from seewhy.passes.budget import Passes
from seewhy.passes.evidence import Evidence
from seewhy.passes.gathering import gather, gathering
from seewhy.passes.run import Need, Unsuitable
from seewhy.types import Batch, Progress, Question


@runtime_checkable
class Explainer(Protocol):
    """A member of the shelf `explainers`. `needs` takes those of the settings of `heat` that it reads."""

    needs: Callable[..., tuple[Need, ...]]
    heat: Callable[..., Tensor]


Methods = Mapping[str, tuple[Explainer, Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class Explained:
    """Heat over the input by method, at the input's size. It may be signed: positive speaks for the answer.

    `passes` is what each method would have cost alone, at most; `evidence.spent` is what all of them did cost.
    `unsuitable` says of the methods that gave no heat why not.
    """

    heat: Mapping[str, Float[Tensor, "batch height width"]]
    evidence: Evidence
    passes: Mapping[str, Passes]
    unsuitable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sketch(Progress):
    """Progress in passes an example, with the `methods` whose evidence just got better: that of samples and paths does
    so step by step."""

    methods: tuple[str, ...]
    draw: Callable[[], Mapping[str, Tensor]]

    @cached_property
    def heat(self) -> Mapping[str, Tensor]:
        """The heat of these methods as it is by now; made when first asked for, before the next step."""
        return self.draw()


def explain(
    network: nn.Module,
    batch: Batch,
    question: Question,
    methods: Methods,
    *,
    budget: str | None = None,
    chunk: int | None = None,
    leave_out: bool = False,
) -> Explained:
    """Answer "where does the network look?" by several methods, each an explainer and its settings, from shared runs.

    The heat lies on the device of the batch. Raises as `gather` does, and Unsuitable where a method cannot look at this
    network, unless `leave_out`: then it is left out, and `unsuitable` says why.
    """
    asked = {name: needs_of(explainer, settings) for name, (explainer, settings) in methods.items()}
    needs = [need for some in asked.values() for need in some]
    evidence = gather(network, batch, question, needs, budget=budget, chunk=chunk)
    return _explained(evidence, batch, question, methods, asked, leave_out=leave_out)


def explaining(
    network: nn.Module,
    batch: Batch,
    question: Question,
    methods: Methods,
    *,
    budget: str | None = None,
    chunk: int | None = None,
    leave_out: bool = False,
) -> Generator[Sketch, None, Explained]:
    """As `explain`, telling after each run how far it is, with the maps as they are by now for whoever wants them."""
    asked = {name: needs_of(explainer, settings) for name, (explainer, settings) in methods.items()}
    needs = [need for some in asked.values() for need in some]
    work = gathering(network, batch, question, needs, budget=budget, chunk=chunk)
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            evidence: Evidence = end.value
            break
        ready = {
            name: methods[name]
            for name, some in asked.items()
            if step.need in some and all(need in step.evidence.gathered for need in some)
        }
        draw = partial(_sketched, step.evidence, batch, question, ready)
        yield Sketch(step.stage, step.done, step.total, step.numbers, step.note, methods=tuple(ready), draw=draw)
    return _explained(evidence, batch, question, methods, asked, leave_out=leave_out)


def _explained(
    evidence: Evidence,
    batch: Batch,
    question: Question,
    methods: Methods,
    asked: Mapping[str, tuple[Need, ...]],
    *,
    leave_out: bool,
) -> Explained:
    heat, unsuitable = _heats(evidence, batch, question, methods, leave_out=leave_out)
    return Explained(heat, evidence, {name: evidence.alone(some) for name, some in asked.items()}, unsuitable)


def needs_of(explainer: Explainer, settings: Mapping[str, Any]) -> tuple[Need, ...]:
    """What an explainer needs with these settings. Raises TypeError where that is nothing that can be gathered."""
    read = inspect.signature(explainer.needs).parameters
    found = tuple(explainer.needs(**{name: value for name, value in settings.items() if name in read}))
    for need in found:
        if not isinstance(need, Need):
            known = ", ".join(sorted(kind.__name__ for kind in Need.__subclasses__()))
            raise TypeError(f"`needs` names {need!r}, which cannot be gathered; there are: {known}")
    return found


def _sketched(evidence: Evidence, batch: Batch, question: Question, methods: Methods) -> Mapping[str, Tensor]:
    return _heats(evidence, batch, question, methods, leave_out=True)[0]


def _heats(
    evidence: Evidence, batch: Batch, question: Question, methods: Methods, *, leave_out: bool
) -> tuple[dict[str, Tensor], dict[str, str]]:
    heat, unsuitable = {}, {}
    for name, (explainer, settings) in methods.items():
        over = batch.inputs[settings["into"]] if "into" in settings else hooks.image(batch.inputs)
        try:
            heat[name] = _fitted(name, explainer.heat(evidence, question, **settings), over)
        except Unsuitable as error:
            if not leave_out:
                raise
            unsuitable[name] = str(error)
    return heat, unsuitable


def _fitted(method: str, heat: Tensor, over: Tensor | None) -> Float[Tensor, "batch height width"]:
    """Heat at the size of the input that it lies over, smoothly enlarged."""
    if over is None or heat.ndim != 3 or len(heat) != len(over):
        was = "no image among the inputs" if over is None else f"{len(over)} images"
        raise ValueError(f"{method!r} gave heat of {tuple(heat.shape)} for {was}; expected batch, height, width")
    heat = heat.detach().to(over.device)
    if heat.shape[1:] == over.shape[2:]:
        return heat
    return functional.interpolate(heat[:, None], size=over.shape[2:], mode="bilinear", align_corners=False)[:, 0]
