"""Does the network notice images that are of none of its classes?

On images that the user names (`--set strangers.data=FOLDER`) beside test images: how often a stranger gets a higher
score of strangeness than a test image does (AUROC), and how many strangers still pass where 95 % of the test images do
(FPR at 95 % TPR). Three scores: how unsure it is, energy, and distance from the training images (seewhy/tables/
strangers.py). It is moderate where even the best of them is clearly below .7, minor below .9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy.statistics import intervals
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, quoted

pillar: Pillar = "mistakes"

#: The scores, as a sentence says them.
SCORES = {"unsure": "how unsure it is", "energy": "energy", "distance": "distance from the training images"}
LEAST = 10
#: At and above the second strangers are told well; clearly below the first hardly.
HARDLY, WELL = 0.7, 0.9
SOURCE = "Hendrycks and Gimpel 2017; Liu and others 2020; Lee and others 2018; DeLong and others 1988; Newcombe 2006"


def needs(*, data: str | None = None, count: int = 500, **settings: Any) -> tuple[Need, ...]:
    asked = () if data is None else (Need("strangers", data=data, count=count),)
    return (Need("baseline"), *asked)


def check(tables: Tables, *, data: str | None = None, count: int = 500, level: float = 0.95) -> Finding:
    """One Finding. `data`: images of none of the classes, as a folder or whatever else `--data` takes; `count`: how
    many of them, and of the test images, are asked."""
    common: dict[str, Any] = {
        "id": "strangers:told",
        "audit": "strangers",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"data": data, "count": count, "level": level},
    }
    if data is None:
        statement = (
            "Not run: whether the network notices strangers. Name images that are none of the classes with "
            "--set strangers.data=FOLDER."
        )
        return Finding(statement=statement, **common)
    table = tables[Need("strangers", data=data, count=count)]
    known = table.column("known").to_numpy(zero_copy_only=False).astype(bool)
    scores = {name: table.column(name).to_numpy(zero_copy_only=False).astype(float) for name in SCORES}
    scores = {name: values for name, values in scores.items() if len(values) and np.isfinite(values).all()}
    here, there = int(known.sum()), int((~known).sum())
    if min(here, there) < LEAST or not scores:
        statement = (
            f"There is not enough data to tell whether the network notices strangers: it takes {LEAST} of them and "
            f"{LEAST} test images, and there are {there:,} and {here:,}."
        )
        return Finding(statement=statement, n=here + there, **common)
    areas = {name: intervals.auroc(values[~known], values[known], level) for name, values in scores.items()}
    passes = {name: _passing(values, known, level) for name, values in scores.items()}
    best = max(areas, key=lambda name: areas[name].value)
    area = areas[best]
    severity: Severity = "moderate" if area.high < HARDLY else "minor" if area.high < WELL else "none"
    said = "hardly tells" if area.high < HARDLY else "tells" if area.low >= WELL else "partly tells"
    return Finding(
        statement=f"The network {said} {counted(there, 'stranger')} ({quoted(data)}) from "
        f"{counted(here, 'test image')}: by {SCORES[best]}, a stranger scores higher with a chance of {area}; where "
        f"95 % of the test images pass, {passes[best]} of the strangers do.",
        found=severity != "none",
        unit="probability",
        **area._asdict(),
        severity=severity,
        evidence=tuple(_evidence(areas, passes)),
        doubts=(
            "It holds for these strangers: others may be nearer to the classes or farther off.",
            "The best of the scores was chosen on these images, which flatters it.",
            "The interval of what passes takes the threshold as given.",
            intervals.INDEPENDENT,
        ),
        mitigation="Refuse to answer above a threshold of that score, or train with such images as one more class."
        if severity != "none"
        else None,
        **{**common, "settings": {**common["settings"], "auroc": {name: each.value for name, each in areas.items()}}},
    )


def _passing(values: np.ndarray, known: np.ndarray, level: float) -> Estimate:
    """The share of strangers at or below the score under which 95 % of the test images lie."""
    threshold = np.quantile(values[known], 0.95, method="inverted_cdf")
    return intervals.rate((values[~known] <= threshold).astype(float), level)


def _evidence(areas: dict[str, Estimate], passes: dict[str, Estimate]) -> list[dict[str, Any]]:
    titles = {
        "Strangers told from test images (AUROC)": areas,
        "Strangers that pass where 95 % of test images do": passes,
    }
    return [
        {
            "kind": "bars",
            "title": title,
            "unit": "share" if each is passes else "probability",
            "rows": [
                {"name": SCORES[name], "value": one.value, "low": one.low, "high": one.high, "n": one.n}
                for name, one in each.items()
            ],
            "reference": {"name": "by guessing", "value": 0.5} if each is areas else None,
        }
        for title, each in titles.items()
    ]
