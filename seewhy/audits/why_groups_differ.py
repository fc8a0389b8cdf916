"""Where does the gap between two groups come from?

For each tag by which the network is clearly worse for one group: do the groups hold other classes (the gap when both
are weighted to the same mixture of labels)? Is the group rare among the training images? Are its labels more often
doubtful (confident learning)? Are its pictures smaller, darker, otherwise different? Does the network look elsewhere?
Each clue is tested, with Holm's correction over the clues of a tag, and said with its number whether or not it is
clear. A clue is no cause: only a change made on purpose, or new training, tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from scipy import stats

from seewhy import wording
from seewhy.images import heatmap
from seewhy.statistics import differences, grouping, intervals, metrics, significance
from seewhy.types import Explanation, Finding, Need, Pillar, Predictions, Tables
from seewhy.wording import listed, percent, points, quoted

pillar: Pillar = "fair"
optional = frozenset({"rows", "scan", "explanations"})

#: Fewer explained images of a group show nothing about where the network looks.
LEAST_EXPLAINED = 5
SOURCE = "direct standardisation; confident learning (Northcutt 2021); Mann and Whitney 1947; Fisher 1935; Holm 1979"


class Pair(NamedTuple):
    """The worst and the best group by a tag, among the labelled rows: which rows lie in either."""

    tag: str
    worst: str
    best: str
    predictions: Predictions
    rows: Int[np.ndarray, " rows"]
    in_worst: Bool[np.ndarray, " rows"]
    in_best: Bool[np.ndarray, " rows"]
    gap: float


class Clue(NamedTuple):
    """One possible reason: a clause with its number, whether it speaks for being one, and p that it is chance."""

    name: str
    clause: str
    points_there: bool
    p: float


def needs(
    *, methods: tuple[str, ...] = ("gradient", "grad_cam", "occlusion"), count: int = 12, **settings: Any
) -> tuple[Need, ...]:
    return Need("baseline"), Need("rows"), Need("scan"), Need("explanations", methods=tuple(methods), count=count)


def check(
    tables: Tables,
    *,
    tags: tuple[str, ...] | None = None,
    level: float = 0.95,
    least: int = 10,
    methods: tuple[str, ...] = ("gradient", "grad_cam", "occlusion"),
    count: int = 12,
) -> Iterator[Finding]:
    """One Finding a tag with a clear gap. `least`: images a group must have; `methods`, `count`: as `where_it_looks`
    has them, whose heat is used."""
    predictions = tables.baseline
    grouping.check(tags or (), predictions)
    common: dict[str, Any] = {
        "audit": "why_groups_differ",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"level": level, "least": least},
    }
    pairs = _pairs(predictions, tuple(tags or predictions.tags), level, least)
    if not pairs:
        why = "no tag makes two groups between which the network is clearly better and worse"
        yield Finding(
            id="why_groups_differ:(none)",
            statement=f"There is no gap to explain: {why}.",
            found=False,
            n=len(predictions),
            unit="difference of shares",
            **common,
        )
    explained = Need("explanations", methods=tuple(methods), count=count)
    for pair in pairs:
        yield _explain(tables, pair, explained, level, common)


def _pairs(predictions: Predictions, tags: tuple[str, ...], level: float, least: int) -> list[Pair]:
    """The tags by which one group is clearly worse than the best one (normal test of two shares, Bonferroni over all
    pairs of groups and all tags); `groups` has the exact test."""
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    right = predictions["right"][rows]
    found = []
    for tag in tags:
        groups = grouping.by(predictions, tag, rows)
        if groups is None:
            continue
        large = np.flatnonzero(groups.sizes >= least)
        if len(large) < 2:
            continue
        shares = np.bincount(groups.place, weights=right, minlength=len(groups.names)) / np.maximum(groups.sizes, 1)
        worst, best = int(large[np.argmin(shares[large])]), int(large[np.argmax(shares[large])])
        wider = 1 - 2 * (1 - level) / (len(tags) * len(large) * (len(large) - 1))
        first, second = (intervals.rate(right[groups.place == each], wider) for each in (best, worst))
        gap = differences.between(first, second)
        if gap.low > 0:
            found.append(
                Pair(tag, groups.names[worst], groups.names[best], predictions, rows, groups.place == worst,
                     groups.place == best, gap.value)
            )  # fmt: skip
    return found


def _explain(tables: Tables, pair: Pair, explained: Need, level: float, common: dict[str, Any]) -> Finding:
    """One paragraph: each clue that could be had with its number, then what could not be asked."""
    clues, unasked = [], []
    for find in CLUES:
        found = find(tables, pair, explained)
        if isinstance(found, str):
            unasked.append(found)
        else:
            clues += found
    adjusted = significance.holm([clue.p for clue in clues])
    clear = [clue.points_there and p < 1 - level for clue, p in zip(clues, adjusted, strict=True)]
    speaking = [
        f"{clue.clause} ({wording.p_value(p)})" for clue, p, is_so in zip(clues, adjusted, clear, strict=True) if is_so
    ]
    silent = [clue.clause for clue, is_so in zip(clues, clear, strict=True) if not is_so]
    statement = (
        f"By {quoted(pair.tag)}, {quoted(pair.worst)} is {points(pair.gap)} below {quoted(pair.best)}. "
        + (f"It may come from this: {'; '.join(speaking)}. " if speaking else "No clue to why was clear. ")
        + (f"Not clearly: {'; '.join(silent)}. " if silent else "")
        + (f"Not asked: {listed(unasked, 9)}." if unasked else "")
    ).rstrip()
    return Finding(
        id=f"why_groups_differ:{pair.tag}",
        statement=statement,
        found=any(clear),
        value=pair.gap,
        unit="difference of shares",
        n=int(pair.in_worst.sum() + pair.in_best.sum()),
        evidence=(
            {
                "kind": "table",
                "title": f"Clues to the gap by {quoted(pair.tag)}",
                "columns": ["clue", "what was seen", "p", "clear"],
                "rows": [
                    [clue.name, clue.clause, float(p), "yes" if is_so else "no"]
                    for clue, p, is_so in zip(clues, adjusted, clear, strict=True)
                ],
            },
        ),
        doubts=(
            "A clue is an association: whether mending it closes the gap, an intervention or new training must tell.",
            intervals.INDEPENDENT,
        ),
        mitigation=f"Try the clearest clue first, and audit again whether the gap by {quoted(pair.tag)} closed."
        if any(clear)
        else None,
        **common,
    )


# ------------------------------------------------------------------------------------------------------ the clues
#
# Each gets the tables and the pair of groups, and gives clues, or in words what could not be asked.


def _mixture(tables: Tables, pair: Pair, explained: Need) -> list[Clue] | str:
    """The gap were the labels of both groups mixed alike: as in the two together (direct standardisation)."""
    targets = pair.predictions["target"][pair.rows]
    right = pair.predictions["right"][pair.rows]
    names = tuple(dict.fromkeys(targets))
    place = metrics.codes(targets, names)
    sums, sizes = [], []
    for inside in (pair.in_best, pair.in_worst):
        sums.append(np.bincount(place[inside], weights=right[inside], minlength=len(names)))
        sizes.append(np.bincount(place[inside], minlength=len(names)))
    both = (sizes[0] > 0) & (sizes[1] > 0)
    if not both.any():
        return "whether other classes explain it, for the groups share no class"
    weight = (sizes[0] + sizes[1]) * both / (sizes[0] + sizes[1])[both].sum()
    best, worst = (weight[both] @ (total[both] / size[both]) for total, size in zip(sums, sizes, strict=True))
    left = float(best - worst)
    counts = np.array(sizes)[:, (sizes[0] + sizes[1]) > 0]
    p = float(stats.chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0
    clause = f"with both groups' labels mixed alike, {points(left)} of the {points(pair.gap)} remain"
    return [Clue("other classes", clause, left < 0.75 * pair.gap, p)]


def _training(tables: Tables, pair: Pair, explained: Need) -> list[Clue] | str:
    """Whether the group has fewer training images than the other."""
    rows = Predictions(tables[Need("rows")]) if Need("rows") in tables else None
    train = np.flatnonzero(rows["split"] == "train") if rows is not None and pair.tag in rows.tags else np.arange(0)
    if rows is None or not len(train):
        return "how many training images each group has"
    trained, here = rows[f"tag:{pair.tag}"][train], pair.predictions[f"tag:{pair.tag}"][pair.rows]
    worst, best = (int(_like(trained, here[inside]).sum()) for inside in (pair.in_worst, pair.in_best))
    clause = (
        f"{quoted(pair.worst)} is {percent(worst / len(train))} of the {len(train):,} training images, "
        f"{quoted(pair.best)} {percent(best / len(train))}"
    )
    p = float(stats.binomtest(worst, worst + best, 0.5, "less").pvalue) if worst + best else 1.0
    return [Clue("training images", clause, worst < 0.8 * best, p)]


def _like(values: np.ndarray, group: np.ndarray) -> Bool[np.ndarray, " rows"]:
    """Which values belong to a group that is known by its own: one of its words, or between its ends, or missing."""
    if values.dtype == object or group.dtype == object:
        words = {None if value is None else str(value) for value in group}
        return np.array([(None if value is None else str(value)) in words for value in values], dtype=bool)
    if np.isnan(group).any():
        return np.isnan(values)
    return (values >= group.min()) & (values <= group.max())


def _labels(tables: Tables, pair: Pair, explained: Need) -> list[Clue] | str:
    """How many labels of each group the network doubts."""
    logs = pair.predictions.log_probabilities
    if logs is None or logs.shape[1] != len(pair.predictions.classes):
        return "whether its labels are more often wrong, for there are no probabilities of all classes"
    target = metrics.codes(pair.predictions["target"][pair.rows], pair.predictions.classes)
    doubted = metrics.doubted_labels(logs[pair.rows], target)
    shares = [doubted[inside].mean() for inside in (pair.in_worst, pair.in_best)]
    clause = f"{percent(shares[0])} of its labels are doubtful against {percent(shares[1])}"
    return [Clue("doubtful labels", clause, shares[0] > shares[1], _fisher(doubted, pair))]


def _pictures(tables: Tables, pair: Pair, explained: Need) -> list[Clue] | str:
    """Every number that the scan has of an image, such as its size: does it tell the groups apart?"""
    if Need("scan") not in tables:
        return "how its pictures differ"
    files = tables.scan.files
    numbers = [
        field.name for field in files.schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    ]
    place = {id: row for row, id in enumerate(files.column("id").to_pylist())}
    found = np.array([place.get(id, -1) for id in pair.predictions["id"][pair.rows]], dtype=np.int64)
    clues = []
    for name in numbers:
        column = files.column(name).to_numpy().astype(float)
        worst, best = (column[found[inside & (found >= 0)]] for inside in (pair.in_worst, pair.in_best))
        worst, best = worst[~np.isnan(worst)], best[~np.isnan(best)]
        if min(len(worst), len(best)) < 2 or np.ptp(np.concatenate([worst, best])) == 0:
            continue
        p = float(stats.mannwhitneyu(worst, best).pvalue)
        middle = [float(np.median(side)) for side in (worst, best)]
        apart = metrics.auroc(np.concatenate([worst, best]), np.arange(len(worst) + len(best)) < len(worst))
        clause = f"the {name} of its pictures is {middle[0]:,.4g} in the middle against {middle[1]:,.4g}"
        clues.append(Clue(name, clause, abs(apart - 0.5) > 0.1, p))
    return clues or "how its pictures differ, for all have the same size"


def _looks(tables: Tables, pair: Pair, explained: Need) -> list[Clue] | str:
    """Whether the mean heat of the two groups lies in different places (permutation over the explained images)."""
    why = "whether the network looks elsewhere in them"
    if explained not in tables:
        return why
    heats = _heat_by_id(tables[explained])
    ids = pair.predictions["id"][pair.rows]
    sides = [[heats[id] for id in ids[inside] if id in heats] for inside in (pair.in_worst, pair.in_best)]
    if min(map(len, sides)) < LEAST_EXPLAINED:
        return f"{why}, for fewer than {LEAST_EXPLAINED} of each group were explained"
    maps = np.array(sides[0] + sides[1])
    chosen = np.arange(len(maps)) < len(sides[0])

    def apart(inside: Bool[np.ndarray, " maps"]) -> float:
        return float(np.abs(maps[inside].mean(0) - maps[~inside].mean(0)).sum() / 2)

    random = np.random.default_rng(tables.seed)
    seen = apart(chosen)
    drawn = np.array([apart(random.permutation(chosen)) for _ in range(999)])
    p = float(1 + np.sum(drawn >= seen - 1e-12)) / 1000
    clause = f"{percent(seen)} of the heat lies elsewhere, where chance would move {percent(float(drawn.mean()))}"
    return [Clue("where the network looks", clause, seen > drawn.mean(), p)]


#: A clue is a function; further ones, such as the effect of changing the tag in the image, are added here.
CLUES: tuple[Callable[[Tables, Pair, Need], list[Clue] | str], ...] = (_mixture, _training, _labels, _pictures, _looks)


def _heat_by_id(explanations: tuple[Explanation, ...]) -> dict[str, Float[np.ndarray, "16 16"]]:
    """Mean over the methods of |heat| on a common grid, which sums to 1; maps of one value left out."""
    found: dict[str, list[np.ndarray]] = {}
    for each in explanations:
        heat = each.heat.get("image", next(iter(each.heat.values()), None))
        if heat is not None and heat.size and np.isfinite(heat).all() and np.ptp(heat) > 0:
            grid = heatmap.on_grid(np.abs(heat))
            found.setdefault(each.id, []).append(grid / grid.sum())
    return {id: np.mean(grids, axis=0) for id, grids in found.items()}


def _fisher(event: Bool[np.ndarray, " rows"], pair: Pair) -> float:
    """Exact two-sided p that the event is as frequent in both groups."""
    table = [[int(np.sum(event[inside] == here)) for here in (True, False)] for inside in (pair.in_worst, pair.in_best)]
    return float(stats.fisher_exact(table).pvalue)
