"""Which classes does the network recognise worst?

Recall (of the images labelled so, how many were recognised) and precision (of the answers given so, how many were
right), each with Wilson's interval. Each class of ten images or more is tested against all others together, exactly
(Fisher, one-sided: X ~ hypergeometric), with Holm's correction over the classes. A class that is clearly worse gets a
Finding of its own: serious where its recall is 30 points or more below the rest's, moderate from 10, minor below that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from seewhy import wording
from seewhy.statistics import intervals, metrics, significance
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, percent, points, quoted

pillar: Pillar = "performance"

#: How many classes are drawn; the worst ones where there are more.
DRAWN = 30
SOURCE = "Wilson 1927; Fisher's exact test, Holm 1979"


@dataclass(frozen=True, eq=False)
class Classes:
    """Counts a class, in order of class: labelled so, recognised, answered so; and p against the rest."""

    names: tuple[str, ...]
    n: np.ndarray
    hits: np.ndarray
    answered: np.ndarray
    p: np.ndarray
    level: float

    def rest(self, place: int) -> float:
        """The recall of all other classes together."""
        return float((self.hits.sum() - self.hits[place]) / (self.n.sum() - self.n[place]))


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(tables: Tables, *, level: float = 0.95, least: int = 10) -> Iterator[Finding]:
    """A summary, and one Finding a class that is clearly worse than the rest. `least`: images a class must have."""
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    common: dict[str, Any] = {
        "audit": "per_class",
        "pillar": pillar,
        "unit": "share",
        "settings": {"level": level, "least": least},
        "seed": tables.seed,
        "source": SOURCE,
    }
    if not intervals.is_binary(predictions["right"][rows]) or predictions.parts is not None:
        why = "its answers can be partly right, so they are no classes"
    elif len(set(predictions["target"][rows])) < 2:
        why = f"fewer than two classes occur among the labels of the {tables.split} images"
    else:
        classes = _counted(predictions, rows, level, least)
        why = f"fewer than two classes have {counted(least, 'image')} or more: not enough data"
        if np.sum(classes.n >= least) >= 2:
            worse = np.flatnonzero(classes.p < 1 - level)
            yield _summary(tables, classes, worse, least, common)
            for place in worse[np.argsort(classes.hits[worse] / classes.n[worse], kind="stable")]:
                yield _worse(tables, predictions, rows, classes, int(place), common)
            return
    yield Finding(id="per_class:all", statement=f"Classes were not compared: {why}.", n=len(rows), **common)


def _counted(predictions: Predictions, rows: np.ndarray, level: float, least: int) -> Classes:
    targets, answers = predictions["target"][rows], predictions["answer"][rows]
    names = tuple(dict.fromkeys([*predictions.classes, *targets]))
    target, answer = metrics.codes(targets, names), metrics.codes(answers, names)
    right = predictions["right"][rows] > 0
    n = np.bincount(target, minlength=len(names))
    hits = np.bincount(target[right], minlength=len(names))
    answered = np.bincount(answer[answer >= 0], minlength=len(names))
    tested = np.flatnonzero((n >= least) & (n < len(rows)))
    p = np.ones(len(names))
    p[tested] = significance.holm(stats.hypergeom.cdf(hits[tested], len(rows), hits.sum(), n[tested]))
    return Classes(names, n, hits, answered, p, level)


def _summary(tables: Tables, classes: Classes, worse: np.ndarray, least: int, common: dict[str, Any]) -> Finding:
    compared = np.flatnonzero(classes.n >= least)
    recall = classes.hits / np.maximum(classes.n, 1)
    worst = int(compared[np.argmin(recall[compared])])
    low, high = intervals.wilson(int(classes.hits[worst]), int(classes.n[worst]), classes.level)
    estimate = intervals.Estimate(float(recall[worst]), low, high, classes.level, int(classes.n[worst]))
    images = counted(estimate.n, f"{tables.split} image".strip())
    lowest = (
        f"{quoted(classes.names[worst])}, recognised on {int(classes.hits[worst]):,} of its {images}, {estimate}, "
        f"against {percent(classes.rest(worst))} of the others"
    )
    many = counted(len(compared), "class")
    if len(worse):
        statement = f"{len(worse):,} of {many} {'is' if len(worse) == 1 else 'are'} recognised clearly worse than the "
        statement += f"rest; the lowest is {lowest}."
    elif recall[worst] == 1:
        statement = f"Every image of each of the {many} is recognised."
    else:
        statement = f"None of {many} is recognised clearly worse than the rest; the lowest is {lowest}."
    few = [quoted(name) for name, n in zip(classes.names, classes.n, strict=True) if n < least]
    doubts = ["The lowest of many values is partly chance; its interval is not widened for having been chosen."]
    if few:
        doubts.append(f"Fewer than {counted(least, 'image')}, so not enough data: {listed(few)}.")
    return Finding(
        id="per_class:all",
        statement=statement,
        found=bool(len(worse)),
        **estimate._asdict(),
        severity="none",  # the classes themselves carry it
        evidence=_evidence(classes),
        doubts=(*doubts, intervals.INDEPENDENT),
        **common,
    )


def _worse(
    tables: Tables, predictions: Predictions, rows: np.ndarray, classes: Classes, place: int, common: dict[str, Any]
) -> Finding:
    name, hits, n = classes.names[place], int(classes.hits[place]), int(classes.n[place])
    low, high = intervals.wilson(hits, n, classes.level)
    estimate = intervals.Estimate(hits / n, low, high, classes.level, n)
    gap = classes.rest(place) - estimate.value
    severity: Severity = "serious" if gap >= 0.3 else "moderate" if gap >= 0.1 else "minor"
    missed = rows[(predictions["target"][rows] == name) & (predictions["right"][rows] == 0)]
    surest = missed[np.argsort(-np.nan_to_num(predictions["confidence"][missed]), kind="stable")][:12]
    return Finding(
        id=f"per_class:class:{name}",
        statement=f"{quoted(name)} is recognised on {hits:,} of its {counted(n, f'{tables.split} image'.strip())}, "
        f"{estimate}, which is {points(gap)} below the other classes ({wording.p_value(classes.p[place])}).",
        found=True,
        **estimate._asdict(),
        severity=severity,
        examples=tuple(predictions["id"][surest]),
        evidence=(
            {
                "kind": "examples",
                "title": f"Images of {quoted(name)} that were not recognised",
                "items": [
                    {"id": predictions["id"][row], "caption": f"said {quoted(predictions['answer'][row])}"}
                    for row in surest
                ],
            },
        ),
        doubts=("Some of its labels may be wrong, or its images harder for people too.", intervals.INDEPENDENT),
        mitigation=f"Add training images of {quoted(name)}, look for wrong labels among these, or weight the class.",
        **common,
    )


def _evidence(classes: Classes) -> tuple[dict[str, Any], ...]:
    """Bars of recall and of precision, the classes of lowest recall first and at most thirty of them."""
    recall = classes.hits / np.maximum(classes.n, 1)
    there = np.flatnonzero(classes.n > 0)
    drawn = there[np.argsort(recall[there], kind="stable")][:DRAWN]
    note = f" (the {DRAWN} lowest of {len(there):,} classes)" if len(there) > DRAWN else ""
    overall = float(classes.hits.sum() / classes.n.sum())
    bars = []
    for title, of in (("Recall by class", classes.n), ("Precision by class", classes.answered)):
        given = drawn[of[drawn] > 0]
        low, high = intervals.wilson(classes.hits[given], of[given], classes.level)
        rows = [
            {
                "name": classes.names[place],
                "value": float(classes.hits[place] / of[place]),
                "low": float(low[index]),
                "high": float(high[index]),
                "n": int(of[place]),
            }
            for index, place in enumerate(given)
        ]
        reference = {"name": "all classes", "value": overall}
        bars.append({"kind": "bars", "title": title + note, "unit": "share", "rows": rows, "reference": reference})
    return tuple(bars)
