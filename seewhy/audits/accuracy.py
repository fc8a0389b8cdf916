"""How often is the network right?

The share of images whose answer is their label, with Wilson's interval. Beside it balanced accuracy, in which every
class counts alike, and macro-F1, which also counts answers wrongly given. Answers that can be partly right (boxes,
captions) get their mean rightness instead. Images without a label do not count. No number here is good or bad in
itself, so the severity is always "none": whether the network is worth it is asked elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from seewhy.statistics import intervals, metrics
from seewhy.types import Finding, Need, Pillar, Tables
from seewhy.wording import counted, percent

pillar: Pillar = "performance"


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(tables: Tables, *, level: float = 0.95) -> Iterator[Finding]:
    """The headline, then balanced accuracy and macro-F1 where the answers are classes."""
    predictions = tables.baseline
    known = ~np.isnan(predictions["right"])
    right = predictions["right"][known]
    images = f"{tables.split} image".strip()
    estimate = intervals.rate(right, level)
    unlabelled = len(predictions) - len(right)
    doubts = [f"{counted(unlabelled, images)} without a label {'is' if unlabelled == 1 else 'are'} not counted."]
    common: dict[str, Any] = {
        "audit": "accuracy",
        "pillar": pillar,
        "settings": {"level": level},
        "seed": tables.seed,
        "doubts": tuple([intervals.INDEPENDENT] + doubts * bool(unlabelled)),
    }
    if not len(right):
        why = (
            f"none of the {counted(len(predictions), images)} has a label" if unlabelled else f"there are no {images}s"
        )
        yield Finding(
            id=f"accuracy:{tables.split}",
            statement=f"Accuracy could not be measured: {why}.",
            n=0,
            unit="share",
            **common,
        )
        return
    if not intervals.is_binary(right) or predictions.parts is not None:
        yield _rightness(tables, estimate, common)
        return

    names = tuple(dict.fromkeys([*predictions.classes, *predictions["target"][known]]))
    target = metrics.codes(predictions["target"][known], names)
    answer = metrics.codes(predictions["answer"][known], names)
    balanced, f1 = metrics.balanced_accuracy(target, right, level), metrics.macro_f1(target, answer, level)
    rows = [
        {"name": name, "value": each.value, "low": each.low, "high": each.high, "n": each.n}
        for name, each in (("accuracy", estimate), ("balanced accuracy", balanced), ("macro-F1", f1))
    ]
    bars = {"kind": "bars", "title": "How often it is right", "unit": "share", "rows": rows, "reference": None}
    yield Finding(
        id=f"accuracy:{tables.split}",
        statement=f"The network is right on {int(right.sum()):,} of {counted(len(right), images)}: {estimate}.",
        found=True,
        unit="share",
        evidence=(bars,),
        source="Wilson 1927",
        **estimate._asdict(),
        **common,
    )
    yield from _by_class(tables, target, balanced, f1, common)


def _rightness(tables: Tables, estimate: intervals.Estimate, common: dict[str, Any]) -> Finding:
    images = counted(estimate.n, f"{tables.split} image".strip())
    level = f"{100 * estimate.confidence_level:.4g} %"
    return Finding(
        id=f"accuracy:{tables.split}",
        statement=f"On {images} the mean rightness, from 0 for wrong to 1 for right, is {estimate.value:.3f} "
        f"({level} interval {estimate.low:.3f} to {estimate.high:.3f}).",
        found=True,
        unit="rightness",
        source="Student 1908",
        **estimate._asdict(),
        **common,
    )


def _by_class(
    tables: Tables,
    target: np.ndarray,
    balanced: intervals.Estimate,
    f1: intervals.Estimate,
    common: dict[str, Any],
) -> Iterator[Finding]:
    classes = len(np.unique(target))
    over = f"the {counted(classes, 'class')} that occur" if classes > 1 else "the one class that occurs"
    yield Finding(
        id="accuracy:balanced",
        statement=f"With every class counting alike, over {over}, the network is right on {balanced}.",
        found=True,
        unit="share",
        source="Brodersen et al. 2010, https://doi.org/10.1109/ICPR.2010.764; interval: Wilson at the effective rows",
        **balanced._asdict(),
        **common,
    )
    enough = len(target) >= 5 * classes
    reads = f"Macro-F1, the mean over {over} of the balance between hits and wrong answers, is {f1}."
    yield Finding(
        id="accuracy:macro_f1",
        statement=reads
        if enough
        else f"Macro-F1 needs five labelled images a class or more to mean anything; there are {len(target):,} for "
        f"{counted(classes, 'class')}, on which it reads {percent(f1.value)}.",
        found=True if enough else None,
        unit="share",
        source="Takahashi et al. 2022, https://doi.org/10.1007/s10489-021-02635-5",
        **f1._asdict(),
        **common,
    )
