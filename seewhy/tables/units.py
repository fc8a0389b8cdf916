"""Through which layers and units does the effect of a change go?

Units are chosen on one half of the images and measured on the other, beside as many units drawn at random: whoever
chooses and measures on the same images always finds something.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from seewhy import chance, hooks, interventions
from seewhy.loading import Loader
from seewhy.statistics import intervals
from seewhy.tables import Subject, Unavailable, _mediation
from seewhy.tables._mediation import Recorded
from seewhy.tables.intervention import changing
from seewhy.types import Batch, Progress

#: How many images are in work at once: all that runs before the layers is held for them, twice.
CHUNK = 32
#: Fewer labelled images are not divided into two halves.
LEAST = 20
#: The four corners, as columns: see `mediation`.
CORNERS = ("before", "after", "held", "carried")


def make(
    subject: Subject,
    *,
    intervention: str,
    strength: float | None = None,
    settings: tuple[tuple[str, Any], ...] = (),
    layer: str | None = None,
    units: int = 5,
    screened: int = 32,
    images: int = 200,
    count: int | None = 500,
) -> Generator[Progress, None, pa.Table]:
    """One row a mediator and image: the log-odds of the true class in each of CORNERS, and `moved_...`, whether another
    answer is given there than before.

    `what` is "total" (nothing exchanged), "layer" (a whole one), "unit", "units" (the chosen ones together) or "random"
    (as many others). Only rows of "total" where the effect is not clearly other than zero. `layer` None is the last
    before the linear one that answers; `screened` of its units are tried one by one, those that a first guess puts
    first. `images` labelled ones of the sample of `count` are used. The schema's metadata tells layer and passes.
    """
    change = interventions.Change(intervention, strength, settings)
    loader = subject.loader("test", count)
    yield from loader.prepare()
    places = _labelled(loader, images, subject.settings.seed)
    if len(places) < LEAST:
        raise Unavailable(f"it takes {LEAST} test images with a label, and there are {len(places)}")
    subject.model.network.to(subject.device)
    work = _Work(subject, loader, (yield from changing(subject, change, loader)))
    with hooks.frozen(subject.model.network):
        at, ways = _layers(work, places, layer)
        half = len(places) // 2
        chosen = yield from _choose(work, places[:half], at, units, screened)
        if chosen:
            yield from _measure(work, places[half:], at, ways, chosen)
    told = {
        "change": str(change),
        "changes": change.module.changes,
        "layer": work.name(at),
        "channels": _mediation.channels(at),
        "screened": min(screened, _mediation.channels(at)),
        "ways": [work.name(each) for each in ways],
        "passes": round(work.passes, 1),
    }
    return pa.Table.from_pylist(work.rows).replace_schema_metadata({"told": json.dumps(told)})


@dataclass(eq=False)
class _Work:
    """What every step needs; the rows so far; and how often the network ran, in whole passes of one image."""

    subject: Subject
    loader: Loader
    change: Callable[[Batch], Batch]
    rows: list[dict[str, Any]] = field(default_factory=list)
    passes: float = 0.0
    answers: dict[Any, int] = field(default_factory=dict)

    def batch(self, places: Sequence[int]) -> Batch:
        return self.loader.batch(places).to(self.subject.device)

    def read(self, output: Any, batch: Batch) -> Tensor:
        """batch x 2: the log-odds of the true class, and a number for the answer."""
        task = self.subject.model.task
        logodds = task.logodds_true(output, batch)
        if logodds is None:
            raise Unavailable("answers of this kind have no log-odds")
        codes = [self.answers.setdefault(str(answer.value), len(self.answers)) for answer in task.decode(output)]
        return torch.stack([logodds, torch.tensor(codes, dtype=logodds.dtype, device=logodds.device)], 1)

    def pairs(
        self, places: Sequence[int], layers: Sequence[hooks.Layer]
    ) -> Iterator[tuple[Recorded, Recorded, Progress]]:
        """Some images at a time, without the change and with it."""
        network = self.subject.model.network
        for start in range(0, len(places), CHUNK):
            batch = self.batch(places[start : start + CHUNK])
            before = _mediation.recorded(network, batch, layers, self.read)
            after = _mediation.recorded(network, self.change(batch), layers, self.read)
            self.passes += 2 * len(batch)
            yield before, after, Progress("units", start + len(batch), len(places))

    def exchange(
        self, before: Recorded, after: Recorded, layer: hooks.Layer, mediators: Sequence[Sequence[int] | None]
    ) -> _mediation.Mediated:
        self.passes += 2 * len(mediators) * len(before.batch) * (1 - layer.done)
        return _mediation.mediated(self.subject.model.network, before, after, layer, mediators, self.read)

    def name(self, layer: hooks.Layer) -> str:
        """As the user's own network names it."""
        return layer.name.removeprefix("body.")

    def add(self, ids: Sequence[str], what: str, layer: str, units: Sequence[int], corners: Sequence[Tensor]) -> None:
        """The rows of one mediator, from its corners, each batch x 2."""
        first = corners[0][:, 1]
        numbers = {name: corner[:, 0].tolist() for name, corner in zip(CORNERS, corners, strict=True)}
        moved = {f"moved_{name}": (c[:, 1] != first).tolist() for name, c in zip(CORNERS[1:], corners[1:], strict=True)}
        columns = {**numbers, **moved}
        self.rows += [
            {"id": id, "what": what, "layer": layer, "units": [*map(int, units)]}
            | {name: values[row] for name, values in columns.items()}
            for row, id in enumerate(ids)
        ]

    def add_total(self, before: Recorded, after: Recorded) -> None:
        """The rows of the whole effect: with nothing exchanged, all of it comes past."""
        corners = (before.numbers, after.numbers, after.numbers, before.numbers)
        self.add(before.batch.ids, "total", "", (), corners)


