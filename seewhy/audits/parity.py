"""Are groups treated alike: chosen, recognised and wrongly taken for something as often?

For each class against the rest, by group: how often it is answered (demographic parity), recognised (equal
opportunity), recognised or wrongly given (equalised odds), and right when answered (predictive parity). Each group of
ten images or more that could count is tested against all others, exactly (Fisher, two-sided), with Holm's correction
over tags, classes, rates and groups. Groups whose labels differ cannot be alike in all of these at once: which of them
is owed is for people to say. So a difference in how often a class is answered is minor; any other is serious from 10
points, moderate from 5, minor below that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seewhy import wording
from seewhy.statistics import calibration, differences, grouping, intervals, metrics, significance
from seewhy.statistics.grouping import Groups
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "fair"

#: What is tested. The other rates are these less one another.
TESTED = ("selection rate", "true positive rate", "false positive rate", "precision")
#: Up to how many classes are asked about, the most frequent first; so many classes are shown in full.
MOST_CLASSES, SHOWN = 30, 3
SOURCE = "Fisher's exact test, Holm 1979; Newcombe 1998; Hardt, Price and Srebro 2016"
SOURCE_OF_UNITS = "cluster-robust t test (Liang and Zeger 1986), Holm 1979; Hardt, Price and Srebro 2016"


class Table(NamedTuple):
    """Labelled rows by group of one tag, and the counts of each class (groups x classes)."""

    tag: str
    groups: Groups
    counts: metrics.Counts


class Rows(NamedTuple):
    """The labelled rows: places of classes, and the units they belong to."""

    rows: Int[np.ndarray, " rows"]
    names: tuple[str, ...]
    target: Int[np.ndarray, " rows"]
    answer: Int[np.ndarray, " rows"]
    units: Int[np.ndarray, " rows"] | None


class Difference(NamedTuple):
    """One rate of one class in one group beside the rate in all other groups, and p that they are alike."""

    table: Table
    rate: str
    group: int
    column: int
    p: float


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables,
    *,
    tags: tuple[str, ...] | None = None,
    unit: str | None = None,
    level: float = 0.95,
    least: int = 10,
) -> Iterator[Finding]:
    """One Finding a tag. `least`: images that could count, in a group that is tested."""
    predictions = tables.baseline
    grouping.check(tags or (), predictions)
    common: dict[str, Any] = {
        "audit": "parity",
        "pillar": pillar,
        "unit": "difference of shares",
        "seed": tables.seed,
        "source": SOURCE if unit is None else SOURCE_OF_UNITS,
        "settings": {"unit": unit, "level": level, "least": least},
    }
    known = _labelled(predictions, unit)
    asked = [tag for tag in tags or predictions.tags if tag != unit]
    made = [] if isinstance(known, str) else [each for tag in asked if (each := _table(predictions, known, tag))]
    if isinstance(known, str) or not made:
        why = known if isinstance(known, str) else "no tag makes groups"
        yield Finding(id="parity:(none)", statement=f"How groups are treated was not compared: {why}.", n=0, **common)
        return
    found = [each for table in made for each in _differences(table, known, least)]
    adjusted = significance.holm([each.p for each in found])
    found = [each._replace(p=float(p)) for each, p in zip(found, adjusted, strict=True)]
    for table in made:
        here = sorted((each for each in found if each.table is table), key=lambda each: each.p)
        if here:
            yield _judged(tables, known, here, len(found), level, common)
        else:
            statement = f"There is not enough data to compare how groups by {quoted(table.tag)} are treated."
            yield Finding(id=f"parity:{table.tag}", statement=statement, n=len(known.rows), **common)


def _labelled(predictions: Predictions, unit: str | None) -> Rows | str:
    """The rows with a label, or why there is nothing to count."""
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    if not intervals.is_binary(predictions["right"][rows]) or predictions.parts is not None:
        return "answers can be partly right, so are no classes"
    targets = predictions["target"][rows]
    names = tuple(dict.fromkeys([*predictions.classes, *targets]))
    target, answer = metrics.codes(targets, names), metrics.codes(predictions["answer"][rows], names)
    if len(np.unique(target)) < 2:
        return "fewer than two classes occur among the labels"
    frequent = np.argsort(-np.bincount(target, minlength=len(names)), kind="stable")[:MOST_CLASSES]
    kept = tuple(names[place] for place in frequent)
    return Rows(rows, kept, *_only(target, answer, frequent, len(names)), grouping.units(predictions, unit, rows))


def _only(
    target: Int[np.ndarray, " rows"], answer: Int[np.ndarray, " rows"], frequent: Int[np.ndarray, " kept"], names: int
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """The places among the most frequent classes; all other classes share the place after them."""
    to = np.full(names + 1, len(frequent))
    to[frequent] = np.arange(len(frequent))
    return to[target], to[answer]


def _table(predictions: Predictions, known: Rows, tag: str) -> Table | None:
    groups = grouping.by(predictions, tag, known.rows)
    if groups is None:
        return None
    classes = len(known.names) + 1
    counts = metrics.counts(known.target, known.answer, groups.place, len(groups.names), classes)
    return Table(tag, groups, metrics.Counts(*(cells[:, :-1] for cells in counts)))


def _differences(table: Table, known: Rows, least: int) -> list[Difference]:
    """Every group against the rest, by class and rate, p not yet corrected. Of two groups one stands for both."""
    found = []
    for rate in TESTED:
        some, of = (cells.T.copy() for cells in metrics.RATES[rate](table.counts))  # classes, groups
        enough = of >= least
        some[~enough], of[~enough] = 0, 0
        low, high = significance.against_rest(some, of)
        p = np.minimum(2 * np.minimum(low, high), 1.0)
        enough &= enough.sum(1, keepdims=True) > 1
        enough &= (enough.sum(1, keepdims=True) > 2) | (np.cumsum(enough, axis=1) == 1)
        for column, group in np.argwhere(enough).tolist():
            chance = float(p[column, group]) if known.units is None else _of_units(table, known, rate, group, column)
            found.append(Difference(table, rate, group, column, chance))
    return found


def _of_units(table: Table, known: Rows, rate: str, group: int, column: int) -> float:
    counts, event = _counting(known, rate, column)
    assert known.units is not None
    here = table.groups.place[counts] == group
    p = significance.lower_than_rest(event[counts].astype(float), here, known.units[counts])
    return 2 * min(p, 1 - p) if 0 < p < 1 else 1.0


def _counting(known: Rows, rate: str, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows could count towards a rate, and which do."""
    labelled, answered = known.target == column, known.answer == column
    could = {
        "selection rate": np.ones(len(labelled), dtype=bool),
        "true positive rate": labelled,
        "false positive rate": ~labelled,
        "precision": answered,
    }[rate]
    return could, labelled if rate == "precision" else answered


