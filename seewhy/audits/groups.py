"""Is the network worse for one group than for another?

Groups come from tags: words as they are, numbers cut into quarters, rows without a value as a group of their own. Each
group gets its own interval (Wilson); the widest gap among groups of ten images or more is tested by dealing the images
out to the groups at random, with Holm's correction over the tags, and its interval is Newcombe's, widened for the
pairs it was chosen from (Bonferroni). A gap is serious from 10 points, moderate from 5, minor below that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seewhy import metrics, statistics, wording
from seewhy.grouping import MISSING, grouped
from seewhy.shelf import nearest
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, percent, points, quoted

pillar: Pillar = "fair"

#: More values than this are no groups.
MOST_GROUPS = 20
SOURCE = "Wilson 1927; permutation test of max - min, Holm 1979; Newcombe 1998"


class Cut(NamedTuple):
    """The labelled rows cut into groups by one tag, and the test of the widest gap between those large enough."""

    tag: str
    names: tuple[str, ...]
    rows: Int[np.ndarray, " rows"]
    place: Int[np.ndarray, " rows"]
    right: Float[np.ndarray, " rows"]
    large: tuple[int, ...]
    p: float

    def of(self, group: int) -> Float[np.ndarray, " members"]:
        """How right the network is on the rows of one group."""
        return self.right[self.place == group]

    @property
    def compared(self) -> Int[np.ndarray, " members"]:
        """The places of the rows in groups that are large enough."""
        return np.flatnonzero(np.isin(self.place, self.large))

    @property
    def pairs(self) -> int:
        """How many pairs of groups the widest gap was chosen from."""
        return len(self.large) * (len(self.large) - 1) // 2


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables, *, tags: tuple[str, ...] | None = None, level: float = 0.95, least: int = 10, draws: int = 2000
) -> Iterator[Finding]:
    """One Finding a tag; all tags that make groups unless `tags` names some. `least`: images a group must have."""
    predictions = tables.baseline
    for tag in tags or ():
        if tag not in predictions.tags:
            there = f"There are: {', '.join(predictions.tags)}." if predictions.tags else "There are none."
            raise ValueError(f"The predictions have no tag {tag!r}. {nearest(tag, predictions.tags)}{there}")
    common: dict[str, Any] = {
        "audit": "groups",
        "pillar": pillar,
        "unit": "difference of shares",
        "seed": tables.seed,
        "source": SOURCE,
    }
    settings = {"level": level, "least": least, "draws": draws}
    asked = tags or predictions.tags
    made = [_cut(predictions, tag, least, draws, tables.seed) for tag in asked]
    cuts = [cut for cut in made if cut is not None]
    yield from _not_compared(predictions, asked, cuts, bool(tags), {**common, "settings": settings})
    tested = [cut for cut in cuts if cut.pairs]
    adjusted = dict(zip((cut.tag for cut in tested), statistics.holm([cut.p for cut in tested]), strict=True))
    for cut in cuts:
        if cut.tag in adjusted:
            yield _compared(tables, cut._replace(p=float(adjusted[cut.tag])), settings, common)
        else:
            yield Finding(
                id=f"groups:{cut.tag}",
                statement=f"There is not enough data to compare groups by {quoted(cut.tag)}: fewer than two have "
                f"{counted(least, 'labelled image')} or more.",
                n=len(cut.rows),
                evidence=(_bars(cut, level),),
                settings=settings,
                **common,
            )


def _not_compared(
    predictions: Predictions, asked: Sequence[str], cuts: Sequence[Cut], by_name: bool, common: dict[str, Any]
) -> Iterator[Finding]:
    """A Finding for each tag that was named but makes no groups; or one, where none does."""
    labelled = int(np.sum(~np.isnan(predictions["right"])))
    without = [tag for tag in asked if tag not in {cut.tag for cut in cuts}]
    few = f"it takes 2 to {MOST_GROUPS} different values" if labelled else "no image has a label"
    if by_name:
        for tag in without:
            statement = f"Groups by {quoted(tag)} were not compared: {few}."
            yield Finding(id=f"groups:{tag}", statement=statement, n=labelled, **common)
    elif not cuts:
        why = f"{few}, which none of {listed([quoted(tag) for tag in without])} has" if labelled else few
        why = why if without else "the images have no tags"
        yield Finding(id="groups:(none)", statement=f"Groups were not compared: {why}.", n=labelled, **common)


def _cut(predictions: Predictions, tag: str, least: int, draws: int, seed: int) -> Cut | None:
    """The groups of one tag; None where it makes none."""
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    order, place = grouped(predictions[f"tag:{tag}"][rows])
    if not 2 <= len(order) <= MOST_GROUPS + (MISSING in order):
        return None
    large = np.flatnonzero(np.bincount(place, minlength=len(order)) >= least)
    cut = Cut(tag, order, rows, place, predictions["right"][rows], tuple(large.tolist()), 1.0)
    tested = cut.compared
    _, p = statistics.permutation_test(cut.right[tested], place[tested], seed=seed, draws=draws)
    return cut._replace(p=p)


def _compared(tables: Tables, cut: Cut, settings: Mapping[str, Any], common: dict[str, Any]) -> Finding:
    """The widest gap between two groups; `cut.p` is already corrected for the other tags."""
    level, least = settings["level"], settings["least"]
    worst, best, gap = _widest(cut, level)
    smaller, small = sorted(len(cut.of(group)) for group in cut.large)[:2]
    visible = statistics.smallest_gap(small, smaller, float(cut.right.mean()), 1 - (1 - level) / cut.pairs)
    found = cut.p < 1 - level
    doubts = ["A gap does not say why: groups may differ in what they show, or in their labels."]
    few = [quoted(name) for group, name in enumerate(cut.names) if group not in cut.large]
    if few:
        doubts.append(f"Fewer than {counted(least, 'image')}, so not enough data: {listed(few)}.")
    within = _within_classes(tables, cut, settings["draws"]) if found else 0.0
    if within >= 1 - level:
        chance = wording.p_value(within)
        doubts.append(f"Within classes the gap is not clear ({chance}): the groups may hold different classes.")
    severity: Severity = "serious" if gap.value >= 0.1 else "moderate" if gap.value >= 0.05 else "minor"
    wrong = cut.rows[(cut.place == worst) & (cut.right < 0.5)][:12]
    remedy = (
        f"Add training images of {quoted(cut.names[worst])}, or give them more weight; then audit again: what does it "
        "cost the other groups?"
    )
    return Finding(
        id=f"groups:{cut.tag}",
        statement=_statement(tables, cut, worst, best, gap, visible, found),
        found=found,
        **gap._asdict(),
        severity=severity if found else "none",
        examples=tuple(tables.baseline["id"][wrong]) if found else (),
        evidence=(_bars(cut, level),),
        doubts=(*doubts, statistics.INDEPENDENT),
        settings={**settings, "p": cut.p, "smallest_gap": visible},
        mitigation=remedy if found else None,
        **common,
    )


def _within_classes(tables: Tables, cut: Cut, draws: int) -> float:
    """p of the same gap when images are dealt out within their class only."""
    tested = cut.compared
    classes = metrics.codes(tables.baseline["target"][cut.rows[tested]], tables.baseline.classes)
    right, groups = cut.right[tested], cut.place[tested]
    return statistics.permutation_test(right, groups, seed=tables.seed, draws=draws, strata=classes)[1]


def _statement(
    tables: Tables, cut: Cut, worst: int, best: int, gap: statistics.Estimate, visible: float, found: bool
) -> str:
    def share(group: int) -> str:
        return f"{percent(float(cut.of(group).mean()))} of {counted(len(cut.of(group)), 'image')}"

    chance = wording.p_value(cut.p)
    if found:
        worse = f"the network is worse for {quoted(cut.names[worst])} than for {quoted(cut.names[best])}"
        shares = f"right on {share(worst)} against {share(best)}"
        return f"By {quoted(cut.tag)}, {worse}: {shares}, a gap of {gap.in_points}, {chance}."
    unseen = f"; a gap below about {points(visible)} between the two smallest groups would likely stay unseen"
    return (
        f"By {quoted(cut.tag)}, no gap is wider than chance may give between {len(cut.large)} groups of {tables.split} "
        f"images: the widest is {gap.in_points}, {chance}{unseen if visible == visible else ''}."
    )


def _widest(cut: Cut, level: float) -> tuple[int, int, statistics.Estimate]:
    """The worst and the best group, and the gap between them, its interval valid for whichever pair is widest."""
    means = np.array([cut.of(group).mean() for group in cut.large])
    worst, best = cut.large[int(np.argmin(means))], cut.large[int(np.argmax(means))]
    high, low = cut.of(best), cut.of(worst)
    of_each_pair = 1 - (1 - level) / cut.pairs
    ends = statistics.newcombe(float(high.sum()), len(high), float(low.sum()), len(low), of_each_pair)
    gap = statistics.Estimate(float(np.ptp(means)), float(ends[0]), float(ends[1]), level, len(cut.compared))
    return worst, best, gap


def _bars(cut: Cut, level: float) -> dict[str, Any]:
    rows = []
    for group, name in enumerate(cut.names):
        each = statistics.rate(cut.of(group), level)
        rows.append({"name": name, "value": each.value, "low": each.low, "high": each.high, "n": each.n})
    return {
        "kind": "bars",
        "title": f"How often it is right, by {quoted(cut.tag)}",
        "unit": "share",
        "rows": rows,
        "reference": {"name": "all images", "value": float(cut.right.mean())},
    }
