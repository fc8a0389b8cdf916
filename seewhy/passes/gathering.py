"""The fewest runs of a network that give all the evidence asked for, and what they will cost."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from seewhy import hooks
from seewhy.passes.budget import Passes
from seewhy.passes.evidence import Evidence, whole_cost
from seewhy.passes.run import Need, Run, Unsuitable
from seewhy.types import Batch, Progress, Question, finished


@dataclass(frozen=True, slots=True)
class Forecast:
    """What gathering will cost at most: passes an example, and for the batch seconds and bytes of activations; `costs`
    are the passes of each need. What this network is unsuitable for, as far as that is known, costs nothing."""

    passes: Passes
    seconds: float
    bytes: int
    costs: Mapping[Need, Passes] = field(default_factory=dict)

    def alone(self, needs: Iterable[Need]) -> Passes:
        """What some of the needs will cost by themselves, at most."""
        return whole_cost({need: self.costs[need] for need in needs if need in self.costs})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Progress):
    """Progress in passes an example, with the evidence as it is by now; `need` is what just got better."""

    evidence: Evidence
    need: Need | None = None


def gather(
    network: nn.Module,
    batch: Batch,
    question: Question,
    needs: Iterable[Need],
    *,
    budget: str | None = None,
    chunk: int | None = None,
) -> Evidence:
    """The evidence for all the needs, with the fewest runs; the network is left as it was, errors included.

    `budget` is a time or a number of passes ("2 s", "300 forwards"): what is cheap is gathered first, what is adaptive
    or a sample ends where the budget does, what is left is absent. `chunk` is how many examples go through the network
    at once where there are many; by default as many as fit into memory. Whole batches are kept together, for a question
    may hold one answer an example. Raises KeyError or ValueError where a need cannot be met: no such input or layer, an
    input without gradient, a score that is not one number an example. A need that this network is unsuitable for is no
    error: it is absent, and says why.
    """
    with _looking(network):  # once, for nobody else sees the network in between
        return finished(_steps(network, batch, question, needs, budget=budget, chunk=chunk))


def gathering(
    network: nn.Module,
    batch: Batch,
    question: Question,
    needs: Iterable[Need],
    *,
    budget: str | None = None,
    chunk: int | None = None,
) -> Generator[Gathered, None, Evidence]:
    """As `gather`, telling after each run how far it is, with the evidence so far.

    Between two steps the network is what it was: whoever iterates may stop, or use it.
    """
    work = _steps(network, batch, question, needs, budget=budget, chunk=chunk)
    while True:
        with _looking(network):
            try:
                step = next(work)
            except StopIteration as end:
                return end.value
        yield step


def _steps(
    network: nn.Module,
    batch: Batch,
    question: Question,
    needs: Iterable[Need],
    *,
    budget: str | None,
    chunk: int | None,
) -> Generator[Gathered, None, Evidence]:
    """`gathering`, for whoever holds the network frozen while a step is made."""
    if not len(batch):
        raise ValueError("There are no examples to explain: the batch is empty")
    wanted = tuple(dict.fromkeys(needs))
    run = Run(network, question, batch, wanted=wanted, budget=budget, chunk=chunk)
    gathered: dict[Need, Any] = {}
    partial: set[Need] = set()
    costs, absent = _costs(wanted, run)
    total = round(whole_cost(costs).total)
    # One pass for gradients gives the baseline too, so these come first, then what is cheap.
    for need in sorted(costs, key=lambda need: (not need.together, costs[need].total)):
        if gathered and run.out_of_budget():
            absent[need] = _out_of_budget(need)
            continue
        run.cut_short = False
        work = need.gather(run)
        while True:
            try:
                gathered[need] = next(work)
                so_far = Evidence(dict(gathered), run.known_baseline, run.spent, dict(absent), frozenset(partial))
            except StopIteration:
                break
            except Unsuitable as error:
                absent[need] = str(error)
                break
            yield Gathered(
                "gather", round(run.spent.total), total, note=type(need).__name__, evidence=so_far, need=need
            )
        if run.cut_short and need not in gathered:
            absent[need] = _out_of_budget(need)
        partial |= {need} if run.cut_short and need in gathered else set()
    found = {need: gathered[need] for need in wanted if need in gathered}
    return Evidence(found, run.known_baseline, run.spent, absent, frozenset(partial), costs)


def forecast(network: nn.Module, batch: Batch, question: Question, needs: Iterable[Need]) -> Forecast:
    """What `gather` will cost, from one run of the network on this batch, which is timed."""
    wanted = tuple(dict.fromkeys(needs))
    run = Run(network, question, batch, wanted=wanted)
    with _looking(network):
        costs, _ = _costs(wanted, run)
        if not run.seconds:  # where the layers are known, costs took no run that could be timed
            run.unchanged({})
        passes = whole_cost(costs)
        graph = any(cost.backwards for cost in costs.values())
        rows = max(run.rows, run.rows_at_once(graph=graph) if passes.total > 2 else 0)
        return Forecast(passes, passes.total * run.seconds, rows * run.bytes_an_example(graph=graph), costs)


def _costs(needs: Iterable[Need], run: Run) -> tuple[dict[Need, Passes], dict[Need, str]]:
    """What each need costs, at most, beyond the run that gives the baseline; and why some cannot be had."""
    costs: dict[Need, Passes] = {}
    absent: dict[Need, str] = {}
    for need in needs:
        try:
            costs[need] = need.passes(run)
        except Unsuitable as error:
            absent[need] = str(error)
    return costs, absent


def _out_of_budget(need: Need) -> str:
    return f"The budget was spent before there were {type(need).__name__}"


@contextmanager
def _looking(network: nn.Module) -> Iterator[None]:
    """The network frozen and no graph recorded, whatever mode the caller is in."""
    with hooks.frozen(network), hooks.sooner(network), torch.inference_mode(False), torch.no_grad():
        yield