def _gap(known: Rows, of: Difference, wider: float, level: float) -> tuple[Estimate, Estimate, Estimate]:
    """The group, the rest, and the group less the rest, whose interval is wide enough for having been chosen."""
    counts, event = _counting(known, of.rate, of.column)
    inside = of.table.groups.place == of.group
    here, rest = (
        intervals.rate(event[rows].astype(float), wider, None if known.units is None else known.units[rows])
        for rows in (counts & inside, counts & ~inside)
    )
    return here, rest, differences.between(here, rest)._replace(confidence_level=level)


def _judged(
    tables: Tables, known: Rows, here: list[Difference], tests: int, level: float, common: dict[str, Any]
) -> Finding:
    """The clearest difference of a tag; one in how often a class is answered only where there is no other."""
    clear = [each for each in here if each.p < 1 - level]
    harmful = [each for each in clear if each.rate != "selection rate"]
    first = (harmful or clear or here)[0]
    inside, rest, gap = _gap(known, first, 1 - (1 - level) / tests, level)
    size = abs(gap.value)
    severity: Severity = "serious" if size >= 0.1 else "moderate" if size >= 0.05 else "minor"
    table, tag = first.table, quoted(first.table.tag)
    said = _said(first, known.names[first.column], inside, rest)
    how = f"a difference of {gap.in_points}, {wording.p_value(first.p)}"
    if clear:
        statement = f"By {tag}, groups are not treated alike in {counted(len(clear), 'way')}: {said}, {how}."
    else:
        statement = f"By {tag}, no group is treated clearly differently from the others; the largest: {said}, {how}."
    return Finding(
        id=f"parity:{table.tag}",
        statement=statement,
        found=bool(clear),
        **gap._asdict(),
        severity="none" if not clear else severity if harmful else "minor",
        evidence=(_criteria(table, known), *_by_group(table, known), _sure(tables, table, known, level)),
        doubts=(
            "Where the labels of groups differ, no network that errs can be alike in all these rates at once.",
            "Whether labels are right may itself differ between groups.",
            *((intervals.INDEPENDENT,) if known.units is None else ()),
        ),
        mitigation="Say which of these rates groups are owed alike; a threshold for each group, chosen on other "
        "images, can bring that one into line, at a price in the others."
        if clear
        else None,
        **{**common, "settings": {**common["settings"], "p": first.p, "tests": tests}},
    )


