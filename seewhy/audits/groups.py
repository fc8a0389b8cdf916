"""Is the network worse for one group than for another?

Groups come from tags: words as they are, numbers cut into quarters, rows without a value as a group of their own. Each
group gets its own interval (Wilson); the widest gap among groups of ten images or more is tested by dealing the images
out to the groups at random, with Holm's correction over the tags, and its interval is Newcombe's, widened for the
pairs it was chosen from (Bonferroni). Where images belong together (`unit`, say a patient) intervals and test take
whole units. A gap is serious from 10 points, moderate from 5, minor below that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seewhy import wording
from seewhy.statistics import differences, grouping, intervals, metrics, significance
from seewhy.statistics.grouping import MOST_GROUPS, Groups
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, percent, points, quoted

pillar: Pillar = "fair"

SOURCE = "Wilson 1927; permutation test of max - min, Holm 1979; Newcombe 1998"
SOURCE_OF_UNITS = "Korn and Graubard 1998; wild cluster bootstrap (Cameron, Gelbach and Miller 2008), Holm 1979"


class Cut(NamedTuple):
    """The labelled rows cut into groups by one tag, and the test of the widest gap between those large enough."""

    tag: str
    groups: Groups
    rows: Int[np.ndarray, " rows"]
    right: Float[np.ndarray, " rows"]
    unit: Int[np.ndarray, " rows"] | None
    level: float
    large: tuple[int, ...] = ()
    p: float = 1.0

    def share(self, group: int) -> Estimate:
        """How often the network is right on one group."""
        here = self.groups.place == group
        return intervals.rate(self.right[here], self.level, None if self.unit is None else self.unit[here])

    @property
    def compared(self) -> Int[np.ndarray, " members"]:
        """The places of the rows in groups that are large enough."""
        return np.flatnonzero(np.isin(self.groups.place, self.large))

    @property
    def pairs(self) -> int:
        """How many pairs of groups the widest gap was chosen from."""
        return len(self.large) * (len(self.large) - 1) // 2

    def test(self, seed: int, draws: int, strata: Int[np.ndarray, " members"] | None = None) -> float:
        """How often chance alone spreads the large groups as far."""
        here = self.compared
        right, place = self.right[here], self.groups.place[here]
        if self.unit is None:
            return significance.permutation_test(right, place, seed=seed, draws=draws, strata=strata)[1]
        return significance.unit_test(right, place, self.unit[here], seed=seed, draws=draws, strata=strata)[1]


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables,
    *,
    tags: tuple[str, ...] | None = None,
    unit: str | None = None,
    level: float = 0.95,
    least: int = 10,
    draws: int = 2000,
) -> Iterator[Finding]:
    """One Finding a tag; all tags that make groups unless `tags` names some. `least`: images, or units of the tag
    `unit`, that a group must have."""
    predictions = tables.baseline
    grouping.check(tags or (), predictions)
    settings = {"unit": unit, "level": level, "least": least, "draws": draws}
    common: dict[str, Any] = {
        "audit": "groups",
        "pillar": pillar,
        "unit": "difference of shares",
        "seed": tables.seed,
        "source": SOURCE if unit is None else SOURCE_OF_UNITS,
    }
    asked = tuple(tag for tag in tags or predictions.tags if tag != unit)
    cuts = [cut for tag in asked if (cut := _cut(tables, tag, settings)) is not None]
    yield from _not_compared(predictions, asked, cuts, bool(tags), {**common, "settings": settings})
    tested = [cut for cut in cuts if cut.pairs]
    adjusted = dict(zip((cut.tag for cut in tested), significance.holm([cut.p for cut in tested]), strict=True))
    for cut in cuts:
        if cut.tag in adjusted:
            yield _compared(tables, cut._replace(p=float(adjusted[cut.tag])), settings, common)
        else:
            yield Finding(
                id=f"groups:{cut.tag}",
                statement=f"There is not enough data to compare groups by {quoted(cut.tag)}: fewer than two have "
                f"{counted(least, _noun(unit))} or more.",
                n=len(cut.rows),
                evidence=(_bars(cut),),
                settings=settings,
                **common,
            )


def _noun(unit: str | None) -> str:
    return "labelled image" if unit is None else f"{quoted(unit)} value"


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


def _cut(tables: Tables, tag: str, settings: Mapping[str, Any]) -> Cut | None:
    """The groups of one tag, tested; None where it makes none."""
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    groups = grouping.by(predictions, tag, rows)
    if groups is None:
        return None
    unit = grouping.units(predictions, settings["unit"], rows)
    cut = Cut(tag, groups, rows, predictions["right"][rows], unit, settings["level"])
    sizes = groups.sizes if unit is None else [cut.share(group).n for group in range(len(groups.names))]
    cut = cut._replace(large=tuple(np.flatnonzero(np.asarray(sizes) >= settings["least"]).tolist()))
    return cut._replace(p=cut.test(tables.seed, settings["draws"]))


def _compared(tables: Tables, cut: Cut, settings: Mapping[str, Any], common: dict[str, Any]) -> Finding:
    """The widest gap between two groups; `cut.p` is already corrected for the other tags."""
    level, names, unit = cut.level, cut.groups.names, settings["unit"]
    worst, best, gap = _widest(cut)
    smaller, small = sorted(cut.share(group).n for group in cut.large)[:2]
    visible = differences.smallest_gap(small, smaller, float(cut.right.mean()), 1 - (1 - level) / cut.pairs)
    found = cut.p < 1 - level
    doubts = ["A gap does not say why: groups may differ in what they show, or in their labels."]
    few = [quoted(name) for group, name in enumerate(names) if group not in cut.large]
    if few:
        doubts.append(f"Fewer than {counted(settings['least'], _noun(unit))}, so not enough data: {listed(few)}.")
    within = _within_classes(tables, cut, settings["draws"]) if found else 0.0
    if within >= 1 - level:
        chance = wording.p_value(within)
        doubts.append(f"Within classes the gap is not clear ({chance}): the groups may hold different classes.")
    severity: Severity = "serious" if gap.value >= 0.1 else "moderate" if gap.value >= 0.05 else "minor"
    wrong = cut.rows[(cut.groups.place == worst) & (cut.right < 0.5)][:12]
    remedy = (
        f"Add training images of {quoted(names[worst])}, or give them more weight; then audit again: what does it "
        "cost the other groups?"
    )
    return Finding(
        id=f"groups:{cut.tag}",
        statement=_statement(tables, cut, worst, best, gap, visible, found),
        found=found,
        **gap._asdict(),
        severity=severity if found else "none",
        examples=tuple(tables.baseline["id"][wrong]) if found else (),
        evidence=(_bars(cut),),
        doubts=(*doubts, intervals.INDEPENDENT) if unit is None else tuple(doubts),
        settings={**settings, "p": cut.p, "smallest_gap": visible},
        mitigation=remedy if found else None,
        **common,
    )


def _within_classes(tables: Tables, cut: Cut, draws: int) -> float:
    """p of the same gap when images are dealt out within their class only."""
    targets = tables.baseline["target"][cut.rows[cut.compared]]
    return cut.test(tables.seed, draws, metrics.codes(targets, tables.baseline.classes))


def _statement(tables: Tables, cut: Cut, worst: int, best: int, gap: Estimate, visible: float, found: bool) -> str:
    names = cut.groups.names

    def share(group: int) -> str:
        images = counted(int(cut.groups.sizes[group]), "image")
        return f"{percent(cut.share(group).value)} of {images}"

    chance = wording.p_value(cut.p)
    if found:
        worse = f"the network is worse for {quoted(names[worst])} than for {quoted(names[best])}"
        shares = f"right on {share(worst)} against {share(best)}"
        return f"By {quoted(cut.tag)}, {worse}: {shares}, a gap of {gap.in_points}, {chance}."
    unseen = f"; a gap below about {points(visible)} between the two smallest groups would likely stay unseen"
    return (
        f"By {quoted(cut.tag)}, no gap is wider than chance may give between {len(cut.large)} groups of {tables.split} "
        f"images: the widest is {gap.in_points}, {chance}{unseen if visible == visible else ''}."
    )


def _widest(cut: Cut) -> tuple[int, int, Estimate]:
    """The worst and the best group, and the gap between them, its interval valid for whichever pair is widest."""
    means = np.array([cut.share(group).value for group in cut.large])
    worst, best = cut.large[int(np.argmin(means))], cut.large[int(np.argmax(means))]
    of_each_pair = cut._replace(level=1 - (1 - cut.level) / cut.pairs)
    gap = differences.between(of_each_pair.share(best), of_each_pair.share(worst), _correlation(cut, best, worst))
    n = len(cut.compared) if cut.unit is None else len(np.unique(cut.unit[cut.compared]))
    return worst, best, gap._replace(confidence_level=cut.level, n=n)


def _correlation(cut: Cut, first: int, second: int) -> float:
    """How the means of two groups go together because units lie in both; 0 for rows that stand alone."""
    if cut.unit is None:
        return 0.0
    parts = []
    for group in (first, second):
        here = cut.groups.place == group
        left = cut.right[here] - cut.right[here].mean()
        parts.append(np.bincount(cut.unit[here], weights=left, minlength=int(cut.unit.max()) + 1))
    size = float(np.linalg.norm(parts[0]) * np.linalg.norm(parts[1]))
    return float(parts[0] @ parts[1]) / size if size > 0 else 0.0


def _bars(cut: Cut) -> dict[str, Any]:
    rows = []
    for group, name in enumerate(cut.groups.names):
        each = cut.share(group)
        rows.append({"name": name, "value": each.value, "low": each.low, "high": each.high, "n": each.n})
    return {
        "kind": "bars",
        "title": f"How often it is right, by {quoted(cut.tag)}",
        "unit": "share",
        "rows": rows,
        "reference": {"name": "all images", "value": float(cut.right.mean())},
    }
