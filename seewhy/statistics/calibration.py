"""Does a confidence of 90 % mean being right nine times in ten, and what would make it so?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import optimize

from seewhy.statistics.intervals import CHUNK, Estimate, wilson


class Reliability(NamedTuple):
    """Confidence beside rightness in bins of about equal numbers of rows, in order of confidence."""

    n: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    right: Float[np.ndarray, " bins"]


def reliability(confidence: Num[np.ndarray, " rows"], right: Num[np.ndarray, " rows"], bins: int = 15) -> Reliability:
    """Mean confidence and mean rightness a bin. At least 20 rows a bin; equal confidences share one."""
    place = _bins(confidence, bins)
    n = np.bincount(place)
    return Reliability(
        n, np.bincount(place, weights=confidence) / n, np.bincount(place, weights=np.asarray(right, dtype=float)) / n
    )


def ece(
    confidence: Num[np.ndarray, " rows"],
    right: Num[np.ndarray, " rows"],
    *,
    bins: int = 15,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 1000,
) -> Estimate:
    """Expected calibration error, sum_b n_b/n |right_b - confidence_b|, without the part that chance adds; in shares.

    The plain number is biased: perfectly calibrated, it reads .03 at 1,000 rows. Taking off the bias at the observed
    gaps (Kumar, Liang and Ma 2019, https://arxiv.org/abs/1909.10155) leaves two thirds of it, because those gaps are
    too wide themselves. Here gaps of every overall size L are tried, half alike in all bins and half in the shape
    observed, with the noise each bin has; the value is the L whose plain number has the observed one as its median, low
    and high are the L at which it would be improbably large or small (inverting a test: Lehmann's median-unbiased
    estimate). So a calibrated network reads 0 half of the time, and `low` is 0 unless chance is a poor explanation.
    The error is no less than how far confidence and rightness are apart overall, so `high` is no less than Wilson's
    interval allows there. NaN for fewer than two rows.
    """
    if len(confidence) < 2:
        return Estimate(math.nan, 0.0, 1.0, level, len(confidence))
    place = _bins(confidence, bins)
    n = np.bincount(place)
    gaps = np.bincount(place, weights=right - confidence) / n
    inside = np.bincount(place, weights=(right - confidence - gaps[place]) ** 2) / np.maximum(n - 1, 1)
    promised = np.bincount(place, weights=confidence * (1 - confidence)) / n
    noise = np.sqrt(np.maximum(inside, (inside + promised) / 2) / n)  # none wrong by chance is not "no noise"
    weight = n / len(place)
    plain = float(weight @ np.abs(gaps))
    shape = (1 + np.abs(gaps) / plain) / 2 if plain > 0 else np.ones(len(n))
    tried = np.linspace(0, plain + 4 * float(weight @ noise), 100)
    drawn = np.random.default_rng(seed).standard_normal((draws, len(n))) * noise
    larger = np.array([np.mean(np.abs(size * shape + drawn) @ weight >= plain) for size in tried])
    larger = np.maximum.accumulate(larger)

    def size_at(chance: float) -> float:
        return float(np.interp(chance, larger, tried)) if larger[0] < chance else 0.0

    says, does = float(np.mean(confidence)), wilson(float(np.sum(right)), len(place), level)
    overall = max(says - float(does[0]), float(does[1]) - says)
    high = min(max(size_at((1 + level) / 2), overall), 1.0)
    return Estimate(size_at(0.5), size_at((1 - level) / 2), high, level, len(place))


def consistency_test(
    confidence: Num[np.ndarray, " rows"],
    right: Num[np.ndarray, " rows"],
    *,
    seed: int,
    bins: int = 15,
    draws: int = 1000,
) -> float:
    """How often a network that is right exactly as often as it says would show a calibration error as large.

    Rightness is drawn again as Bernoulli(confidence) (Bröcker and Smith 2007, https://doi.org/10.1175/WAF993.1;
    Vaicenavicius et al. 2019, https://arxiv.org/abs/1902.06977), the plain error in the same bins is compared, and
    p = (1 + as large) / (1 + draws).
    """
    if not len(confidence):
        return 1.0
    place = _bins(confidence, bins)
    order = np.argsort(place, kind="stable")
    sure = np.asarray(confidence, dtype=float)[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    expected = np.add.reduceat(sure, starts)
    seen = float(np.abs(np.add.reduceat(np.asarray(right, dtype=float)[order], starts) - expected).sum())
    random, larger = np.random.default_rng(seed), 0
    step = max(CHUNK // len(sure), 1)
    for start in range(0, draws, step):
        many = min(step, draws - start)
        drawn = random.random((many, len(sure)), dtype=np.float32) < sure
        counts = np.add.reduceat(drawn, starts, axis=1, dtype=np.int64)
        larger += int(np.sum(np.abs(counts - expected).sum(1) >= seen - 1e-9))
    return (1 + larger) / (1 + draws)


def _bins(confidence: Num[np.ndarray, " rows"], bins: int) -> Int[np.ndarray, " rows"]:
    """The bin of each row: equal mass, at least 20 rows each, ties together, none empty."""
    many = min(max(len(confidence) // 20, 1), bins)
    edges = np.quantile(confidence, np.arange(1, many) / many)
    return np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)[1]


def temperature(log_probabilities: Float[np.ndarray, "rows classes"], target: Int[np.ndarray, " rows"]) -> float:
    """The T in 0.05 to 20 by which to divide the logits so that the target's negative log-likelihood is least.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599; log-probabilities do as well as logits, for a softmax takes off
    what they differ by. Rows with target -1 do not count; of more than five million numbers, evenly spaced rows are
    used. NaN without rows, and where no T is best (every answer right: the surer the better).
    """
    rows = np.flatnonzero(target >= 0)
    rows = rows[:: max(math.ceil(len(rows) * log_probabilities.shape[1] / 5_000_000), 1)]
    if not len(rows):
        return math.nan
    logs = log_probabilities[rows].astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    true = logs[np.arange(len(rows)), target[rows]]

    def loss(log_t: float) -> float:
        sharpness = math.exp(-log_t)
        return float(np.mean(np.log(np.exp(logs * sharpness).sum(axis=1)) - true * sharpness))

    found = optimize.minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    best = math.exp(float(found.x))
    return best if 0.051 < best < 19.6 else math.nan


def tempered(log_probabilities: Float[np.ndarray, "rows classes"], temperature: float) -> Float[np.ndarray, " rows"]:
    """The probability of the likeliest class after the logits are divided by the temperature."""
    confidence = np.empty(len(log_probabilities))
    step = max(CHUNK // max(log_probabilities.shape[1], 1), 1)
    for start in range(0, len(confidence), step):
        logs = log_probabilities[start : start + step].astype(np.float32)
        logs -= logs.max(axis=1, keepdims=True)
        confidence[start : start + step] = 1 / np.exp(logs / temperature).sum(axis=1)
    return confidence
