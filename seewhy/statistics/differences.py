"""Is one share larger than another, and by how much? Of two groups, or of two answers to the same rows.

Exact where it can be, on arrays; `level` is the confidence level in 0 to 1, rows are independent, NaN never enters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Num
from scipy import special

from seewhy.statistics.intervals import UNSEEN_PROBABILITY, Estimate, Number, is_binary, mean_interval, score_interval


def newcombe(
    successes_a: Number, n_a: Number, successes_b: Number, n_b: Number, level: float = 0.95
) -> tuple[Any, Any]:
    """Interval for share a less share b, of two independent groups named beforehand, from their Wilson intervals:

        low = a - b - sqrt((a - low_a)^2 + (high_b - b)^2),   high = a - b + sqrt((high_a - a)^2 + (b - low_b)^2)

    Newcombe 1998, method 10, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I. For the
    widest of many gaps use `significance.permutation_test`. (-1, 1) where a group has no rows.
    """
    z = special.ndtri((1 + level) / 2)
    (low_a, high_a), (low_b, high_b) = score_interval(successes_a, n_a, z), score_interval(successes_b, n_b, z)
    n_a, n_b = np.asarray(n_a, dtype=float), np.asarray(n_b, dtype=float)
    known = (n_a > 0) & (n_b > 0)
    a = np.asarray(successes_a, dtype=float) / np.where(n_a > 0, n_a, 1.0)
    b = np.asarray(successes_b, dtype=float) / np.where(n_b > 0, n_b, 1.0)
    low = a - b - np.hypot(a - low_a, high_b - b)
    high = a - b + np.hypot(high_a - a, b - low_b)
    return np.where(known, low, -1.0)[()], np.where(known, high, 1.0)[()]


def between(first: Estimate, second: Estimate, correlation: float = 0.0) -> Estimate:
    """First less second, from the intervals of the two as `newcombe` has it, whatever they are intervals of:

        low = a - b - sqrt(x^2 + y^2 - 2 r x y),   x = a - low_a,   y = high_b - b;   high likewise

    (MOVER: Zou and Donner 2008, https://doi.org/10.1002/sim.3095). `correlation` is 0 for independent groups.
    """
    gap = first.value - second.value

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(x * x + y * y - 2 * correlation * x * y, 0.0))

    low = gap - joined(first.value - first.low, second.high - second.value)
    high = gap + joined(first.high - first.value, second.value - second.low)
    return Estimate(gap, max(low, -1.0), min(high, 1.0), first.confidence_level, first.n + second.n)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p that two answers to the same rows are right equally often, from the rows where one alone is.

    p = min(1, 2 P(X <= min(only_first, only_second))),  X ~ Binomial(only_first + only_second, 1/2). McNemar 1947,
    https://doi.org/10.1007/BF02295996, in its exact form.
    """
    flips = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), flips, 0.5))) if flips else 1.0


def paired(
    first: Num[np.ndarray, " rows"], second: Num[np.ndarray, " rows"], level: float = 0.95
) -> tuple[Estimate, float]:
    """Mean of first less mean of second on the same rows, with its interval, and a two-sided p that it is zero.

    Right or wrong on both sides: the exact `mcnemar`, and Newcombe's paired score interval (1998, method 10, page 2639,
    https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C), which joins the two Wilson
    intervals by the correlation of the table. Otherwise Student's t on the differences, the interval a little wider for
    rows that move and were not seen.
    """
    n = len(first)
    if not n:
        return Estimate(math.nan, -1.0, 1.0, level, 0), 1.0
    between = float(np.mean(first) - np.mean(second))
    if is_binary(first) and is_binary(second):
        a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
        both, only_a, only_b, neither = (int(np.sum(cell)) for cell in (a & b, a & ~b, ~a & b, ~a & ~b))
        low, high = _newcombe_paired(both, only_a, only_b, neither, level)
        return Estimate(between, low, high, level, n), mcnemar(only_a, only_b)
    gaps = first - second
    low, high = (min(max(end, -1.0), 1.0) for end in mean_interval(gaps, level, unseen=UNSEEN_PROBABILITY))
    p = 1.0
    if n > 1 and np.ptp(gaps) > 0:  # without any spread t knows nothing
        t = abs(float(np.mean(gaps))) / float(np.std(gaps, ddof=1)) * math.sqrt(n)
        p = 2 * float(special.stdtr(n - 1, -t))
    return Estimate(between, low, high, level, n), p


def _newcombe_paired(both: int, only_a: int, only_b: int, neither: int, level: float) -> tuple[float, float]:
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    z = special.ndtri((1 + level) / 2)
    (low_a, high_a), (low_b, high_b) = score_interval(a * n, n, z), score_interval(b * n, n, z)
    product = math.prod((both + only_a, only_b + neither, both + only_b, only_a + neither))
    surplus = float(both * neither - only_a * only_b)
    surplus = max(surplus - n / 2, 0.0) if surplus > 0 else surplus  # Newcombe's continuity correction
    phi = surplus / math.sqrt(product) if product else 0.0

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    return float(a - b - joined(a - low_a, high_b - b)), float(a - b + joined(high_a - a, b - low_b))


def smallest_gap(n_a: int, n_b: int, share: float, level: float = 0.95, power: float = 0.9) -> float:
    """The smallest drop below `share` in group b that a two-sided test of two groups finds with this power.

    NaN if none is large enough. With d = a - b and p between the two (Fleiss, Levin and Paik 2003, section 4.2),

        d = z_level sqrt(p(1-p) (1/n_a + 1/n_b)) + z_power sqrt(a(1-a)/n_a + b(1-b)/n_b)
    """
    if min(n_a, n_b) < 1 or share <= 0:
        return math.nan
    z_level, z_power = special.ndtri((1 + level) / 2), special.ndtri(power)
    gap = np.linspace(0, share, 1001)[1:]
    other = share - gap
    pooled = (share * n_a + other * n_b) / (n_a + n_b)
    null = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    apart = np.sqrt(share * (1 - share) / n_a + other * (1 - other) / n_b)
    seen = gap >= z_level * null + z_power * apart
    return float(gap[np.argmax(seen)]) if seen.any() else math.nan
