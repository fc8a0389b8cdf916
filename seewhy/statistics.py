"""How sure can one be of a number?

Small exact functions on arrays. A share or a rightness is in 0 to 1, `level` is the confidence level in 0 to 1, `rows`
are independent examples unless a `unit` says which belong together; NaN never enters. Whatever draws at random takes
a seed and gives the same answer again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import special, stats

from seewhy.wording import percent, points

#: Counts and shares come as Python's numbers or as arrays; what is returned has the same shape.
Number = float | int | np.number | np.ndarray

#: How many random numbers are held at once.
CHUNK = 4_000_000

#: What every interval here takes for granted.
INDEPENDENT = (
    "The interval takes the images as independent; where several show one patient, scene or object it is too narrow."
)


class Estimate(NamedTuple):
    """A number with its interval and how many rows it rests on; the names are those of a Finding."""

    value: float
    low: float
    high: float
    confidence_level: float
    n: int

    def __str__(self) -> str:
        """For a share: "94.2 % (95 % interval 92.6 to 95.5 %)"."""
        return f"{percent(self.value)} ({self._level} interval {percent(self.low)[:-2]} to {percent(self.high)})"

    @property
    def in_points(self) -> str:
        """For a difference of shares: "2.1 points (95 % interval -0.4 to 4.6)"."""
        low, high = (points(end).removesuffix(" points") for end in (self.low, self.high))
        return f"{points(self.value)} ({self._level} interval {low} to {high})"

    @property
    def _level(self) -> str:
        return f"{100 * self.confidence_level:.4g} %"


# ------------------------------------------------------------------------------------------------- one share


def wilson(successes: Number, n: Number, level: float = 0.95) -> tuple[Any, Any]:
    """Interval for a share: the shares p that a score test does not reject,

        (p^ + z^2/2n -+ z sqrt(p^(1-p^)/n + z^2/4n^2)) / (1 + z^2/n),        p^ = successes / n

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953. Nothing is known of a share of no rows: (0, 1). `n` may
    be an effective number of rows, and so need not be whole.
    """
    return score_interval(successes, n, special.ndtri((1 + level) / 2))


def score_interval(successes: Number, n: Number, z: float) -> tuple[Any, Any]:
    """Wilson's interval with another quantile than the normal's, for a share that is estimated with less."""
    n = np.asarray(n, dtype=float)
    rows = np.where(n > 0, n, 1.0)
    share = np.asarray(successes, dtype=float) / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    low = np.where(share <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(share >= 1, 1.0, np.clip(centre + half, 0, 1))
    return np.where(n > 0, low, 0.0)[()], np.where(n > 0, high, 1.0)[()]


def mean_interval(
    values: Num[np.ndarray, " rows"], level: float = 0.95, unit: Shaped[np.ndarray, " rows"] | None = None
) -> tuple[float, float]:
    """Student's t interval for a mean; with `unit`, the rows of a unit count as one draw of a ratio:

        variance = C/(C-1) sum_c (sum_{i in c} (x_i - mean))^2 / rows^2,       C - 1 degrees of freedom

    (linearised; Liang and Zeger 1986, https://doi.org/10.1093/biomet/73.1.13). NaN for fewer than two draws.
    """
    middle = float(np.mean(values)) if len(values) else math.nan
    units = np.arange(len(values)) if unit is None else np.unique(unit, return_inverse=True)[1]
    draws = int(units.max()) + 1 if len(units) else 0
    if draws < 2:
        return math.nan, math.nan
    totals = np.bincount(units, weights=values - middle)
    error = math.sqrt(draws / (draws - 1) * float(totals @ totals)) / len(values)
    half = float(special.stdtrit(draws - 1, (1 + level) / 2)) * error
    return middle - half, middle + half


def mean(values: Num[np.ndarray, " rows"], level: float = 0.95, within: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The mean of values that spread smoothly, with `mean_interval` cut off at the ends of their range."""
    if not len(values):
        return Estimate(math.nan, *within, level, 0)
    low, high = (min(max(end, within[0]), within[1]) for end in mean_interval(values, level))
    return Estimate(float(np.mean(values)), low, high, level, len(values))


def rate(values: Num[np.ndarray, " rows"], level: float = 0.95) -> Estimate:
    """The mean of values in 0 to 1: Wilson's interval where all are 0 or 1, else Student's, kept within 0 to 1.

    With fewer than ten rows, or none that differ, Wilson's serves any values: none in 0 to 1 vary more than 0 and 1 do.
    """
    n = len(values)
    if n >= 10 and not is_binary(values) and np.ptp(values) > 0:
        return mean(values, level)
    low, high = wilson(float(np.sum(values)), n, level)
    return Estimate(float(np.mean(values)) if n else math.nan, float(low), float(high), level, n)


def is_binary(values: Num[np.ndarray, " rows"]) -> bool:
    """Whether all are 0 or 1."""
    return bool(np.all((values == 0) | (values == 1)))


# ----------------------------------------------------------------------------------------------- differences


def newcombe(
    successes_a: Number, n_a: Number, successes_b: Number, n_b: Number, level: float = 0.95
) -> tuple[Any, Any]:
    """Interval for share a less share b, of two independent groups named beforehand, from their Wilson intervals:

        low = a - b - sqrt((a - low_a)^2 + (high_b - b)^2),   high = a - b + sqrt((high_a - a)^2 + (b - low_b)^2)

    Newcombe 1998, method 10, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I. For the
    widest of many gaps use `permutation_test`. (-1, 1) where a group has no rows.
    """
    low_a, high_a = wilson(successes_a, n_a, level)
    low_b, high_b = wilson(successes_b, n_b, level)
    n_a, n_b = np.asarray(n_a, dtype=float), np.asarray(n_b, dtype=float)
    known = (n_a > 0) & (n_b > 0)
    a = np.asarray(successes_a, dtype=float) / np.where(n_a > 0, n_a, 1.0)
    b = np.asarray(successes_b, dtype=float) / np.where(n_b > 0, n_b, 1.0)
    low = a - b - np.hypot(a - low_a, high_b - b)
    high = a - b + np.hypot(high_a - a, b - low_b)
    return np.where(known, low, -1.0)[()], np.where(known, high, 1.0)[()]


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p that two answers to the same rows are right equally often, from the rows where one alone is.

    p = min(1, 2 P(X <= min(only_first, only_second))),  X ~ Binomial(only_first + only_second, 1/2). McNemar 1947,
    https://doi.org/10.1007/BF02295996, in its exact form.
    """
    flips = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), flips, 0.5))) if flips else 1.0


def paired_difference(
    first: Num[np.ndarray, " rows"], second: Num[np.ndarray, " rows"], level: float = 0.95
) -> tuple[Estimate, float]:
    """Mean of first less mean of second on the same rows, with its interval, and a two-sided p that it is zero.

    Right or wrong on both sides: the exact `mcnemar`, and Newcombe's paired score interval (1998, method 10, page 2639,
    https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C), which joins the two Wilson
    intervals by the correlation of the table. Otherwise Student's t on the differences.
    """
    n = len(first)
    if not n:
        return Estimate(math.nan, -1.0, 1.0, level, 0), 1.0
    difference = float(np.mean(first) - np.mean(second))
    if is_binary(first) and is_binary(second):
        a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
        both, only_a, only_b, neither = (int(np.sum(cell)) for cell in (a & b, a & ~b, ~a & b, ~a & ~b))
        low, high = _newcombe_paired(both, only_a, only_b, neither, level)
        return Estimate(difference, low, high, level, n), mcnemar(only_a, only_b)
    low, high = (min(max(end, -1.0), 1.0) for end in mean_interval(first - second, level))
    same = n < 2 or np.ptp(first - second) == 0  # no spread: t knows nothing
    return Estimate(difference, low, high, level, n), 1.0 if same else float(stats.ttest_rel(first, second).pvalue)


def _newcombe_paired(both: int, only_a: int, only_b: int, neither: int, level: float) -> tuple[float, float]:
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = wilson(a * n, n, level), wilson(b * n, n, level)
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


# ------------------------------------------------------------------------------------------ tests by drawing


def permutation_test(
    values: Num[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    *,
    seed: int,
    draws: int = 2000,
    strata: Shaped[np.ndarray, " rows"] | None = None,
) -> tuple[float, float]:
    """Best group mean less worst group mean, and how often chance alone spreads the groups as far or farther.

    Values are dealt out again to groups of the same sizes, within each of the `strata` if there are any;
    p = (1 + draws with a spread >= the observed) / (1 + draws) (Phipson and Smyth 2010,
    https://doi.org/10.2202/1544-6115.1585). A spread is never negative, so its bootstrap interval excludes zero almost
    always: this test does not. For values of 0 and 1 the sums are drawn directly (multivariate hypergeometric, the
    same distribution); beyond 5,000 rows of other values, from their normal limit.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        return 0.0, 1.0
    values = np.asarray(values, dtype=float)
    random = np.random.default_rng(seed)
    layers = np.zeros(len(values), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    by_layer = np.split(np.argsort(layers, kind="stable"), np.cumsum(np.bincount(layers))[:-1])
    sums = np.zeros((draws, len(sizes)))
    for rows in by_layer:
        sums += _dealt(values[rows], codes[rows], len(sizes), draws, random)
    spread = float(np.ptp(np.bincount(codes, weights=values) / sizes))
    as_far = np.ptp(sums / sizes, axis=1) >= spread - 1e-12
    return spread, float(1 + as_far.sum()) / (1 + draws)


def _dealt(
    values: Float[np.ndarray, " rows"],
    codes: Int[np.ndarray, " rows"],
    groups: int,
    draws: int,
    random: np.random.Generator,
) -> Float[np.ndarray, "draws groups"]:
    """Sums of values by group when they are dealt out at random to groups of the same sizes."""
    sizes = np.bincount(codes, minlength=groups)
    if is_binary(values):
        return random.multivariate_hypergeometric(sizes, int(values.sum()), size=draws, method="marginals").astype(
            float
        )
    if len(values) > 5_000:
        means = random.standard_normal((draws, groups)) / np.sqrt(np.maximum(sizes, 1))
        means -= (means @ sizes / len(values))[:, None]  # the overall mean does not move
        return sizes * (values.mean() + values.std(ddof=1) * means)
    ends = np.cumsum(sizes)
    sums = np.empty((draws, groups))
    step = max(CHUNK // len(values), 1)
    for start in range(0, draws, step):
        many = min(step, draws - start)
        dealt = random.permuted(np.broadcast_to(values, (many, len(values))), axis=1)
        running = np.concatenate([np.zeros((many, 1)), np.cumsum(dealt, axis=1)], axis=1)
        sums[start : start + many] = np.diff(running[:, np.concatenate([[0], ends])], axis=1)
    return sums


def holm(p: Sequence[float] | Num[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """p-values adjusted so that the chance of any false alarm among all tests stays below the level.

    adjusted_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)) in order of p. Holm 1979, https://www.jstor.org/stable/4615733.
    """
    given = np.asarray(p, dtype=float)
    order = np.argsort(given, kind="stable")
    adjusted = np.empty(len(given))
    steps = np.minimum(given[order] * np.arange(len(given), 0, -1), 1.0)
    adjusted[order] = np.maximum.accumulate(steps) if len(given) else steps
    return adjusted


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " rows"]], float],
    rows: int,
    *,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
    unit: Shaped[np.ndarray, " rows"] | None = None,
    bca: bool = True,
) -> tuple[float, float]:
    """Interval for any number that can be computed from row numbers, by drawing rows, or whole units, with replacement.

    Percentiles, or with `bca` Efron's bias-corrected and accelerated ones (1987,
    https://doi.org/10.1080/01621459.1987.10478410), which cost one more evaluation a unit. Not for numbers that cannot
    be negative (a spread, a calibration error): their interval excludes zero almost always. NaN for fewer than two.
    """
    codes = np.arange(rows) if unit is None else np.unique(unit, return_inverse=True)[1]
    count = len(np.unique(codes))
    if count < 2:
        return math.nan, math.nan
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    random = np.random.default_rng(seed)
    chosen = (random.integers(0, count, count) for _ in range(draws))
    drawn = np.array(
        [statistic(few if unit is None else np.concatenate([members[place] for place in few])) for few in chosen]
    )
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    if bca:
        seen = statistic(np.arange(rows))
        below = (np.sum(drawn < seen) + np.sum(drawn == seen) / 2) / draws
        bias = special.ndtri(min(max(below, 0.5 / draws), 1 - 0.5 / draws))
        left_out = np.array([statistic(np.flatnonzero(codes != k)) for k in range(count)])
        away = left_out.mean() - left_out
        scale = 6 * float(away @ away) ** 1.5
        z = bias + special.ndtri(ends)
        ends = special.ndtr(bias + z / (1 - (float(np.sum(away**3)) / scale if scale else 0.0) * z))
    low, high = np.quantile(drawn, ends)
    return float(low), float(high)
