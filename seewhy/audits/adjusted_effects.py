"""Does a tag itself make the network err, or what goes along with it?

An observational answer: nobody changed the tag. What must be held alike follows from a graph that the user states
(`--graph "age -> label; site -> scanner"`) or is named outright (`--confounders age,site`); every name in the graph may
also act on the image, and so on the error. With those held alike, for each group of a tag against all others: the
difference in error (doubly robust, cross-fitted), the difference in log-odds of the true class, the risk ratio, and the
E-value: how strong something unmeasured would have to be to explain it away. Holm corrects over all groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seewhy import chance, wording
from seewhy.statistics import confounding, grouping, intervals, significance
from seewhy.statistics.confounding import Adjusted
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import listed, percent, points, quoted

pillar: Pillar = "cause"

#: The name of the outcome in a graph, and that of the true class.
ERROR, LABEL = "error", "label"
#: Rows and errors that a side needs; below, regressions guess.
LEAST, EVENTS = 20, 10
SOURCE = "Pearl 2009, back-door; Robins, Rotnitzky and Zhao 1994; VanderWeele and Ding 2017; Holm 1979"
RESTS = "Nobody changed the tag: this rests on {what}, which no data can prove, and on there being nothing else."


class Asked(NamedTuple):
    """One group of a tag against all others, with what was held alike."""

    tag: str
    group: str
    alike: tuple[str, ...]
    error: Adjusted
    score: intervals.Estimate | None
    plain: float


def needs(**settings: object) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables,
    *,
    tags: tuple[str, ...] | None = None,
    confounders: tuple[str, ...] | None = None,
    graph: str | None = None,
    unit: str | None = None,
    level: float = 0.95,
) -> Iterator[Finding]:
    """A Finding for each group of a tag that could be asked, worst first. `tags`: whose effects; all others are
    only held alike. `confounders`: tags to hold alike; or `graph`: from which that follows. `unit`: what belongs
    together."""
    predictions = tables.baseline
    grouping.check((*(tags or ()), *(confounders or ())), predictions)
    common: dict[str, Any] = {"audit": "adjusted_effects", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    told: dict[str, Any] = {"level": level, "confounders": list(confounders or ()), "graph": graph}
    if graph is None and not confounders:
        statement = (
            "Whether a tag itself makes the network err was not asked: say what to hold alike, with --confounders "
            "age,site or --graph 'age -> label; site -> scanner'."
        )
        yield Finding(id="adjusted_effects:all", statement=statement, settings=told, **common)
        return
    held, refused = _held(predictions, tags, confounders, graph)
    asked = [each for tag, alike in held.items() for each in _groups(tables, tag, alike, unit, level)]
    drawing = () if graph is None else (_drawing(graph, held, predictions.tags),)
    if not asked:
        why = refused or [f"no group has {LEAST} images and {EVENTS} errors, and as many elsewhere"]
        statement = f"Whether a tag itself makes the network err could not be told: {listed(why)}."
        yield Finding(
            id="adjusted_effects:all",
            statement=statement,
            n=len(predictions),
            evidence=drawing,
            settings=told,
            **common,
        )
        return
    p = significance.holm([confounding.two_sided(each.error.difference) for each in asked])
    what = "the graph that was stated" if graph is not None else "the confounders that were named"
    order = sorted(range(len(asked)), key=lambda place: (p[place], -asked[place].error.difference.value))
    for place in order:
        each = asked[place]
        yield _finding(each, float(p[place]), what, (*drawing, _table(asked, p)), refused, level, told, common)


def _held(
    predictions: Predictions, tags: Sequence[str] | None, confounders: Sequence[str] | None, graph: str | None
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """What to hold alike for each tag, and why some tags cannot be asked about."""
    if graph is None:
        named = tuple(confounders or ())
        return {tag: named for tag in tags or predictions.tags if tag not in named}, []
    drawn = confounding.read_graph(graph)
    for name in [name for name in drawn if name != ERROR]:
        drawn.add_edge(name, ERROR)
    observed = {*predictions.tags, LABEL}
    held: dict[str, tuple[str, ...]] = {}
    refused = []
    for tag in tags or [name for name in drawn if name in predictions.tags]:
        if tag not in drawn:
            refused.append(f"{quoted(tag)} is not in the graph")
            continue
        alike = confounding.back_door(drawn, tag, ERROR, observed)
        if alike is None:
            refused.append(f"by the graph nothing that was recorded makes {quoted(tag)} comparable")
        else:
            held[tag] = tuple(sorted(alike))
    return held, refused


def _groups(tables: Tables, tag: str, alike: Sequence[str], unit: str | None, level: float) -> Iterator[Asked]:
    """Each group of the tag against all others, where there are enough rows and errors."""
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    groups = grouping.by(predictions, tag, rows)
    if groups is None:
        return
    error = 1 - predictions["right"][rows]
    logodds = predictions["logodds_true"][rows]
    others = confounding.columns([_column(predictions, name, rows) for name in alike])
    others = others if len(others) else np.zeros((len(rows), 0))
    fold = _folds(predictions, rows, unit, tables.seed)
    units = grouping.units(predictions, unit, rows)
    two = len(groups.names) == 2
    for number, name in enumerate(groups.names):
        inside = groups.place == number
        if two and number == 0:
            continue  # the other group against the rest says it already
        sides = [error[inside], error[~inside]]
        if min(map(len, sides)) < LEAST or error.sum() < EVENTS or (1 - error).sum() < EVENTS:
            continue
        how: dict[str, Any] = {"level": level, "unit": units}
        adjusted = confounding.doubly_robust(error, inside, others, fold, **how)
        score = None
        if not np.isnan(logodds).any():
            score = confounding.doubly_robust(logodds.clip(-50, 50), inside, others, fold, **how).difference
        yield Asked(tag, name, tuple(alike), adjusted, score, float(sides[0].mean() - sides[1].mean()))


def _column(predictions: Predictions, name: str, rows: Int[np.ndarray, " rows"]) -> np.ndarray:
    return predictions["target" if name == LABEL and LABEL not in predictions.tags else f"tag:{name}"][rows]


def _folds(
    predictions: Predictions, rows: Int[np.ndarray, " rows"], unit: str | None, seed: int
) -> Int[np.ndarray, " rows"]:
    """Which of the folds a row is in, by its id, or by its unit's number."""
    units = grouping.units(predictions, unit, rows)
    names = list(predictions["id"][rows]) if units is None else [str(number) for number in units]
    drawn = chance.uniform(chance.keys(names), seed=seed, stream="folds")[:, 0].numpy()
    return (drawn * confounding.FOLDS).astype(np.int64)


