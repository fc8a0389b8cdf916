"""Which layers and units carry the effect of a change?

The image is changed, and the activation of a layer, or of some of its units, is exchanged for what it is without the
change, or the other way round (`seewhy/tables/_mediation.py` has the formulas). What a mediator carries is its total
indirect effect, as a share of the total; the interaction is what it does only together with the rest. Everything is
read on the log-odds of the true class, image by image, with an interval from drawing images anew (BCa bootstrap). The
units are chosen on other images than those they are measured on, and stand beside as many units drawn at random.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from seewhy import shelf
from seewhy.statistics import intervals
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Tables
from seewhy.wording import counted, listed, percent, quoted

pillar: Pillar = "cause"

SOURCE = (
    "Pearl 2001, https://arxiv.org/abs/1301.2300; Robins and Greenland 1992; Vig and others 2020, "
    "https://arxiv.org/abs/2004.12265"
)
MIXED = "An exchange mixes two states of the network; the mixture may be one that no image brings about."
ONE_CHANGE = "It is said of this one change; another may go another way."


class Mediator(NamedTuple):
    """One thing that was exchanged, and the log-odds in the four corners; `stays` is 1 where the answer changes even
    with it held."""

    what: str
    layer: str
    units: tuple[int, ...]
    before: Float[np.ndarray, " images"]
    after: Float[np.ndarray, " images"]
    held: Float[np.ndarray, " images"]
    carried: Float[np.ndarray, " images"]
    stays: Float[np.ndarray, " images"]

    @property
    def name(self) -> str:
        """For a table."""
        if self.what == "layer":
            return self.layer
        told = ", ".join(map(str, self.units))
        return {"unit": f"unit {told}", "units": f"units {told}", "random": f"at random: {told}"}[self.what]

    @property
    def effects(self) -> list[float]:
        """Direct, pure indirect, total indirect and interaction, in nats."""
        direct, pure, total = (float(np.mean(end - self.before)) for end in (self.held, self.carried, self.after))
        return [direct, pure, total - direct, total - direct - pure]

    def share(self, level: float, seed: int, draws: int, less: Mediator | None = None) -> Estimate:
        """Total indirect effect over total effect; less that of another mediator."""
        parts = self.after - self.held
        if less is not None:
            parts = parts - (less.after - less.held)
        total = self.after - self.before

        def ratio(rows: np.ndarray) -> float:
            whole = float(total[rows].sum())
            return float(parts[rows].sum()) / whole if whole else 0.0

        value = ratio(np.arange(len(total)))
        low, high = intervals.bootstrap(ratio, len(total), seed=seed, draws=draws, level=level)
        return Estimate(value, min(low, value), max(high, value), level, len(total))


def needs(
    *, intervention: str = "background", layer: str | None = None, units: int = 5, images: int = 200, **settings: Any
) -> tuple[Need, ...]:
    return (_need(intervention, layer, units, images), Need("baseline"))


def _need(intervention: str, layer: str | None, units: int, images: int) -> Need:
    name, strength, settings = shelf.called(intervention)
    change = {"intervention": name, "strength": strength, "settings": settings}
    return Need("units", **change, layer=layer, units=units, images=images)


def check(
    tables: Tables,
    *,
    intervention: str = "background",
    layer: str | None = None,
    units: int = 5,
    images: int = 200,
    level: float = 0.95,
    draws: int = 1000,
) -> Iterator[Finding]:
    """Layers at which ways meet, then the `units` that carry most in `layer`, or in the last one before the answer.

    `intervention`: a name on the shelf, perhaps with a strength and settings, as "jpeg_compression:3"; `images`: how
    many, of which one half chooses and the other measures.
    """
    table: pa.Table = tables[_need(intervention, layer, units, images)]
    told = json.loads(table.schema.metadata[b"told"])
    mediators = list(_mediators(table))
    total = next(each for each in mediators if each.what == "total")
    common: dict[str, Any] = {
        "audit": "mediation",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {
            "intervention": told["change"],
            "layer": told["layer"],
            "units": units,
            "screened": told["screened"],
            "images": images,
            "level": level,
            "draws": draws,
            "passes": told["passes"],
        },
    }
    low, high = intervals.mean_interval(total.after - total.before, level, unseen=intervals.UNSEEN_LOGODDS)
    effect = Estimate(float(np.mean(total.after - total.before)), low, high, level, len(total.before))
    if len(mediators) == 1 or not (effect.low > 0 or effect.high < 0):
        yield _nothing(told, effect, common)
        return
    yield _layers(told, [each for each in mediators if each.what == "layer"], total, effect, draws, common)
    yield _units(told, mediators, effect, draws, common)


def _mediators(table: pa.Table) -> Iterator[Mediator]:
    """The rows by mediator, in the order in which they come."""
    rows: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    columns = {name: table.column(name).to_pylist() for name in ("what", "layer", "units")}
    for row, (what, layer, units) in enumerate(zip(*columns.values(), strict=True)):
        rows.setdefault((what, layer, tuple(units)), []).append(row)
    numbers = [table.column(name).to_numpy() for name in ("before", "after", "held", "carried")]
    stays = table.column("moved_held").to_numpy(zero_copy_only=False).astype(float)
    for (what, layer, units), here in rows.items():
        before, after, held, carried = (each[here] for each in numbers)
        yield Mediator(what, layer, units, before, after, held, carried, stays[here])


def _moves(effect: Estimate) -> str:
    """How far the log-odds move."""
    level, low, high = f"{100 * effect.confidence_level:.4g} %", *(round(end, 2) + 0.0 for end in effect[1:3])
    return f"{_nats(effect.value)} ({level} interval {low:.2f} to {high:.2f}, {counted(effect.n, 'image')})"


def _nats(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f} nats"  # + 0.0: never "-0.00"


def _nothing(told: dict[str, Any], effect: Estimate, common: dict[str, Any]) -> Finding:
    statement = (
        f"Changing {told['changes']} does not clearly move the log-odds of the true class, {_moves(effect)}, so there "
        f"is no effect to divide among layers and units."
    )
    return Finding(id="mediation:units", statement=statement, found=False, unit="nats", **effect._asdict(), **common)


def _layers(
    told: dict[str, Any],
    layers: list[Mediator],
    total: Mediator,
    effect: Estimate,
    draws: int,
    common: dict[str, Any],
) -> Finding:
    """Which of the layers at which ways meet carries most; in a chain all carry all."""
    ways = [each for each in layers if each.layer != told["layer"]]
    changes = told["changes"]
    moved = (
        f"The whole effect, with {changes} changed: {percent(float(total.stays.mean()))} of the answers become others, "
        f"and the log-odds of the true class move by {_moves(effect)}."
    )
    if not ways:
        last = layers[-1].share(effect.confidence_level, common["seed"], draws)
        statement = (
            f"No two ways meet in this network, so that all of what changing {changes} does goes through every layer: "
            f"{percent(last.value)} through {quoted(told['layer'])}, on {counted(effect.n, 'image')}."
        )
        best, value = layers[-1], last
    else:
        corrected = 1 - (1 - effect.confidence_level) / len(ways)
        shares = [each.share(corrected, common["seed"], draws) for each in ways]
        place = int(np.argmax([share.value for share in shares]))
        best, value = ways[place], shares[place]._replace(confidence_level=effect.confidence_level)
        more = ", more than all, for other ways work against it" if value.value > 1.05 else ""
        statement = (
            f"Of what changing {changes} does to {counted(effect.n, 'image')}, {value} goes through "
            f"{quoted(best.layer)}, the most of {counted(len(ways), 'layer')} at which ways through the network "
            f"meet{more}."
        )
    return Finding(
        id="mediation:layers",
        statement=statement,
        found=True,
        unit="share of the effect",
        **value._asdict(),
        evidence=(_table("What goes through which layer: effects in nats", layers, effect, common["seed"], draws),),
        doubts=(moved, MIXED, ONE_CHANGE, intervals.INDEPENDENT),
        **common,
    )


def _units(
    told: dict[str, Any], mediators: list[Mediator], effect: Estimate, draws: int, common: dict[str, Any]
) -> Finding:
    """Whether a few units carry more than as many others."""
    level, seed = effect.confidence_level, common["seed"]
    single = [each for each in mediators if each.what == "unit"]
    chosen = next(each for each in mediators if each.what == "units")
    random = next((each for each in mediators if each.what == "random"), None)
    share = chosen.share(level, seed, draws)
    named = listed([str(unit) for unit in chosen.units], 8)
    one = len(chosen.units) == 1
    whose = f"{'unit' if one else 'units'} {named} of the {told['channels']:,} in {quoted(told['layer'])}"
    if random is None:
        found, beside = share.low > 0, "there are too few others to compare them with"
    else:
        found = chosen.share(level, seed, draws, less=random).low > 0
        beside = f"as many drawn at random carry {percent(random.share(level, seed, draws).value)}"
    begin, comma = ("The", "") if found else ("No few units carry it: the likeliest,", ",")
    statement = (
        f"{begin} {whose}{comma} {'carries' if one else 'carry'} {share} of what changing {told['changes']} does to "
        f"{counted(effect.n, 'image')}; {beside}."
    )
    rows = [_bar(each, level, seed, draws) for each in [*single, chosen, *([random] if random else [])]]
    doubts = [MIXED, ONE_CHANGE, "They were chosen on other images than they are measured on.", intervals.INDEPENDENT]
    if told["screened"] < told["channels"]:
        doubts.insert(
            2, f"Of {told['channels']:,} units {told['screened']} were tried, by a first guess from gradients."
        )
    return Finding(
        id="mediation:units",
        statement=statement,
        found=found,
        unit="share of the effect",
        **share._asdict(),
        evidence=(
            {"kind": "bars", "title": f"What goes through which units of {told['layer']}", "unit": "share"}
            | {"rows": rows, "reference": None},
            _table("Effects through units, in nats", [*single, chosen, *([random] if random else [])], effect, seed, 0),
        ),
        doubts=tuple(doubts),
        **common,
    )


def _bar(mediator: Mediator, level: float, seed: int, draws: int) -> dict[str, Any]:
    share = mediator.share(level, seed, draws)
    return {"name": mediator.name, "value": share.value, "low": share.low, "high": share.high, "n": share.n}


def _table(title: str, mediators: list[Mediator], effect: Estimate, seed: int, draws: int) -> dict[str, Any]:
    """All effects of each mediator; with `draws` also its share of the effect."""
    columns = ["through", "direct", "pure indirect", "total indirect", "interaction"]
    columns += ["of the effect"] if draws else []
    rows = []
    for each in mediators:
        row: list[Any] = [each.name, *(round(value, 3) + 0.0 for value in each.effects)]  # + 0.0: never "-0.0"
        if draws:
            share = each.share(effect.confidence_level, seed, draws)
            row.append(f"{percent(share.value)} ({percent(share.low)[:-2]} to {percent(share.high)})")
        rows.append([*row, float(each.stays.mean())])
    return {"kind": "table", "title": title, "columns": [*columns, "share that changes with it held"], "rows": rows}
