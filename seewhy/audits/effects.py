"""Because of what does the network decide?

One thing in each image is changed on purpose and the rest is kept, and the answers are compared with those before,
image by image. Three scales: how often the answer changes, and by how much the probability and the log-odds of the true
class move. Any edit leaves seams, so beside a change stands its placebo, as large an edit that ought to do nothing.
What the change does beyond that is its effect:

    effect = mean over images of [answer changes under the change] - [answer changes under the placebo]

A change that borrows from another class has a placebo that borrows from the same class; there the effect is how much
less often the answer is the true class, for one that goes by what is borrowed changes its answer under either:

    effect = mean over images of [right under the placebo] - [right under the change]

Paired by image, with Newcombe's interval and McNemar's exact test; where there is no placebo, an exact binomial test
asks whether more answers change than in the share `zone`. Holm corrects over all changes. Pearl 2009, Causality,
chapter 3: an edit of the pixels stands for do(.) as far as it changes nothing else, which each finding says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special, stats

from seewhy import shelf
from seewhy.audits import _changed
from seewhy.statistics import differences, grouping, intervals, significance
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, percent, points, quoted

pillar: Pillar = "cause"
optional = frozenset({"intervention"})

#: What is changed where nobody says otherwise, as `shelf.called` reads it.
USUAL = (
    *("background", "object", "grey", "hue", "patch_shuffle", "low_pass", "brightness", "contrast"),
    *("tint", "sensor_noise", "border_crop", "mark_on", "translate", "flip"),
)
#: Fewer images than this tell nothing.
LEAST = 10
SOURCE = "Pearl 2009; McNemar 1947; Newcombe 1998; Holm 1979"
EDITED = "The change is an edit of the pixels: whatever else it alters, seams among it, is in the number too."
GUESSED = (
    "Where the object is was guessed for {share} of the images, so that some of the edit may lie on the wrong side."
)


class Effect(NamedTuple):
    """What one change does to the images that were asked about under it, one entry an image."""

    text: str
    module: Any
    ids: np.ndarray
    before: np.ndarray
    after: np.ndarray
    confidence: Float[np.ndarray, "two rows"]
    changed: Bool[np.ndarray, " rows"]
    placebo: Bool[np.ndarray, " rows"] | None
    placebo_right: Float[np.ndarray, " rows"] | None
    right: Float[np.ndarray, "two rows"]
    logodds: Float[np.ndarray, "two rows"]
    rows: Int[np.ndarray, " rows"]
    guessed: float
    condition: str

    @property
    def sides(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The two shares that are compared, an entry an image, the first minus the second; None without a placebo."""
        if self.placebo is None or self.placebo_right is None:
            return None
        if self.borrows:
            known = ~np.isnan(self.right[1])
            return self.placebo_right[known], self.right[1, known]
        return self.changed.astype(float), self.placebo.astype(float)

    @property
    def borrows(self) -> bool:
        """Whether it takes something from another class, and images have labels."""
        donors = "donors" in getattr(self.module, "needs", ()) and self.placebo is not None
        return donors and int(np.sum(~np.isnan(self.right[1]))) >= LEAST


def needs(*, interventions: tuple[str, ...] | None = None, count: int = 500, **settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"), *(need for text in interventions or USUAL for need in _pair(text, count)))


def check(
    tables: Tables,
    *,
    interventions: tuple[str, ...] | None = None,
    count: int = 500,
    tags: tuple[str, ...] | None = None,
    zone: float = 0.05,
    level: float = 0.95,
    most: int = 6,
) -> Iterator[Finding]:
    """A Finding a change, and one over all. `interventions`: names on their shelf, each perhaps with a strength and
    settings, as "jpeg_compression:3" or "background:into=plain"; `count`: images asked; `tags`: groups told apart;
    `zone`: the share of answers that may change without mattering; `most`: pictures."""
    predictions = tables.baseline
    grouping.check(tags or (), predictions)
    common: dict[str, Any] = {
        "audit": "effects",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"level": level, "zone": zone, "count": count},
    }
    effects, absent = [], {}
    for text in interventions or USUAL:
        need = _pair(text, count)[0]
        if need in tables:
            effects.append(_effect(tables, text, count))
        else:
            absent[text] = tables.absent.get(need, "it was not made")
    effects = [effect for effect in effects if len(effect.ids) >= LEAST]
    if not effects:
        why = next(iter(absent.values()), f"fewer than {LEAST} images were asked about")
        statement = f"Because of what it decides was not asked: {why}."
        yield Finding(id="effects:all", statement=statement, n=0, **common)
        return
    measured = [_estimate(effect, zone, level) for effect in effects]
    adjusted = significance.holm([p for _, p in measured])
    told = [
        (estimate, bool(p < 1 - level) and estimate.low > 0)
        for (estimate, _), p in zip(measured, adjusted, strict=True)
    ]
    yield _summary(effects, told, absent, level, common)
    for effect, found, p in zip(effects, told, adjusted, strict=True):
        yield _one(effect, found, float(p), predictions, tags, zone, level, most, common)


