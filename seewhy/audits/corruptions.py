"""Does the network still work when images are noisy, blurred, foggy or badly stored?

The fifteen corruptions of ImageNet-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261) on a sample of
the images, at some of their five severities:

    E(kind, severity) = share of wrong answers,    mean corruption error = mean of E over kinds and severities
    mCE = mean over kinds of [ sum over severities of E / sum over severities of E of a reference ]

The mean is not normalised unless a reference is named by its errors, as the paper does by AlexNet's; only numbers made
by the same implementation may be compared. What counts is how much worse than on the same images clean: paired by
image, Student's interval on the image's mean over severities, a test that draws the signs of images,
Holm's correction over kinds.
Any network loses something, so this is no fault by itself: minor, and moderate from 20 points more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seewhy.audits import _changed
from seewhy.statistics import differences, intervals, significance
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, listed, percent, points

pillar: Pillar = "cause"
optional = frozenset({"intervention"})

KINDS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
#: Fewer images than this tell nothing; fewer that are changed leave the interval in doubt.
LEAST = 10
SOURCE = "Hendrycks and Dietterich 2019; Student 1908; wild bootstrap (Cameron, Gelbach and Miller 2008); Holm 1979"


class Errors(NamedTuple):
    """How wrong the network is, 0 to 1, on the same images clean and corrupted."""

    kinds: tuple[str, ...]
    severities: tuple[float, ...]
    ids: np.ndarray
    clean: Float[np.ndarray, " images"]
    corrupted: Float[np.ndarray, "kinds severities images"]

    def worse(self, place: int | None, level: float, seed: int) -> tuple[Estimate, float]:
        """How much more often it is wrong under a kind, or under all, and the p of drawing the signs of images."""
        under = (self.corrupted if place is None else self.corrupted[[place]]).mean((0, 1))
        estimate, _ = differences.paired(under, self.clean, level)
        both, side = np.concatenate([under, self.clean]), np.repeat([0, 1], len(under))
        # A test of signs would ask for the median, which moves under many corruptions even where the mean does not.
        return estimate, significance.unit_test(both, side, np.tile(np.arange(len(under)), 2), seed=seed)[1]


def needs(
    *,
    kinds: tuple[str, ...] | None = None,
    severities: tuple[float, ...] = (1.0, 3.0, 5.0),
    count: int = 200,
    **settings: Any,
) -> tuple[Need, ...]:
    asked = (_changed.need(kind, severity, count) for kind in kinds or KINDS for severity in severities)
    return (Need("baseline"), *asked)


def check(
    tables: Tables,
    *,
    kinds: tuple[str, ...] | None = None,
    severities: tuple[float, ...] = (1.0, 3.0, 5.0),
    count: int = 200,
    reference: tuple[float, ...] = (),
    level: float = 0.95,
) -> Iterator[Finding]:
    """How much it loses, by which kinds, and whether more hurts more. `count`: images asked; `severities`: of 1 to 5;
    `kinds`: all fifteen unless some are named; `reference`: another network's error by kind, each a mean over the same
    severities, for a normalised mCE.

    Raises ValueError for a reference of another length than `kinds`, or with an error of 0.
    """
    kinds = kinds or KINDS
    if reference and (len(reference) != len(kinds) or min(reference) <= 0):
        raise ValueError(
            f"The setting 'reference' has {counted(len(reference), 'number')} for {counted(len(kinds), 'kind')}; "
            "it needs one a kind, each above 0"
        )
    common: dict[str, Any] = {
        "audit": "corruptions",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"kinds": kinds, "severities": severities, "count": count, "level": level},
    }
    errors, missing = _errors(tables, kinds, severities, count)
    if errors is None or len(errors.clean) < LEAST:
        n = 0 if errors is None else len(errors.clean)
        why = next(iter(missing.values()), f"it takes {LEAST} labelled images, and there are {n:,}")
        statement = f"How much corruptions hurt was not asked: {why}."
        yield Finding(id="corruptions:mean", statement=statement, n=n, **common)
        return
    doubts = tuple(f"{kind} was not tried: {why}." for kind, why in missing.items())
    yield _mean(errors, dict(zip(kinds, reference, strict=False)), doubts, level, common)
    yield _by_kind(errors, doubts, level, common)
    if len(errors.severities) > 1:
        yield _growth(errors, level, common)


def _errors(
    tables: Tables, kinds: Sequence[str], severities: Sequence[float], count: int
) -> tuple[Errors | None, dict[str, str]]:
    """Of the kinds that could be had at all severities; and of the others why not."""
    missing: dict[str, str] = {}
    found: dict[str, list[Float[np.ndarray, " images"]]] = {}
    rows: np.ndarray | None = None
    for kind in kinds:
        asked = [_changed.need(kind, severity, count) for severity in severities]
        absent = [need for need in asked if need not in tables]
        if absent or not asked:
            missing[kind] = tables.absent.get(absent[0], "it was not made") if absent else "no severity was named"
            continue
        rows = _changed.before(tables.baseline, tables[asked[0]])
        found[kind] = [1 - tables[need]["right"] for need in asked]
    if rows is None:
        return None, missing
    clean, corrupted = 1 - tables.baseline["right"][rows], np.array(list(found.values()))
    known = ~np.isnan(clean) & ~np.isnan(corrupted).any((0, 1))
    ids = tables.baseline["id"][rows][known]
    return Errors(tuple(found), tuple(severities), ids, clean[known], corrupted[:, :, known]), missing


def _mean(
    errors: Errors, reference: dict[str, float], doubts: tuple[str, ...], level: float, common: dict[str, Any]
) -> Finding:
    """The loss over all kinds and severities, with the whole table."""
    estimate, p = errors.worse(None, level, common["seed"])
    found = p < 1 - level and estimate.value > 0
    by_kind = errors.corrupted.mean((1, 2))
    clean, mean = float(errors.clean.mean()), float(by_kind.mean())
    kinds = counted(len(errors.kinds), "kind")
    at = listed([f"{severity:g}" for severity in errors.severities], 9)
    statement = (
        f"Under {kinds} of corruption, at severity {at}, the network is wrong on {percent(mean)} (mean corruption "
        f"error, not normalised), against {percent(clean)} of the same {counted(len(errors.clean), 'image')} clean: "
        f"a difference of {estimate.in_points}"
    )
    if not found:
        statement += ", no more than chance may give"
    known = [errors.kinds.index(kind) for kind in errors.kinds if kind in reference]
    normalised = None
    if known:
        normalised = float(np.mean([by_kind[place] / reference[errors.kinds[place]] for place in known]))
        statement += f"; relative to the named reference the mCE is {percent(normalised)}"
    severity: Severity = "none" if not found else "moderate" if estimate.value >= 0.2 else "minor"
    changed = int(np.sum(np.abs(errors.corrupted.mean((0, 1)) - errors.clean) > 1e-9))
    if changed < LEAST:
        few = "image is answered" if changed == 1 else "images are answered"
        doubts = (*doubts, f"Only {changed:,} {few} differently under any corruption, so the interval is a rough one.")
    numbers = {"mean_corruption_error": mean, "clean_error": clean, "mce": normalised, "p": p}
    return Finding(
        id="corruptions:mean",
        statement=f"{statement}.",
        found=found,
        unit="difference of shares",
        **estimate._asdict(),
        severity=severity,
        evidence=(_table(errors, by_kind),),
        doubts=(*doubts, intervals.INDEPENDENT),
        mitigation="Train with such images among the others (RandAugment makes some), and audit again."
        if found
        else None,
        **{**common, "settings": {**common["settings"], **numbers}},
    )


def _table(errors: Errors, by_kind: Float[np.ndarray, " kinds"]) -> dict[str, Any]:
    clean = float(errors.clean.mean())
    rows = [
        [kind, *errors.corrupted[place].mean(1).tolist(), float(by_kind[place]), float(by_kind[place]) - clean]
        for place, kind in enumerate(errors.kinds)
    ]
    each = errors.corrupted.mean((0, 2)).tolist()
    rows += [["all kinds", *each, float(by_kind.mean()), float(by_kind.mean()) - clean]]
    rows += [["clean", *[clean] * (len(each) + 1), 0.0]]
    columns = ["corruption", *(f"share at {severity:g}" for severity in errors.severities)]
    columns += ["share, mean", "share more than clean"]
    return {"kind": "table", "title": "Share of wrong answers", "columns": columns, "rows": rows}


def _by_kind(errors: Errors, doubts: tuple[str, ...], level: float, common: dict[str, Any]) -> Finding:
    """Which kinds hurt, the worst first."""
    told = [errors.worse(place, level, common["seed"]) for place in range(len(errors.kinds))]
    adjusted = significance.holm([p for _, p in told])
    order = sorted(range(len(told)), key=lambda place: -told[place][0].value)
    hurt = [place for place in order if adjusted[place] < 1 - level and told[place][0].value > 0]
    estimate = told[order[0]][0]
    said = [f"{errors.kinds[place]} ({points(told[place][0].value)})" for place in hurt]
    if hurt:
        makes = "makes" if len(hurt) == 1 else "make"
        of = f"{len(hurt):,} of {counted(len(told), 'kind')} of corruption"
        statement = f"{of} clearly {makes} the network wrong more often, the worst first: {listed(said)}"
    else:
        statement = (
            f"None of {counted(len(told), 'kind')} of corruption clearly makes the network wrong more often; the "
            f"most is {estimate.in_points} by {errors.kinds[order[0]]}"
        )
    rows = [
        {"name": errors.kinds[place], **{key: told[place][0]._asdict()[key] for key in ("value", "low", "high", "n")}}
        for place in order
    ]
    severity: Severity = "none" if not hurt else "moderate" if estimate.value >= 0.2 else "minor"
    p = dict(zip(errors.kinds, adjusted.tolist(), strict=True))
    return Finding(
        id="corruptions:kinds",
        statement=f"{statement}.",
        found=bool(hurt),
        unit="difference of shares",
        **estimate._asdict(),
        severity=severity,
        examples=_broken(errors, hurt[0]) if hurt else (),
        evidence=(
            {
                "kind": "bars",
                "title": "More wrong answers than on clean images",
                "unit": "difference of shares",
                "rows": rows,
                "reference": None,
            },
            *(_pictures(errors, hurt[0]) if hurt else ()),
        ),
        doubts=(*doubts, "The interval of the worst kind is not widened for being the worst of several."),
        mitigation="See whether images in use look like this, and train with such images if they do." if hurt else None,
        **{**common, "settings": {**common["settings"], "p": p}},
    )


def _broken(errors: Errors, kind: int, most: int = 6) -> tuple[str, ...]:
    """Images that are right when clean and wrong at the strongest severity asked; those first that break early."""
    lost = errors.corrupted[kind] - errors.clean
    order = np.argsort(-lost.sum(0), kind="stable")
    return tuple(str(errors.ids[place]) for place in order if lost[-1, place] > 0.5)[:most]


def _pictures(errors: Errors, kind: int) -> Iterator[dict[str, Any]]:
    name, severity = errors.kinds[kind], errors.severities[-1]
    items = [{"id": id, "caption": f"right, then wrong under {name}"} for id in _broken(errors, kind)]
    if items:
        yield {
            "kind": "changed",
            "title": f"Before and after: {name}",
            "change": {"intervention": name, "strength": float(severity), "settings": {}},
            "condition": f"{name}:{severity:g}",
            "items": items,
        }


def _growth(errors: Errors, level: float, common: dict[str, Any]) -> Finding:
    """Whether more of a corruption hurts more: each step of each kind, by McNemar's test, Holm over all."""
    steps = [(kind, step) for kind in range(len(errors.kinds)) for step in range(len(errors.severities) - 1)]
    p, falls = [], []
    for kind, step in steps:
        weak, strong = errors.corrupted[kind, step], errors.corrupted[kind, step + 1]
        p.append(differences.mcnemar(int(np.sum(weak > strong)), int(np.sum(weak < strong))))
        falls.append(float(np.mean(weak - strong)))
    adjusted = significance.holm(p)
    odd = [place for place in range(len(steps)) if adjusted[place] < 1 - level and falls[place] > 0]
    grows = [percent(share) for share in errors.corrupted.mean((0, 2))]
    at = listed([f"{severity:g}" for severity in errors.severities], 9)
    statement = f"Over all kinds it is wrong on {listed(grows, 9)} at severity {at}; "
    if odd:
        said = [
            f"{errors.kinds[steps[place][0]]} from {errors.severities[steps[place][1]]:g} to "
            f"{errors.severities[steps[place][1] + 1]:g} ({points(falls[place])})"
            for place in odd
        ]
        statement += f"more of a corruption clearly hurts less in {listed(said)}."
    else:
        statement += "no kind clearly hurts less where there is more of it."
    overall, _ = differences.paired(errors.corrupted[:, -1].mean(0), errors.corrupted[:, 0].mean(0), level)
    return Finding(
        id="corruptions:severity",
        statement=statement,
        found=bool(odd),
        unit="difference of shares",
        **overall._asdict(),
        severity="minor" if odd else "none",
        doubts=("A network that is better on a stronger corruption may read the corruption itself.",) if odd else (),
        mitigation="Look at those images: is the class told from the corruption itself?" if odd else None,
        **common,
    )
