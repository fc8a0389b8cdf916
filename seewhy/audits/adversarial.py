"""How little must each pixel change, on purpose, for the network to be wrong?

Projected gradient descent (Madry and others 2018, https://arxiv.org/abs/1706.06083) within `eps` levels of 255 in every
channel, on a small sample: the share still right by eps, where eps = 0 is the clean images. It is an upper bound: a
stronger attack leaves fewer. Nearly every network that was not trained against attacks loses all by 8; so a loss is
told and is minor at most. It is a fault only where somebody has a reason to attack.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy.audits import _changed
from seewhy.statistics import differences, intervals
from seewhy.types import Finding, Need, Pillar, Tables
from seewhy.wording import counted, percent

pillar: Pillar = "cause"
optional = frozenset({"intervention"})

LEAST = 10
#: A loss this large at the weakest attack is worth a look.
LARGE = 0.2
SOURCE = "Madry and others 2018, https://arxiv.org/abs/1706.06083; Wilson 1927; McNemar 1947"


def needs(
    *, eps: tuple[float, ...] = (0.5, 2.0, 8.0), steps: int = 10, count: int = 64, **settings: Any
) -> tuple[Need, ...]:
    return (Need("baseline"), *(_need(each, steps, count) for each in eps))


def check(
    tables: Tables,
    *,
    eps: tuple[float, ...] = (0.5, 2.0, 8.0),
    steps: int = 10,
    count: int = 64,
    level: float = 0.95,
) -> Finding:
    """One Finding. `eps`: in levels of 0 to 255; `steps`: of the attack; `count`: images attacked."""
    common: dict[str, Any] = {
        "id": "adversarial:pgd",
        "audit": "adversarial",
        "pillar": pillar,
        "seed": tables.seed,
        "source": SOURCE,
        "settings": {"eps": eps, "steps": steps, "count": count, "level": level},
    }
    there = sorted(each for each in eps if _need(each, steps, count) in tables)
    under = [tables[_need(each, steps, count)] for each in there]
    rows = _changed.before(tables.baseline, under[0]) if under else np.array([], dtype=np.int64)
    right = np.array([tables.baseline["right"][rows], *(each["right"] for each in under)])
    right = right[:, ~np.isnan(right).any(0)]  # eps, images
    if right.shape[1] < LEAST:
        n = right.shape[1]
        why = next(iter(tables.absent.values()), "") if not under else ""
        why = why or f"it takes {LEAST} labelled images, and there are {n:,}"
        return Finding(statement=f"How little it takes to mislead the network was not asked: {why}.", n=n, **common)
    shares = [intervals.rate(each, level) for each in right]
    lost, p = differences.paired(right[0], right[1], level)
    found = p < 1 - level and lost.value > 0
    fewer = [f"{percent(share.value)} at {each:g}/255" for share, each in zip(shares[1:], there, strict=True)]
    statement = (
        f"Of {counted(right.shape[1], 'image')} the network is right on {percent(shares[0].value)}; with each pixel "
        f"changed on purpose, on {', '.join(fewer)}; at {there[0]:g}/255 "
        f"{'a loss' if found else 'no clear loss'} of {lost.in_points}."
    )
    curve = {
        "kind": "curve",
        "title": "Still right, by how much each pixel may change",
        "x_label": "levels of 255",
        "y_label": "share right",
        "series": [
            {
                "name": f"{steps} steps of PGD",
                "x": [0.0, *there],
                "y": [share.value for share in shares],
                "low": [share.low for share in shares],
                "high": [share.high for share in shares],
            }
        ],
        "diagonal": False,
    }
    severe = found and lost.value >= LARGE
    return Finding(
        statement=statement,
        found=found,
        unit="difference of shares",
        **lost._asdict(),
        severity="minor" if severe else "none",
        evidence=(curve,),
        doubts=("A stronger attack would leave fewer right.", intervals.INDEPENDENT),
        mitigation="Where somebody may attack it, train against attacks; that costs accuracy on clean images."
        if severe
        else None,
        **common,
    )


def _need(eps: float, steps: int, count: int) -> Need:
    return _changed.need("pgd", eps, count, (("steps", steps),))
