"""Is the network worth it?

It is compared, image by image, with two answers that cost nothing: always the most frequent class of the training
images, and a linear model on the pixels. Both differences are paired, with an exact test. The problem is "found"
when the network is not clearly better, and serious then; with fewer than ten images, or fewer than ten on which one of
the two alone is right and a gain of five points still possible, there is not enough data to tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seewhy import wording
from seewhy.statistics import differences, intervals
from seewhy.types import Finding, Need, Pillar, Predictions, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "performance"

optional = frozenset({"train_targets", "linear_baseline"})

#: A gain in shares that would be worth having, and so must be ruled out before "not better" is said on few images.
WORTH_HAVING = 0.05
LEAST = 10


def needs(**settings: Any) -> tuple[Need, ...]:
    return Need("baseline"), Need("train_targets"), Need("linear_baseline")


def check(tables: Tables, *, level: float = 0.95) -> Iterator[Finding]:
    """One Finding against the most frequent class and, if there is one, another against the linear model."""
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    if not intervals.is_binary(predictions["right"][rows]) or predictions.parts is not None:
        yield _not_run(tables, "majority", "its answers can be partly right, and the simple ones cannot")
        return
    if not len(rows):
        yield _not_run(tables, "majority", f"none of the {tables.split} images has a label")
        return
    yield _against_majority(tables, predictions, rows, level)
    if Need("linear_baseline") in tables:
        yield _against_linear(tables, predictions, rows, level)
    else:
        reason = tables.absent.get(Need("linear_baseline"), "there is no such model for a table of predictions")
        yield _not_run(tables, "linear", reason, "a linear model on the pixels")


def _against_majority(tables: Tables, predictions: Predictions, rows: np.ndarray, level: float) -> Finding:
    trained = [name for name in tables.train_targets if name is not None] if Need("train_targets") in tables else []
    targets = predictions["target"][rows]
    name = _most_frequent(trained or targets)
    simple = (targets == name).astype(float)
    doubt = f"The most frequent class was taken from the {tables.split} images, which flatters it a little."
    return _compared(
        tables,
        "majority",
        f"always answering {quoted(name)}",
        predictions["right"][rows],
        simple,
        level,
        () if trained else (doubt,),
        predictions["id"][rows],
    )


def _against_linear(tables: Tables, predictions: Predictions, rows: np.ndarray, level: float) -> Finding:
    linear = tables.linear_baseline
    by_id = dict(zip(linear["id"], linear["right"], strict=True))
    simple = np.array([by_id.get(id, np.nan) for id in predictions["id"][rows]], dtype=float)
    both = ~np.isnan(simple)
    missing = int(np.sum(~both))
    doubt = f"{counted(missing, 'image')} could not be compared: the linear model has no answer there."
    return _compared(
        tables,
        "linear",
        "a linear model on the pixels",
        predictions["right"][rows][both],
        simple[both],
        level,
        (doubt,) if missing else (),
        predictions["id"][rows][both],
    )


def _compared(
    tables: Tables,
    subject: str,
    rival: str,
    network: np.ndarray,
    simple: np.ndarray,
    level: float,
    doubts: tuple[str, ...],
    ids: np.ndarray,
) -> Finding:
    n = len(network)
    if n < LEAST:
        return _not_run(tables, subject, f"there is not enough data, with {counted(n, 'labelled image')}", rival)
    gain, p = differences.paired(network, simple, level)
    flips = int(np.sum(network != simple))
    better, worse = p < 1 - level and gain.value > 0, p < 1 - level and gain.value < 0
    unclear = not better and not worse and flips < LEAST and gain.high > WORTH_HAVING
    shares = f"right on {percent(float(network.mean()))} of {counted(n, f'{tables.split} image'.strip())}"
    against = f"against {percent(float(simple.mean()))} for {rival}"
    how = f"a difference of {gain.in_points}, {wording.p_value(p)}"
    if unclear:
        verdict = f"There is not enough data to tell whether the network is better than {rival}: it is {shares}"
    elif better:
        verdict = f"The network is clearly better than {rival}: {shares}"
    elif worse:
        verdict = f"The network is worse than {rival}: {shares}"
    else:
        verdict = f"The network is not clearly better than {rival}: it is {shares}"
    bars = [
        {"name": who, "value": each.value, "low": each.low, "high": each.high, "n": n}
        for who, each in (("the network", intervals.rate(network, level)), (rival, intervals.rate(simple, level)))
    ]
    few = f"Only {counted(flips, 'image')} {'tells' if flips == 1 else 'tell'} the two apart."
    return Finding(
        id=f"worth_it:{subject}",
        audit="worth_it",
        pillar=pillar,
        statement=f"{verdict}, {against}, {how}.",
        found=None if unclear else not better,
        unit="difference of shares",
        **gain._asdict(),
        severity="none" if better or unclear else "serious",
        examples=tuple(ids[(network < simple)][:12]) if not better else (),
        evidence=(
            {"kind": "bars", "title": f"The network and {rival}", "unit": "share", "rows": bars, "reference": None},
        ),
        doubts=(intervals.INDEPENDENT, *doubts, *([few] if flips < LEAST else [])),
        settings={"level": level, "p": p, "flips": flips},
        seed=tables.seed,
        source="McNemar 1947 (exact); Newcombe 1998, paired score interval",
        mitigation=None
        if better or unclear
        else "More or better labelled images, a network with pretrained weights, or longer training; "
        "until then the simple answer does as well and can be understood.",
    )


def _most_frequent(names: Sequence[str] | np.ndarray) -> str:
    """The most frequent name, the first in order of name where several are."""
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], str(name)))


def _not_run(tables: Tables, subject: str, why: str, rival: str = "always giving the most frequent answer") -> Finding:
    return Finding(
        id=f"worth_it:{subject}",
        audit="worth_it",
        pillar=pillar,
        statement=f"The network was not compared with {rival}: {why}.",
        unit="difference of shares",
        n=0,
        seed=tables.seed,
    )
