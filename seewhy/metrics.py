"""How good are the answers, counted in which way?

Numbers about targets and answers, given as the places of classes. `level` is the confidence level in 0 to 1; how sure
one can be of a number is `statistics`' business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Num, Shaped
from scipy import special, stats

from seewhy.statistics import Estimate, score_interval


def balanced_accuracy(
    target: Int[np.ndarray, " rows"], right: Num[np.ndarray, " rows"], level: float = 0.95
) -> Estimate:
    """The mean over classes of the share right: each class counts alike. Classes without a row do not count.

    Recalls of classes are independent, so the variance is the sum of p_k(1-p_k)/n_k over K^2, each p_k drawn two rows
    towards the mean so that a class of a few rows, all right, still has one. The interval is Wilson's at the number of
    rows at which a plain share would have that variance (with nothing wrong, or nothing right, K^2 / sum 1/n_k), with
    Student's quantile at Satterthwaite's degrees of freedom (1946, https://doi.org/10.2307/3002019) for the normal one.
    """
    rows, classes = np.unique(target, return_inverse=True)[1], len(np.unique(target))
    if not classes:
        return Estimate(math.nan, 0.0, 1.0, level, 0)
    sizes = np.bincount(rows)
    recalls = np.bincount(rows, weights=right) / sizes
    value = float(recalls.mean())
    drawn_in = (recalls * sizes + 2 * value) / (sizes + 2)
    parts = drawn_in * (1 - drawn_in) / sizes
    freedom = float(parts.sum() ** 2 / np.sum(parts**2 / np.maximum(sizes - 1, 1))) if parts.any() else 1e9
    quantile = float(special.stdtrit(freedom, (1 + level) / 2))
    low, high = _effective(value, float(parts.sum()) / classes**2, sizes, quantile)
    return Estimate(value, low, high, level, len(target))


def macro_f1(target: Int[np.ndarray, " rows"], answer: Int[np.ndarray, " rows"], level: float = 0.95) -> Estimate:
    """The mean over classes of F1 = 2 hits / (rows of the class + answers of the class).

    Classes without a row do not count; answers that are no class are -1. With fewer than five rows a class it reads low
    (by .06 at one row a class and .7). Variance by the delta method on the table of counts (as Takahashi et al. 2022,
    https://doi.org/10.1007/s10489-021-02635-5): a row moves the mean by its derivative at (target, answer). Interval as
    for `balanced_accuracy`.
    """
    names = np.unique(target)
    if not len(names):
        return Estimate(math.nan, 0.0, 1.0, level, 0)
    n, width = len(target), int(max(target.max(), answer.max(initial=0))) + 2
    truth = target
    said = np.where(answer < 0, width - 1, answer)  # no class at all
    hit = truth == said
    sizes = np.bincount(truth, minlength=width)
    both = (sizes + np.bincount(said, minlength=width)) / n
    hits = np.bincount(truth[hit], minlength=width) / n
    counted = np.isin(np.arange(width), names)
    safe = np.where(both > 0, both, 1.0)
    value = float(np.sum(np.where(counted, 2 * hits / safe, 0.0))) / len(names)
    slope = np.where(counted, 2 * hits / safe**2, 0.0) / len(names)
    gain = np.where(counted, 2 / safe, 0.0) / len(names)
    moved = np.where(hit, gain[truth], 0.0) - slope[truth] - slope[said]
    low, high = _effective(value, float(np.var(moved)) / n, sizes[names], float(special.ndtri((1 + level) / 2)))
    return Estimate(value, low, high, level, n)


def _effective(
    value: float, variance: float, sizes: Int[np.ndarray, " classes"], quantile: float
) -> tuple[float, float]:
    """Wilson's interval at the number of rows at which a share of this value has this variance."""
    rows = len(sizes) ** 2 / float(np.sum(1 / sizes))
    if 0 < value < 1 and variance > 0:
        rows = value * (1 - value) / variance
    low, high = score_interval(value * rows, rows, quantile)
    return float(low), float(high)


def codes(values: Iterable[Any], names: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """The place of each value among the names, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(value, -1) for value in values], dtype=np.int64)


def auroc(score: Num[np.ndarray, " rows"], positive: Shaped[np.ndarray, " rows"]) -> float:
    """The chance that a positive row scores higher than a negative one, ties counting half; NaN without both.

    (sum of ranks of positives - m(m+1)/2) / (m k), m positives and k negatives (Hanley and McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747).
    """
    chosen = np.asarray(positive, dtype=bool)
    m, k = int(chosen.sum()), int((~chosen).sum())
    if not m or not k:
        return math.nan
    return float((stats.rankdata(score)[chosen].sum() - m * (m + 1) / 2) / (m * k))