def _pair(text: str, count: int) -> tuple[Need, ...]:
    """The table of a change and, where it has one, of its placebo. Raises KeyError for a change that is not there."""
    name, strength, settings = shelf.called(text)
    placebos = (False, True) if hasattr(_module(name), "placebo") else (False,)
    return tuple(_changed.need(name, strength, count, settings, placebo=placebo) for placebo in placebos)


def _module(name: str) -> Any:
    return shelf.load("interventions", name)


def _effect(tables: Tables, text: str, count: int) -> Effect:
    """Answers before and after, row by row."""
    baseline, (need, *others) = tables.baseline, _pair(text, count)
    under: Predictions = tables[need]
    rows = _changed.before(baseline, under)
    before, after = baseline["answer"][rows], under["answer"]
    placebo = placebo_right = None
    if others and others[0] in tables:
        still: Predictions = tables[others[0]]
        again = _changed.before(still, under)
        placebo, placebo_right = still["answer"][again] != before, still["right"][again]
    mark = "tag:guessed mask"
    return Effect(
        text,
        _module(shelf.called(text)[0]),
        under["id"],
        before,
        after,
        np.stack([baseline["confidence"][rows], under["confidence"]]),
        after != before,
        placebo,
        placebo_right,
        np.stack([baseline["right"][rows], under["right"]]),
        np.stack([baseline["logodds_true"][rows], under["logodds_true"]]),
        rows,
        float(np.mean(under[mark].astype(bool))) if mark in under.table.column_names and len(under) else 0.0,
        str(under["condition"][0]) if len(under) else text,
    )


def _estimate(effect: Effect, zone: float, level: float) -> tuple[Estimate, float]:
    """The effect on the decision, and how often chance alone would make so large a one; without a placebo the share of
    answers that change, against `zone`."""
    if effect.sides is not None:
        return differences.paired(*effect.sides, level)
    p = stats.binomtest(int(effect.changed.sum()), len(effect.changed), zone, "greater").pvalue
    return intervals.rate(effect.changed.astype(float), level), float(p)


def _one(
    effect: Effect,
    told: tuple[Estimate, bool],
    p: float,
    predictions: Predictions,
    tags: Sequence[str] | None,
    zone: float,
    level: float,
    most: int,
    common: dict[str, Any],
) -> Finding:
    """What one change does, in words, numbers and pictures."""
    (estimate, found), module = told, effect.module
    ought_not = getattr(module, "nuisance", False)
    severity: Severity = "none"
    if found and ought_not and effect.guessed < 0.5:  # a wrong guess brings objects along, and blames nobody
        severity = "serious" if estimate.low > 0.5 else "moderate" if estimate.low > 0.2 else "minor"
    doubts = [] if module.exact else [EDITED]
    doubts += [GUESSED.format(share=percent(effect.guessed))] if effect.guessed else []
    flipped = _surest_flips(effect, most)
    return Finding(
        id=f"effects:{effect.text}",
        statement=_statement(effect, estimate, found, zone, level),
        found=found,
        unit="share" if effect.placebo is None else "difference of shares",
        **estimate._asdict(),
        severity=severity,
        examples=tuple(effect.ids[flipped]),
        evidence=tuple(_evidence(effect, flipped, predictions, tags, level)),
        doubts=(*doubts, intervals.INDEPENDENT),
        mitigation=f"Train on images in which {module.changes} varies without the label, and audit again."
        if severity != "none"
        else None,
        **{**common, "settings": {**common["settings"], "p": p, "change": effect.text}},
    )


def _statement(effect: Effect, estimate: Estimate, found: bool, zone: float, level: float) -> str:
    """What the finding rests on; all that moves with it stands in the table `_moves`."""
    what, images = effect.module.changes, counted(estimate.n, "image")
    verdict = f"{'an effect' if found else 'no clear effect'} of {estimate.in_points}"
    verdict = f"no effect, for the placebo does more: {estimate.in_points}" if estimate.high < 0 else verdict
    if effect.sides is not None and effect.borrows:
        same, other = (percent(float(side.mean())) for side in effect.sides)
        return (
            f"With {what} taken from another class the answer is right for {other} of {images}, from the same class "
            f"for {same}: {verdict}."
        )
    share = intervals.rate(effect.changed.astype(float), level)
    if effect.placebo is not None:
        still = percent(float(effect.placebo.mean()))
        return (
            f"With only {what} changed, the answer changes for {percent(share.value)} of {images}, under its placebo "
            f"for {still}: {verdict}."
        )
    more = "" if found else f", not clearly more than {percent(zone)}"
    return f"With only {what} changed, the answer changes for {share} of {images}{more}."


