"""Does the answer stay the same when the image is moved, turned or scaled a little?

A shift by a few pixels, a turn by a few degrees, a scale by a few percent: what an image shows does not depend on them.
An image is consistent if its answer stays under all of them; no label is needed. On ImageNet about one answer in ten
of a usual network changes under a shift (Zhang 2019, https://arxiv.org/abs/1904.11486), so up to the share `zone` is
no finding; above it minor, and moderate where one image in five is inconsistent: then what it says of an image rests
on how the image happened to be framed. Binomial test against `zone`, Holm's correction over the changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import stats

from seewhy import shelf
from seewhy.audits import _changed
from seewhy.statistics import intervals, significance
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, listed, percent, quoted

pillar: Pillar = "cause"
optional = frozenset({"intervention"})

#: What is tried where nobody says otherwise, as `shelf.called` reads it: small enough that nobody would see it matter.
USUAL = ("translate:0.03125", "translate:0.0625", "rotate:5", "rotate:10", "scale:0.1")
LEAST = 10
SOURCE = "Zhang 2019, https://arxiv.org/abs/1904.11486; Wilson 1927; exact binomial test, Holm 1979"


def needs(*, changes: tuple[str, ...] | None = None, count: int = 200, **settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"), *(_need(text, count) for text in changes or USUAL))


def check(
    tables: Tables,
    *,
    changes: tuple[str, ...] | None = None,
    count: int = 200,
    zone: float = 0.05,
    level: float = 0.95,
    most: int = 6,
) -> Finding:
    """One Finding. `changes`: interventions with their strengths, as "rotate:5"; `count`: images asked; `zone`: the
    share of answers that may change without mattering; `most`: pictures."""
    common: dict[str, Any] = {
        "audit": "consistency",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"changes": changes or USUAL, "count": count, "zone": zone, "level": level},
    }
    asked = {text: _need(text, count) for text in changes or USUAL}
    there = [text for text, need in asked.items() if need in tables]
    missing = {text: tables.absent.get(need, "it was not made") for text, need in asked.items() if need not in tables}
    rows = _changed.before(tables.baseline, tables[asked[there[0]]]) if there else np.array([], dtype=np.int64)
    if len(rows) < LEAST:
        why = next(iter(missing.values()), f"it takes {LEAST} images, and there are {len(rows):,}")
        statement = f"Whether answers stay when images move a little was not asked: {why}."
        return Finding(id="consistency:moves", statement=statement, n=len(rows), **common)
    answers, after = tables.baseline["answer"][rows], [tables[asked[text]]["answer"] for text in there]
    flips = np.array([each != answers for each in after], dtype=bool)  # changes, images
    doubts = tuple(f"{text} was not tried: {why}." for text, why in missing.items())
    return _finding(tables, there, rows, flips, after, zone, level, most, doubts, common)


def _need(text: str, count: int) -> Need:
    name, strength, settings = shelf.called(text)
    return _changed.need(name, strength, count, settings)


def _finding(
    tables: Tables,
    there: Sequence[str],
    rows: np.ndarray,
    flips: Bool[np.ndarray, "changes images"],
    after: Sequence[np.ndarray],
    zone: float,
    level: float,
    most: int,
    doubts: tuple[str, ...],
    common: dict[str, Any],
) -> Finding:
    stays = intervals.rate((~flips.any(0)).astype(float), level)
    p = significance.holm(
        [float(stats.binomtest(int(each.sum()), len(rows), zone, "greater").pvalue) for each in flips]
    )
    clear = [place for place in np.argsort(-flips.sum(1), kind="stable") if p[place] < 1 - level]
    worst = int(np.argmax(flips.sum(1)))
    statement = (
        f"The answer stays the same under all of {counted(len(there), 'small change')} of place, angle and size for "
        f"{stays} of {counted(len(rows), 'image')}; "
    )
    if clear:
        said = [f"{there[place]} ({percent(float(flips[place].mean()))})" for place in clear]
        statement += f"clearly more than {percent(zone)} of answers change under {listed(said)}."
    elif flips.any():
        share = percent(float(flips[worst].mean()))
        statement += f"most change under {there[worst]}, {share}, not clearly more than {percent(zone)}."
    else:
        statement += "no answer changes under any of them."
    severity: Severity = "none" if not clear else "moderate" if stays.value <= 0.8 else "minor"
    shown = [place for place in np.argsort(-flips.sum(0), kind="stable") if flips[worst, place]][:most]
    ids, answers = tables.baseline["id"][rows], tables.baseline["answer"][rows]
    items = [
        {"id": ids[place], "caption": f"{quoted(answers[place])}, then {quoted(after[worst][place])}"}
        for place in shown
    ]
    return Finding(
        id="consistency:moves",
        statement=statement,
        found=bool(clear),
        unit="share",
        **stays._asdict(),
        severity=severity,
        examples=tuple(ids[place] for place in shown) if clear else (),
        evidence=tuple(_evidence(there, flips, items, worst, level)),
        doubts=(*doubts, "What moves in at the border is the image in a mirror.", intervals.INDEPENDENT),
        mitigation="Train with images moved, turned and scaled a little more, or average over views (--tta)."
        if clear
        else None,
        **{**common, "settings": {**common["settings"], "p": dict(zip(there, p.tolist(), strict=True))}},
    )


def _evidence(
    there: Sequence[str], flips: np.ndarray, items: list[dict[str, str]], worst: int, level: float
) -> list[dict[str, Any]]:
    rows = []
    for text, each in zip(there, flips, strict=True):
        share = intervals.rate((~each).astype(float), level)
        rows.append({"name": text, "value": share.value, "low": share.low, "high": share.high, "n": share.n})
    bars = {"kind": "bars", "title": "Answers that stay", "unit": "share", "rows": rows, "reference": None}
    if not items:
        return [bars]
    name, strength, settings = shelf.called(there[worst])
    own = ",".join(f"{key}={value}" for key, value in settings)
    return [
        bars,
        {
            "kind": "changed",
            "title": f"Before and after: {there[worst]}",
            "change": {"intervention": name, "strength": strength, "settings": dict(settings)},
            "condition": ":".join([name, *([] if strength is None else [f"{strength:g}"]), *([own] if own else [])]),
            "items": items,
        },
    ]