def _labelled(loader: Loader, images: int, seed: int) -> list[int]:
    """The places of at most so many labelled images, drawn by their ids."""
    order = chance.order(chance.keys(loader.dataset.ids), seed=seed, epoch=0).tolist()
    return [place for place in order if loader.dataset.targets[place] is not None][:images]


def _layers(work: _Work, places: Sequence[int], name: str | None) -> tuple[hooks.Layer, tuple[hooks.Layer, ...]]:
    """The layer whose units are looked at, and the layers at which ways meet. Raises Unavailable for a name that is not
    there."""
    network, first = work.subject.model.network, work.batch(places[:2])
    try:
        at = _mediation.last_layer(network, first) if name is None else _mediation.named_layer(network, first, name)
    except (KeyError, ValueError) as error:
        raise Unavailable(str(error.args[0]).rstrip(".")) from error
    work.passes += 3
    return at, tuple(each for each in _mediation.ways(network, first) if each.name != at.name)


def _choose(
    work: _Work, places: Sequence[int], at: hooks.Layer, units: int, screened: int
) -> Generator[Progress, None, list[int]]:
    """The units that carry most of the effect on these images, the first first; none where there is no clear effect,
    whose rows are then added."""
    network, pairs = work.subject.model.network, list[tuple[Recorded, Recorded]]()
    candidates: list[int] = []
    totals, carried = [], []
    for before, after, progress in work.pairs(places, [at]):
        yield progress
        if not candidates:  # the first images are enough for a guess
            guess = _mediation.attributed(network, before, after, at, work.read).mean(0)
            work.passes += 4 * len(before.batch) * (1 - at.done)
            candidates = guess.abs().argsort(descending=True, stable=True)[:screened].tolist()
        found = work.exchange(before, after, at, [[unit] for unit in candidates])
        totals.append(found.total[:, 0])
        carried.append(found.total_indirect[:, :, 0])
        pairs.append((before, after))
    total = torch.cat(totals).double().cpu().numpy()
    low, high = intervals.mean_interval(total, unseen=intervals.UNSEEN_LOGODDS)
    if not (low > 0 or high < 0):  # also where nothing changes at all
        for before, after in pairs:
            work.add_total(before, after)
        return []
    each = torch.cat(carried, 1).mean(1).double().cpu().numpy() * np.sign(total.mean())
    return [candidates[place] for place in np.argsort(-each, kind="stable")[:units]]


def _measure(
    work: _Work, places: Sequence[int], at: hooks.Layer, ways: Sequence[hooks.Layer], chosen: Sequence[int]
) -> Generator[Progress, None, None]:
    """The rows of layers, of the chosen units one by one and together, and of as many others."""
    network_units = _mediation.channels(at)
    drawn = chance.order(chance.keys(list(map(str, range(network_units)))), seed=work.subject.settings.seed, epoch=1)
    others = sorted([unit for unit in drawn.tolist() if unit not in chosen][: len(chosen)])
    of_units = [("unit", [unit]) for unit in chosen] + [("units", list(chosen))]
    of_units += [("random", others)] if len(others) == len(chosen) else []
    for before, after, progress in work.pairs(places, [at, *ways]):
        yield progress
        work.add_total(before, after)
        asked = [(layer, [("layer", None)]) for layer in ways] + [(at, [("layer", None), *of_units])]
        for layer, mediators in asked:
            found = work.exchange(before, after, layer, [units for _, units in mediators])
            for place, (what, units) in enumerate(mediators):
                corners = (found.before, found.after, found.held[place], found.carried[place])
                work.add(before.batch.ids, what, work.name(layer), units or (), corners)
