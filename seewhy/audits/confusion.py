"""Which classes does the network mix up?

Counts of label by answer, and the most frequent mix-ups with their share of the label's images. A mix-up stands out
if it is more frequent than it would be were the mistakes on its label spread evenly over all other classes (binomial,
one-sided, Bonferroni's correction over all pairs). It is moderate where a quarter of a class or more is given
one and the same wrong name, else minor. With two classes there is but one way to be wrong, and no such test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import stats

from seewhy import wording
from seewhy.statistics import intervals, metrics
from seewhy.types import Finding, Need, Pillar, Predictions, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "mistakes"

#: Up to how many classes the whole matrix is drawn.
WHOLE = 30
NO_ANSWER = "(none)"


class MixUp(NamedTuple):
    """One label taken for one answer: how often, of how many images of the label, and p under even spread."""

    target: str
    answer: str
    n: int
    of: int
    p: float


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(tables: Tables, *, level: float = 0.95, most: int = 10) -> Finding:
    """One Finding: the most frequent mix-up. `most`: how many are listed."""
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    common: dict[str, Any] = {
        "id": "confusion:most",
        "audit": "confusion",
        "pillar": pillar,
        "unit": "share",
        "settings": {"level": level, "most": most},
        "seed": tables.seed,
        "source": "Wilson 1927; exact binomial test, Bonferroni",
    }
    images = f"{tables.split} image".strip()
    if not intervals.is_binary(predictions["right"][rows]) or predictions.parts is not None:
        return Finding(statement="Mix-ups were not counted: answers can be partly right, so are no classes.", **common)
    if not len(rows):
        return Finding(statement=f"Mix-ups were not counted: none of the {images}s has a label.", n=0, **common)
    targets = predictions["target"][rows]
    answers = np.array(
        [NO_ANSWER if answer is None else answer for answer in predictions["answer"][rows]], dtype=object
    )
    names = tuple(dict.fromkeys([*predictions.classes, *targets, *answers]))
    target, answer = metrics.codes(targets, names), metrics.codes(answers, names)
    mixed = _mix_ups(target, answer, names)
    if not mixed:
        return Finding(
            statement=f"No classes are mixed up: there is no mistake on {counted(len(rows), images)}.",
            found=False,
            n=len(rows),
            evidence=_matrix(target, answer, names),
            **common,
        )
    return Finding(**_most_frequent(tables, predictions, rows, mixed, names, level, most, (target, answer)), **common)


def _most_frequent(
    tables: Tables,
    predictions: Predictions,
    rows: np.ndarray,
    mixed: list[MixUp],
    names: Sequence[str],
    level: float,
    most: int,
    places: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    first = mixed[0]
    two = len(names) == 2
    striking = two or first.p < 1 - level
    low, high = intervals.wilson(first.n, first.of, level)
    estimate = intervals.Estimate(first.n / first.of, float(low), float(high), level, first.of)
    mistakes = sum(each.n for each in mixed)
    images = counted(first.of, f"{tables.split} image".strip())
    what = (
        f"{quoted(first.target)} taken for {quoted(first.answer)}, {counted(first.n, 'time')} on {images} of "
        f"{quoted(first.target)}, {estimate}, and {percent(first.n / mistakes)} of {counted(mistakes, 'mistake')}"
    )
    if striking:
        test = "" if two else f", more than mistakes spread evenly over the classes would give ({_p(first)})"
        statement = f"The most frequent mix-up is {what}{test}."
    else:
        statement = f"No mix-up stands out from mistakes spread evenly; the most frequent is {what} ({_p(first)})."
    table = {
        "kind": "table",
        "title": "The most frequent mix-ups",
        "columns": ["label", "answer", "times", "images of the label", "share"],
        "rows": [[each.target, each.answer, each.n, each.of, each.n / each.of] for each in mixed[:most]],
    }
    chosen = rows[(predictions["target"][rows] == first.target) & (predictions["right"][rows] == 0)]
    given = np.array(
        [NO_ANSWER if answer is None else answer for answer in predictions["answer"][chosen]], dtype=object
    )
    chosen = chosen[given == first.answer]
    surest = chosen[np.argsort(-np.nan_to_num(predictions["confidence"][chosen]), kind="stable")][:12]
    pictures = {
        "kind": "examples",
        "title": f"{quoted(first.target)} taken for {quoted(first.answer)}",
        "items": [{"id": predictions["id"][row], "caption": f"said {quoted(first.answer)}"} for row in surest],
    }
    return {
        "statement": statement,
        "found": striking,
        **estimate._asdict(),
        "severity": "none" if not striking else "moderate" if estimate.value >= 0.25 else "minor",
        "examples": tuple(predictions["id"][surest]),
        "evidence": (*_matrix(*places, names), table, pictures),
        "doubts": (
            "The most frequent of many pairs is partly chance; its interval is not widened for having been chosen.",
            "Two classes that people mix up as well may share wrong labels.",
        ),
        "mitigation": f"Look at these images and their labels; more images of {quoted(first.target)} and "
        f"{quoted(first.answer)} that differ only in what tells them apart would help most."
        if striking
        else None,
    }


def _mix_ups(target: Int[np.ndarray, " rows"], answer: Int[np.ndarray, " rows"], names: Sequence[str]) -> list[MixUp]:
    """All pairs that occur, the most frequent first; ties by the share of the label's images, then by name."""
    wrong = target != answer
    images = np.bincount(target, minlength=len(names))
    mistakes = np.bincount(target[wrong], minlength=len(names))
    pairs, times = np.unique(target[wrong] * len(names) + answer[wrong], return_counts=True)
    others = len(names) - 1
    possible = int(np.sum(mistakes > 0)) * others
    first, second = pairs // len(names), pairs % len(names)
    p = np.minimum(stats.binom.sf(times - 1, mistakes[first], 1 / max(others, 1)) * possible, 1.0)
    mixed = [
        MixUp(names[a], names[b], int(n), int(images[a]), float(chance))
        for a, b, n, chance in zip(first, second, times, p, strict=True)
    ]
    return sorted(mixed, key=lambda each: (-each.n, -each.n / each.of, each.target, each.answer))


def _matrix(
    target: Int[np.ndarray, " rows"], answer: Int[np.ndarray, " rows"], names: Sequence[str]
) -> tuple[dict[str, Any], ...]:
    """The table of counts, or nothing where there are too many classes to draw."""
    if len(names) > WHOLE:
        return ()
    counts = np.bincount(target * len(names) + answer, minlength=len(names) ** 2).reshape(len(names), len(names))
    shown = [place for place in range(len(names)) if names[place] != NO_ANSWER]
    return (
        {
            "kind": "matrix",
            "title": "Labels and answers",
            "rows": [names[place] for place in shown],
            "columns": list(names),
            "counts": counts[shown].tolist(),
            "row_label": "target",
            "column_label": "answer",
        },
    )


def _p(mixed: MixUp) -> str:
    return wording.p_value(mixed.p)