def _finding(
    each: Asked,
    p: float,
    what: str,
    evidence: tuple[Mapping[str, Any], ...],
    refused: Sequence[str],
    level: float,
    told: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Finding:
    error, found = each.error, p < 1 - level
    worse = error.difference.value > 0
    alike = f"{listed(list(map(quoted, each.alike)))} held alike" if each.alike else "nothing to be held alike"
    group = f"{each.tag} {quoted(each.group)}"
    verdict = ("more" if worse else "fewer") + " errors" if found else "no clear difference in errors"
    moved = "" if each.score is None else f", log-odds of the true class {each.score.value:+.2f}"
    statement = (
        f"With {alike}, {group} has {verdict}: {error.difference.in_points} against all others (as they are: "
        f"{points(each.plain)}){moved}; {wording.p_value(p)} over all groups asked"
    )
    if np.isfinite(error.ratio.value):
        nearest = min((error.ratio.low, error.ratio.high), key=lambda end: abs(np.log(end)))
        crosses = error.ratio.low <= 1 <= error.ratio.high
        end = 1.0 if crosses else confounding.e_value(nearest)
        statement += (
            f". The risk ratio is {error.ratio.value:.2f} ({error.ratio.low:.2f} to {error.ratio.high:.2f}), its "
            f"E-value {confounding.e_value(error.ratio.value):.2f} (for the end nearer to 1: {end:.2f})"
        )
    severity: Severity = "none"
    if found and worse:
        severity = "moderate" if error.difference.low > 0.1 else "minor"
    doubts = [RESTS.format(what=what), *(f"Not asked: {why}." for why in refused)]
    if error.overlap < 0.95:
        doubts.append(
            f"Only {percent(error.overlap)} of the images might have been on either side; the others tell nothing."
        )
    return Finding(
        id=f"adjusted_effects:{each.tag}:{each.group}",
        statement=f"{statement}.",
        found=found,
        unit="difference of shares",
        **error.difference._asdict(),
        severity=severity,
        evidence=evidence,
        doubts=tuple(doubts),
        settings={**told, "p": p, "alike": list(each.alike)},
        mitigation=f"Change {quoted(each.tag)} on purpose, or collect images in which it varies alone, and look again."
        if severity != "none"
        else None,
        **common,
    )


def _table(asked: Sequence[Asked], p: np.ndarray) -> dict[str, Any]:
    rows = [
        [
            f"{each.tag} {each.group}",
            each.error.inside,
            each.error.outside,
            each.plain,
            each.error.ratio.value,
            float(chance),
        ]
        for each, chance in zip(asked, p, strict=True)
    ]
    columns = ["group", "share wrong in it", "share wrong elsewhere", "unadjusted difference", "risk ratio", "p (Holm)"]
    return {"kind": "table", "title": "Errors with all else alike", "columns": columns, "rows": rows}


def _drawing(graph: str, held: Mapping[str, Sequence[str]], tags: Sequence[str]) -> dict[str, Any]:
    """The graph as evidence: what is asked about, what is held alike, what nobody recorded."""
    drawn = confounding.read_graph(graph)
    alike = {name for names in held.values() for name in names}
    for name in [name for name in drawn if name != ERROR]:
        drawn.add_edge(name, ERROR)

    def role(name: str) -> str:
        if name == ERROR:
            return "outcome"
        if name not in (*tags, LABEL):
            return "not recorded"
        return "held alike" if name in alike else "asked about" if name in held else "recorded"

    return {
        "kind": "graph",
        "title": "What may act on what, as stated; all of it may act on the error",
        "nodes": [{"name": name, "role": role(name)} for name in drawn],
        "edges": [list(edge) for edge in drawn.edges],
    }
