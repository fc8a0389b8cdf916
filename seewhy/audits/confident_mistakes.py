"""Where is it confidently wrong?

Mistakes made with a confidence of at least `threshold`, as a share of all mistakes (Wilson), the surest first. They
are serious if even the lower end of the share of wrong answers among such confident ones is above 1 - threshold, so
that "at least 90 % sure" is wrong more than one time in ten; moderate if they are a quarter of all mistakes or more;
else minor. An answer that can be partly right is wrong here when its rightness is below one half.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy.statistics import intervals
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "mistakes"


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(tables: Tables, *, threshold: float = 0.9, level: float = 0.95, most: int = 12) -> Finding:
    """One Finding. `most`: how many examples are shown."""
    predictions = tables.baseline
    right, confidence = predictions["right"], predictions["confidence"]
    known = ~np.isnan(right) & ~np.isnan(confidence)
    wrong = known & (right < 0.5)
    sure = known & (confidence >= threshold)
    both = np.flatnonzero(wrong & sure)
    mistakes, n = int(wrong.sum()), int(known.sum())
    images = counted(n, f"{tables.split} image".strip())
    common: dict[str, Any] = {
        "id": "confident_mistakes:all",
        "audit": "confident_mistakes",
        "pillar": pillar,
        "unit": "share of mistakes",
        "settings": {"threshold": threshold, "level": level, "most": most},
        "seed": tables.seed,
        "source": "Wilson 1927",
    }
    if not n:
        lacks = "a confidence" if np.any(~np.isnan(right)) else "a label"
        statement = (
            f"Confident mistakes were not looked for: none of the {f'{tables.split} image'.strip()}s has {lacks}."
        )
        return Finding(statement=statement, n=0, **common)
    if not mistakes:
        return Finding(
            statement=f"There is no confident mistake, because there is no mistake on {images}.",
            found=False,
            n=0,
            **common,
        )
    low, high = intervals.wilson(len(both), mistakes, level)
    estimate = intervals.Estimate(len(both) / mistakes, float(low), float(high), level, mistakes)
    of = "the one mistake" if mistakes == 1 else f"{mistakes:,} mistakes"
    above = f"a confidence of at least {100 * threshold:.4g} %"
    if not len(both):
        none = f"None of {of}" if mistakes > 1 else f"Not even {of}"
        statement = f"{none} on {images} was made with {above}: {estimate}."
        return Finding(statement=statement, found=False, **estimate._asdict(), **common)
    wrong_low, _ = intervals.wilson(len(both), int(sure.sum()), level)
    severity: Severity = "minor"
    if wrong_low > 1 - threshold:
        severity = "serious"
    elif estimate.value >= 0.25:
        severity = "moderate"
    were = "was" if len(both) == 1 else "were"
    said = f"{percent(len(both) / int(sure.sum()))} of the answers given so confidently"
    made = f"{len(both):,} of {of}" if mistakes > 1 else "The one mistake"
    surest = both[np.argsort(-confidence[both], kind="stable")][:most]
    return Finding(
        statement=f"{made} on {images} {were} made with {above}, {estimate}; that is {said}.",
        found=True,
        **estimate._asdict(),
        severity=severity,
        examples=tuple(predictions["id"][surest]),
        evidence=(_pictures(predictions, surest),),
        doubts=(
            "A confident mistake may be a wrong label: look at the picture before blaming the network.",
            intervals.INDEPENDENT,
        ),
        mitigation="Check these labels first; then let a person see what is answered wrongly with confidence, add such "
        "images to the training set, or lower the confidence by a temperature.",
        **common,
    )


def _pictures(predictions: Predictions, rows: np.ndarray) -> dict[str, Any]:
    items = []
    for row in rows:
        said, labelled = quoted(predictions["answer"][row]), quoted(predictions["target"][row])
        sure = percent(predictions["confidence"][row])
        items.append({"id": predictions["id"][row], "caption": f"said {said} with {sure}, labelled {labelled}"})
    return {"kind": "examples", "title": "The surest mistakes", "items": items}
