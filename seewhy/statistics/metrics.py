"""How good are the answers, and for whom?

Numbers about targets and answers, given as the places of classes. `level` is the confidence level in 0 to 1; how sure
one can be of a number is `statistics`' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy import special, stats

from seewhy.statistics.intervals import Estimate, score_interval


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


# -------------------------------------------------------------------------------------------- one class by group


class Counts(NamedTuple):
    """Rows by label and answer, of one class against the rest. Arrays of one shape, such as groups x classes."""

    hits: Int[np.ndarray, ...]  # of the class and said to be
    false_alarms: Int[np.ndarray, ...]  # said to be of the class, and not
    misses: Int[np.ndarray, ...]
    others: Int[np.ndarray, ...]

    @property
    def labelled(self) -> Int[np.ndarray, ...]:
        return self.hits + self.misses

    @property
    def answered(self) -> Int[np.ndarray, ...]:
        return self.hits + self.false_alarms

    @property
    def rows(self) -> Int[np.ndarray, ...]:
        return self.labelled + self.false_alarms + self.others


def counts(
    target: Int[np.ndarray, " rows"],
    answer: Int[np.ndarray, " rows"],
    place: Int[np.ndarray, " rows"],
    groups: int,
    classes: int,
) -> Counts:
    """Counts, groups x classes. Rows without a label (-1) do not count; an answer that is no class (-1) is none."""
    known = target >= 0
    target, answer, place = target[known], answer[known], place[known]

    def table(rows: np.ndarray, column: np.ndarray) -> np.ndarray:
        cells = place[rows] * classes + column[rows]
        return np.bincount(cells, minlength=groups * classes).reshape(groups, classes)

    labelled, answered = table(target >= 0, target), table(answer >= 0, answer)
    hits = table(target == answer, target)
    rows = np.bincount(place, minlength=groups)[:, None]
    return Counts(hits, answered - hits, labelled - hits, rows - labelled - answered + hits)


#: Each rate of a class is a share: (how many, of how many).
RATES: dict[str, Callable[[Counts], tuple[np.ndarray, np.ndarray]]] = {
    "accuracy": lambda of: (of.hits + of.others, of.rows),
    "error": lambda of: (of.false_alarms + of.misses, of.rows),
    "selection rate": lambda of: (of.answered, of.rows),
    "true positive rate": lambda of: (of.hits, of.labelled),
    "false negative rate": lambda of: (of.misses, of.labelled),
    "false positive rate": lambda of: (of.false_alarms, of.rows - of.labelled),
    "true negative rate": lambda of: (of.others, of.rows - of.labelled),
    "precision": lambda of: (of.hits, of.answered),
}

#: What is called fair where these rates are alike in all groups.
CRITERIA: dict[str, tuple[str, ...]] = {
    "demographic parity": ("selection rate",),
    "equal opportunity": ("true positive rate",),
    "equalised odds": ("true positive rate", "false positive rate"),
    "predictive parity": ("precision",),
}


def shares(rate: str, of: Counts) -> Float[np.ndarray, ...]:
    """A rate of each cell; NaN where nothing could count, which is not 0: nobody knows how often it would happen."""
    some, all_of_them = RATES[rate](of)
    return np.where(all_of_them > 0, some / np.maximum(all_of_them, 1), math.nan)


def gap(shares: Float[np.ndarray, "groups ..."]) -> Float[np.ndarray, ...]:
    """Highest less lowest over the groups (the first axis) that have a share; NaN where none has."""
    highest, lowest = _ends(shares)
    return highest - lowest


def ratio(shares: Float[np.ndarray, "groups ..."]) -> Float[np.ndarray, ...]:
    """Lowest over highest; NaN where none has a share, and where all are 0."""
    highest, lowest = _ends(shares)
    return np.where(highest > 0, lowest / np.where(highest > 0, highest, 1.0), math.nan)


def _ends(shares: Float[np.ndarray, "groups ..."]) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(shares)
    highest = np.max(shares, axis=0, where=known, initial=-np.inf)
    lowest = np.min(shares, axis=0, where=known, initial=np.inf)
    return tuple(np.where(known.any(0), end, math.nan) for end in (highest, lowest))  # type: ignore[return-value]


def parity(criterion: str, of: Counts) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """The gap and the ratio of a criterion between groups (the first axis); of several rates, the worst."""
    rates = [shares(rate, of) for rate in CRITERIA[criterion]]
    gaps, ratios = np.array([gap(rate) for rate in rates]), np.array([ratio(rate) for rate in rates])
    largest, _ = _ends(gaps)
    _, smallest = _ends(ratios)
    return largest, smallest


# ------------------------------------------------------------------------------------------------- inequality


def generalised_entropy(benefit: Num[np.ndarray, " rows"], alpha: float = 2.0) -> float:
    """How unequally a benefit, 0 or more, is spread over the rows: 0 where all have the same.

        1 / (n alpha (alpha - 1)) sum_i ((b_i / mean)^alpha - 1);   alpha 1: Theil's, mean of (b/mean) ln(b/mean)

    For decisions the benefit is 1 + answer - target (Speicher et al. 2018, https://doi.org/10.1145/3219819.3220046).
    The plain number is too low by about var / n; the jackknife takes that off. NaN for fewer than two rows or nothing
    to share.
    """
    values, times = np.unique(np.asarray(benefit, dtype=float), return_counts=True)
    n, total = int(times.sum()), float(values @ times)
    if n < 2 or total <= 0:
        return math.nan
    plain = _entropy(values, times, alpha)
    without = np.array([_entropy(values, times - (np.arange(len(values)) == row), alpha) for row in range(len(values))])
    return float(n * plain - (n - 1) * (times @ without) / n)


def entropy_between(benefit: Num[np.ndarray, " rows"], place: Int[np.ndarray, " rows"], alpha: float = 2.0) -> float:
    """The part of the generalised entropy that lies between groups, less the part that chance adds.

    The entropy were each row given the mean of its group. By chance alone that is about
    sum_g w_g (1 - w_g) var_g / n_g / (2 mean^2), w_g the share of rows in group g (its second-order expansion at
    equality, the same for every alpha), so the difference is near 0 on average where groups are alike, and may fall a
    little below. A group of one row has the variance of all.
    """
    groups, sizes = np.unique(place, return_inverse=True)[1], np.bincount(np.unique(place, return_inverse=True)[1])
    values = np.asarray(benefit, dtype=float)
    if len(values) < 2 or values.sum() <= 0:
        return math.nan
    means = np.bincount(groups, weights=values) / sizes
    inside = np.bincount(groups, weights=(values - means[groups]) ** 2) / np.maximum(sizes - 1, 1)
    inside = np.where(sizes > 1, inside, values.var(ddof=1))
    weight = sizes / len(values)
    chance = float(np.sum(weight * (1 - weight) * inside / sizes)) / (2 * values.mean() ** 2)
    return _entropy(means, sizes, alpha) - chance


def _entropy(values: np.ndarray, times: np.ndarray, alpha: float) -> float:
    n = float(times.sum())
    share = values * n / float(values @ times) if values @ times > 0 else np.ones(len(values))
    if alpha == 1:
        return float(times @ special.xlogy(share, share)) / n
    if alpha == 0:
        return -float(times @ np.log(share)) / n
    return float(times @ (share**alpha - 1)) / (n * alpha * (alpha - 1))


# ------------------------------------------------------------------------------------------------------- scores


def doubted_labels(
    log_probabilities: Float[np.ndarray, "rows classes"], target: Int[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Rows whose label the network doubts, by confident learning.

    A class is likely for a row where its probability is at least the mean that it has on rows labelled so; the label is
    doubted where another class is the likeliest of those (Northcutt, Jiang and Chuang 2021,
    https://doi.org/10.1613/jair.1.12125). Only for rows that the network was not trained on. -1 is never doubted.
    """
    p = np.exp(log_probabilities.astype(np.float32))
    known, classes = target >= 0, p.shape[1]
    n = np.bincount(target[known], minlength=classes)
    own = np.bincount(target[known], weights=p[known, target[known]], minlength=classes)
    threshold = np.where(n > 0, own / np.maximum(n, 1), np.inf)
    p[p < threshold - 1e-6] = -1
    return known & (p.max(axis=1) > 0) & (p.argmax(axis=1) != target)


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
