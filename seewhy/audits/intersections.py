"""Does it fail where two groups meet?

A network may be alike for women and men, and for young and old, and fail on young women. Groups of two tags (`depth`)
are crossed; each of the cells of five images or more is tested against all other images, exactly (Fisher, one-sided),
with Holm's correction over all cells. Cells are small, so the share shown for each is drawn towards the others' the
more, the fewer images it has (partial pooling), and beside it stands what its two groups alone would lead to expect.
A cell is serious from 10 points below the others, moderate from 5, minor below that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seewhy import wording
from seewhy.statistics import differences, grouping, intervals, significance
from seewhy.statistics.grouping import Groups
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, percent, points, quoted

pillar: Pillar = "fair"

#: So many tags are crossed if none is named; so many cells are shown.
MOST_TAGS, SHOWN = 6, 30
SOURCE = "Fisher's exact test, Holm 1979; partial pooling (Daniels 1999)"
SOURCE_OF_UNITS = "cluster-robust t test (Liang and Zeger 1986), Holm 1979; partial pooling (Daniels 1999)"


class Cell(NamedTuple):
    """Rows in which groups meet: how many are right, p against the rest, and what the groups alone would give."""

    name: str
    members: Int[np.ndarray, " members"]
    hits: float
    pooled: Estimate
    expected: float
    p: float

    @property
    def n(self) -> int:
        return len(self.members)


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables,
    *,
    tags: tuple[str, ...] | None = None,
    unit: str | None = None,
    level: float = 0.95,
    least: int = 5,
    depth: int = 2,
) -> Iterator[Finding]:
    """A summary, and one Finding a cell that is clearly worse. `least`: images, or units of the tag `unit`, in a cell;
    `depth`: up to how many tags are crossed."""
    predictions = tables.baseline
    grouping.check(tags or (), predictions)
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    right, units = predictions["right"][rows], grouping.units(predictions, unit, rows)
    asked = tags or tuple(tag for tag in predictions.tags if tag != unit)[:MOST_TAGS]
    made = {tag: groups for tag in asked if (groups := grouping.by(predictions, tag, rows)) is not None}
    common: dict[str, Any] = {
        "audit": "intersections",
        "pillar": pillar,
        "unit": "difference of shares",
        "seed": tables.seed,
        "source": SOURCE if units is None else SOURCE_OF_UNITS,
        "settings": {"unit": unit, "level": level, "least": least, "depth": depth},
    }
    cells = _cells(made, right, units, level, least, depth)
    if len(cells) < 2:
        why = f"it takes two tags that make groups; there {'is' if len(made) == 1 else 'are'} {len(made)}"
        if len(made) > 1:
            why = f"not enough data, for fewer than two cells have {counted(least, 'image')} or more"
        statement = f"Groups were not crossed: {why}."
        yield Finding(id="intersections:all", statement=statement, n=len(rows), **common)
        return
    adjusted = significance.holm([cell.p for cell in cells])
    cells = sorted((cell._replace(p=float(p)) for cell, p in zip(cells, adjusted, strict=True)), key=_rank)
    worse = [cell for cell in cells if cell.p < 1 - level]
    yield _summary(tables, cells, worse, right, units, level, common)
    for cell in worse:
        yield _worse(tables, cell, rows, right, units, level, len(cells), common)


def _cells(
    made: dict[str, Groups],
    right: np.ndarray,
    units: Int[np.ndarray, " rows"] | None,
    level: float,
    least: int,
    depth: int,
) -> list[Cell]:
    """Every cell that is large enough, of every crossing of 2 to `depth` tags; p not yet corrected."""
    found = []
    mean = float(right.mean()) if len(right) else 0.0
    for crossing in itertools.chain(*(itertools.combinations(made, many) for many in range(2, depth + 1))):
        crossed = grouping.crossed({tag: made[tag] for tag in crossing})
        sizes, hits = crossed.sizes, np.bincount(crossed.place, weights=right, minlength=len(crossed.names))
        pooled = intervals.pooled(hits, sizes, level)
        binary = intervals.is_binary(right)
        exact = significance.against_rest(hits.astype(np.int64), sizes)[0] if binary and units is None else None
        members = np.split(np.argsort(crossed.place, kind="stable"), np.cumsum(sizes)[:-1])
        alone = {tag: _means(made[tag], right) for tag in crossing}
        for place, name in enumerate(crossed.names):
            here = members[place]
            if not least <= (sizes[place] if units is None else len(np.unique(units[here]))) < len(right):
                continue
            expected = sum(alone[tag][made[tag].place[here[0]]] - mean for tag in crossing) + mean
            value, low_end, high_end = (float(column[place]) for column in pooled)
            estimate = Estimate(value, low_end, high_end, level, int(sizes[place]))
            p = _of_units(right, here, units) if exact is None else float(exact[place])
            found.append(Cell(name, here, float(hits[place]), estimate, float(np.clip(expected, 0, 1)), p))
    return found


def _means(groups: Groups, right: np.ndarray) -> np.ndarray:
    return np.bincount(groups.place, weights=right, minlength=len(groups.names)) / np.maximum(groups.sizes, 1)


def _of_units(right: np.ndarray, here: np.ndarray, units: np.ndarray | None) -> float:
    inside = np.zeros(len(right), dtype=bool)
    inside[here] = True
    return significance.lower_than_rest(right, inside, np.arange(len(right)) if units is None else units)


def _rank(cell: Cell) -> tuple[float, float, str]:
    return cell.p, cell.pooled.value, cell.name


def _rest(cell: Cell, right: np.ndarray) -> float:
    return float((right.sum() - cell.hits) / (len(right) - cell.n))


def _summary(
    tables: Tables,
    cells: list[Cell],
    worse: list[Cell],
    right: np.ndarray,
    units: np.ndarray | None,
    level: float,
    common: dict[str, Any],
) -> Finding:
    first = cells[0]
    gap = _gap(first, right, units, 1 - (1 - level) / len(cells), level)
    lowest = (
        f"{quoted(first.name)}, right on {percent(first.hits / first.n)} of {counted(first.n, 'image')} "
        f"against {percent(_rest(first, right))} of the others ({wording.p_value(first.p)})"
    )
    many = counted(len(cells), "cell")
    if worse:
        statement = f"Of {many} in which groups meet, {len(worse):,} {'is' if len(worse) == 1 else 'are'} clearly "
        statement += f"worse than the rest; most clearly {lowest}."
    else:
        typical = sorted(cell.n for cell in cells)[len(cells) // 2]
        visible = differences.smallest_gap(
            len(right) - typical, typical, float(right.mean()), 1 - 2 * (1 - level) / len(cells)
        )
        unseen = f"; in a cell of {counted(typical, 'image')} a gap below about {points(visible)} would stay unseen"
        statement = f"None of {many} in which groups meet is clearly worse than the rest; the lowest is {lowest}"
        statement += f"{unseen if visible == visible else ''}."
    columns = ["cell", "images", "share right", "share right, pooled", "low", "high", "share expected", "p"]
    rows = [
        [cell.name, cell.n, cell.hits / cell.n, *cell.pooled[:3], cell.expected, cell.p] for cell in cells[: 2 * SHOWN]
    ]
    return Finding(
        id="intersections:all",
        statement=statement,
        found=bool(worse),
        **gap._asdict(),
        evidence=(
            _bars(cells, right),
            {"kind": "table", "title": "Where groups meet", "columns": columns, "rows": rows},
        ),
        doubts=(
            "Pooled shares hold the truth at their level on average over the cells; a cell unlike all others is drawn "
            "to them.",
            *((intervals.INDEPENDENT,) if units is None else ()),
        ),
        **common,
    )


def _gap(cell: Cell, right: np.ndarray, units: np.ndarray | None, wider: float, level: float) -> Estimate:
    """The rest less the cell, its interval at another level than it is said to have, for the cell was chosen."""
    inside = np.zeros(len(right), dtype=bool)
    inside[cell.members] = True
    rest, here = (
        intervals.rate(right[chosen], wider, None if units is None else units[chosen]) for chosen in (~inside, inside)
    )
    gap = differences.between(rest, here)
    return gap._replace(confidence_level=level)


def _worse(
    tables: Tables,
    cell: Cell,
    rows: np.ndarray,
    right: np.ndarray,
    units: np.ndarray | None,
    level: float,
    cells: int,
    common: dict[str, Any],
) -> Finding:
    gap = _gap(cell, right, units, 1 - (1 - level) / cells, level)
    share = cell.hits / cell.n
    severity: Severity = "serious" if gap.value >= 0.1 else "moderate" if gap.value >= 0.05 else "minor"
    wrong = rows[cell.members[right[cell.members] < 0.5]][:12]
    below = cell.expected - share
    alone = (
        f"{points(below)} below what its groups alone would lead to expect"
        if below > 0.005
        else "no more than its groups alone would lead to expect"
    )
    return Finding(
        id=f"intersections:{cell.name}",
        statement=f"The network is worse for {quoted(cell.name)}: right on {percent(share)} of "
        f"{counted(cell.n, f'{tables.split} image'.strip())} against {percent(_rest(cell, right))} of the others, "
        f"a gap of {gap.in_points}, {wording.p_value(cell.p)}; that is {alone}.",
        found=True,
        **gap._asdict(),
        severity=severity,
        examples=tuple(tables.baseline["id"][wrong]),
        doubts=("A gap does not say why: the cell may hold other classes, or more wrong labels.",),
        mitigation=f"Add training images of {quoted(cell.name)}; then audit again.",
        **common,
    )


def _bars(cells: list[Cell], right: np.ndarray) -> dict[str, Any]:
    shown = sorted(cells, key=lambda cell: cell.pooled.value)[:SHOWN]
    rows = [
        {"name": cell.name, "value": of.value, "low": of.low, "high": of.high, "n": of.n}
        for cell in shown
        for of in (cell.pooled,)
    ]
    note = f" (the {SHOWN} lowest of {len(cells):,})" if len(cells) > SHOWN else ""
    return {
        "kind": "bars",
        "title": f"How often it is right where groups meet, small cells drawn to the others{note}",
        "unit": "share",
        "rows": rows,
        "reference": {"name": "all images", "value": float(right.mean())},
    }