def _said(of: Difference, name: str, inside: Estimate, rest: Estimate) -> str:
    group, label = quoted(of.table.groups.names[of.group]), quoted(name)
    what = {
        "selection rate": f"{label} is answered for {{}} of the images of {group}",
        "true positive rate": f"of the images labelled {label}, {{}} of those of {group} are recognised",
        "false positive rate": f"of the images not labelled {label}, {{}} of those of {group} are taken for it",
        "precision": f"where it says {label}, it is right on {{}} of the images of {group}",
    }[of.rate]
    return f"{what.format(percent(inside.value))} against {percent(rest.value)} of the others"


def _criteria(table: Table, known: Rows) -> dict[str, Any]:
    """Each criterion's largest gap over the classes, with its ratio: lowest over highest."""
    rows = []
    for criterion in metrics.CRITERIA:
        gaps, ratios = metrics.parity(criterion, table.counts)
        if not np.isnan(gaps).all():
            worst = int(np.nanargmax(gaps))
            rows.append([criterion, float(gaps[worst]), float(ratios[worst]), known.names[worst]])
    columns = ["criterion", "share between the highest and the lowest group", "lowest / highest", "class"]
    return {"kind": "table", "title": f"What is called fair, by {quoted(table.tag)}", "columns": columns, "rows": rows}


def _by_group(table: Table, known: Rows) -> Iterator[dict[str, Any]]:
    """All rates of the most frequent classes; of two classes the rarer, whose rates say the other's too."""
    for column in (1,) if len(known.names) == 2 else range(min(SHOWN, len(known.names))):
        of = metrics.Counts(*(cells[:, column] for cells in table.counts))
        rates = {rate: metrics.shares(rate, of) for rate in metrics.RATES}
        yield {
            "kind": "table",
            "title": f"{quoted(known.names[column])} by {quoted(table.tag)}",
            "columns": ["group", "images", "labelled so", *(f"share: {rate}" for rate in rates)],
            "rows": [
                [name, int(of.rows[group]), int(of.labelled[group]), *(float(rate[group]) for rate in rates.values())]
                for group, name in enumerate(table.groups.names)
            ],
        }


def _sure(tables: Tables, table: Table, known: Rows, level: float) -> dict[str, Any]:
    """Confidence beside rightness by group, and how far they are apart without the part that chance adds."""
    confidence, right = (tables.baseline[name][known.rows] for name in ("confidence", "right"))
    rows = []
    for group, name in enumerate(table.groups.names):
        here = (table.groups.place == group) & ~np.isnan(confidence)
        off = calibration.ece(confidence[here], right[here], level=level, seed=tables.seed, draws=200)
        rows.append([name, off.n, *_means(right[here], confidence[here]), off.value, off.low, off.high])
    columns = ["group", "images", "share right", "share: mean confidence", "calibration error", "low", "high"]
    between = metrics.entropy_between(right, table.groups.place, 1.0) if right.any() else float("nan")
    note = "" if np.isnan(between) else f"; inequality of being right between groups, Theil's, is {between:.4f}"
    return {"kind": "table", "title": f"How sure it is by {quoted(table.tag)}{note}", "columns": columns, "rows": rows}


def _means(*columns: Float[np.ndarray, " rows"]) -> list[float | None]:
    return [float(column.mean()) if len(column) else None for column in columns]