def _moves(effect: Effect, level: float) -> dict[str, Any]:
    """How far the change moves answers, rightness, and the probability and log-odds of the true class."""
    asked = [("share of answers that change", intervals.rate(effect.changed.astype(float), level))]
    if effect.placebo is not None:
        asked.append(
            ("share of answers that change under the placebo", intervals.rate(effect.placebo.astype(float), level))
        )
    known = ~np.isnan(effect.right).any(0)
    if known.sum() > 1:
        right, _ = differences.paired(effect.right[1, known], effect.right[0, known], level)
        asked.append(("share right", right))
    asked += zip(("probability of the true class", "log-odds of the true class"), _moved(effect, level), strict=False)
    return _changed.moves(f"What moves when {effect.module.changes} changes", asked)


def _moved(effect: Effect, level: float) -> tuple[Estimate, ...]:
    """Mean change of the true class's probability and of its log-odds, which are cut at 50 as float32 ends there."""
    known = ~np.isnan(effect.logodds).any(0)
    if known.sum() < 2:
        return ()
    logodds = effect.logodds[:, known].clip(-50, 50)
    probability, _ = differences.paired(special.expit(logodds[1]), special.expit(logodds[0]), level)
    gap = logodds[1] - logodds[0]
    low, high = intervals.mean_interval(gap, level, unseen=intervals.UNSEEN_LOGODDS)
    return probability, Estimate(float(gap.mean()), low, high, level, len(gap))


def _surest_flips(effect: Effect, most: int) -> Int[np.ndarray, " rows"]:
    """Where the answer changed, those first of which the network was surest before and after."""
    flips = np.flatnonzero(effect.changed)
    return flips[np.argsort(-np.nan_to_num(effect.confidence[:, flips].sum(0)), kind="stable")][:most]


def _evidence(
    effect: Effect, flipped: np.ndarray, predictions: Predictions, tags: Sequence[str] | None, level: float
) -> Iterator[dict[str, Any]]:
    name, strength, settings = shelf.called(effect.text)
    if len(flipped):
        yield {
            "kind": "changed",
            "title": f"Before and after: {effect.module.changes}",
            "change": {"intervention": name, "strength": strength, "settings": dict(settings)},
            "condition": effect.condition,
            "items": [
                {
                    "id": effect.ids[row],
                    "caption": f"{quoted(effect.before[row])} {percent(effect.confidence[0, row])}, then "
                    f"{quoted(effect.after[row])} {percent(effect.confidence[1, row])}",
                }
                for row in flipped
            ],
        }
    yield _moves(effect, level)
    labels = predictions["target"][effect.rows]
    rows = [["all", *_cells(effect.changed, level)]]
    rows += [
        [f"class {label}", *_cells(effect.changed[labels == label], level)]
        for label in sorted({label for label in labels if label is not None}, key=str)
    ]
    for tag in tags or predictions.tags:
        groups = grouping.by(predictions, tag, effect.rows)
        if groups is not None:
            for number, group in enumerate(groups.names):
                rows.append([f"{tag} {group}", *_cells(effect.changed[groups.place == number], level)])
    yield {
        "kind": "table",
        "title": "Answers that change, by class and group",
        "columns": ["images of", "share changed", "share, low", "share, high", "n"],
        "rows": rows,
    }


def _cells(changed: np.ndarray, level: float) -> list[Any]:
    share = intervals.rate(changed.astype(float), level)
    return [share.value, share.low, share.high, share.n]


def _summary(
    effects: Sequence[Effect],
    told: Sequence[tuple[Estimate, bool]],
    absent: dict[str, str],
    level: float,
    common: dict[str, Any],
) -> Finding:
    """All changes side by side, the strongest first."""
    order = sorted(range(len(effects)), key=lambda place: -told[place][0].value)
    rows = [
        {
            "name": effects[place].module.changes,
            "value": told[place][0].value,
            "low": told[place][0].low,
            "high": told[place][0].high,
            "n": told[place][0].n,
        }
        for place in order
    ]
    clear = [place for place in order if told[place][1]]
    n = max(len(effect.ids) for effect in effects)
    if clear:
        said = [f"{effects[place].module.changes} ({points(told[place][0].value)})" for place in clear]
        clearly = "clearly changes the answers:" if len(clear) == 1 else "clearly change the answers, most of all"
        statement = (
            f"Of {counted(len(effects), 'change')} made to {counted(n, 'image')} on purpose, {len(clear):,} {clearly} "
            f"{listed(said, 3)}."
        )
    else:
        statement = (
            f"None of {counted(len(effects), 'change')} made on purpose clearly changes the answers to "
            f"{counted(n, 'image')}."
        )
    top = told[order[0]][0]
    missing = tuple(f"{text} was not tried: {why}." for text, why in absent.items())
    return Finding(
        id="effects:all",
        statement=statement,
        found=bool(clear),
        unit="difference of shares",
        **{**top._asdict(), "n": n},
        evidence=(
            {
                "kind": "bars",
                "title": "Answers that change beyond the placebo, by what is changed",
                "unit": "difference of shares",
                "rows": rows,
                "reference": None,
            },
        ),
        doubts=(*missing, EDITED),
        **common,
    )
