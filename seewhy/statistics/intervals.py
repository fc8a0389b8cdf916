"""How sure can one be of a number?

Small exact functions on arrays. A share or a rightness is in 0 to 1, `level` is the confidence level in 0 to 1, `rows`
are independent examples unless a `unit` says which belong together; NaN never enters. Whatever draws at random takes
a seed and gives the same answer again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import optimize, special, stats

from seewhy.wording import percent, points

#: Counts and shares come as Python's numbers or as arrays; what is returned has the same shape.
Number = float | int | np.number | np.ndarray

#: How many random numbers are held at once.
CHUNK = 4_000_000

#: What every interval here takes for granted.
INDEPENDENT = (
    "The interval takes the images as independent; where several show one patient, scene or object it is too narrow."
)

#: How far a row may move that was not seen, when few move: half of what a probability can, and as far in log-odds where
#: a probability moves fastest. Without it, where 2 % of 50 rows move, the interval of their mean holds the truth in two
#: tables of three (docs/coverage.py).
UNSEEN_PROBABILITY, UNSEEN_LOGODDS = 0.5, 2.0


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
        """For a between of shares: "2.1 points (95 % interval -0.4 to 4.6)"."""
        low, high = (points(end).removesuffix(" points") for end in (self.low, self.high))
        return f"{points(self.value)} ({self._level} interval {low} to {high})"

    @property
    def _level(self) -> str:
        return f"{100 * self.confidence_level:.4g} %"


# ------------------------------------------------------------------------------------------------- one share


def wilson(successes: Number, n: Number, level: float = 0.95) -> tuple[Any, Any]:
    """Interval for a share: the shares p that a score test does not reject,

        (p^ + z^2/2n -+ z sqrt(p^(1-p^)/n + z^2/4n^2)) / (1 + z^2/n),        p^ = successes / n

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953. It holds a share near 0 or 1 too seldom (down to .84);
    so with 1 or 2 successes or failures (of more than 50 rows up to 3) that end is the Poisson limit where it lies
    farther out: Brown, Cai and DasGupta 2001, section 4.1, https://doi.org/10.1214/ss/1009213286. Nothing is known of a
    share of no rows: (0, 1).
    """
    low, high = score_interval(successes, n, special.ndtri((1 + level) / 2))
    return (
        _poisson_end(low, successes, n, level),
        1 - _poisson_end(1 - high, np.asarray(n) - successes, n, level),
    )


def _poisson_end(low: Any, successes: Number, n: Number, level: float) -> Any:
    few, rows = np.asarray(successes, dtype=float), np.maximum(n, 1)
    end = special.gammaincinv(np.maximum(few, 1e-9), 1 - level) / rows
    return np.where((few > 0) & (few <= np.where(rows > 50, 3, 2)), np.minimum(low, end), low)[()]


def score_interval(successes: Number, n: Number, z: float) -> tuple[Any, Any]:
    """Wilson's interval without its correction, with a quantile that may be another than the normal's. `n` may be an
    effective number of rows, and so need not be whole."""
    n = np.asarray(n, dtype=float)
    rows = np.where(n > 0, n, 1.0)
    share = np.asarray(successes, dtype=float) / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    low = np.where(share <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(share >= 1, 1.0, np.clip(centre + half, 0, 1))
    return np.where(n > 0, low, 0.0)[()], np.where(n > 0, high, 1.0)[()]


def mean_interval(
    values: Num[np.ndarray, " rows"],
    level: float = 0.95,
    unit: Shaped[np.ndarray, " rows"] | None = None,
    *,
    unseen: float = 0.0,
) -> tuple[float, float]:
    """Student's t interval for a mean; with `unit`, the rows of a unit count as one draw of a ratio:

        variance = C/(C-1) sum_c (sum_{i in c} (x_i - mean))^2 / rows^2,       C - 1 degrees of freedom

    (linearised; Liang and Zeger 1986, https://doi.org/10.1093/biomet/73.1.13). NaN for fewer than two draws.

    The interval widens as if two more draws lay `unseen` above and below the mean: for values that move rarely, of
    which those few that move may be missing. It is what Agresti and Coull 1998 do for shares.
    """
    middle = float(np.mean(values)) if len(values) else math.nan
    units = np.arange(len(values)) if unit is None else np.unique(unit, return_inverse=True)[1]
    draws = int(units.max()) + 1 if len(units) else 0
    if draws < 2:
        return math.nan, math.nan
    totals = np.bincount(units, weights=values - middle)
    error = math.sqrt(draws / (draws - 1) * (float(totals @ totals) + 2 * unseen**2)) / len(values)
    half = float(special.stdtrit(draws - 1, (1 + level) / 2)) * error
    return middle - half, middle + half


def mean(values: Num[np.ndarray, " rows"], level: float = 0.95, within: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The mean of values that spread smoothly, with `mean_interval` cut off at the ends of their range."""
    if not len(values):
        return Estimate(math.nan, *within, level, 0)
    low, high = (min(max(end, within[0]), within[1]) for end in mean_interval(values, level))
    return Estimate(float(np.mean(values)), low, high, level, len(values))


def median(values: Num[np.ndarray, " rows"], level: float = 0.95) -> Estimate:
    """The median, with the interval between the order statistics that hold it at least at this level, whatever the
    values' distribution:

        P(x_(k) <= median <= x_(n+1-k)) >= 1 - 2 P(X < k),      X ~ Binomial(n, 1/2)

    with the largest k for which that is enough (David and Nagaraja 2003, section 7.1). From 6 rows on there is one at
    95 %; with fewer the ends are infinite.
    """
    n = len(values)
    if not n:
        return Estimate(math.nan, -math.inf, math.inf, level, 0)
    ordered = np.sort(np.asarray(values, dtype=float))
    k = int(np.sum(2 * special.bdtr(np.arange(n // 2), n, 0.5) <= 1 - level))  # P(X < k) = P(X <= k - 1)
    low, high = (ordered[k - 1], ordered[n - k]) if k else (-math.inf, math.inf)
    return Estimate(float(np.median(ordered)), float(low), float(high), level, n)


def rate(
    values: Num[np.ndarray, " rows"], level: float = 0.95, unit: Int[np.ndarray, " rows"] | None = None
) -> Estimate:
    """The mean of values in 0 to 1: Wilson's interval where all are 0 or 1, else Student's, kept within 0 to 1.

    With fewer than ten rows, or none that differ, Wilson's serves any values: none in 0 to 1 vary more than 0 and 1 do.
    With `unit`, numbers that say which rows belong together, see `_rate_of_units`; `n` then counts units.
    """
    n = len(values)
    if unit is not None:
        return _rate_of_units(values, level, unit)
    if n >= 10 and not is_binary(values) and np.ptp(values) > 0:
        return mean(values, level)
    low, high = wilson(float(np.sum(values)), n, level)
    return Estimate(float(np.mean(values)) if n else math.nan, float(low), float(high), level, n)


def _rate_of_units(values: Num[np.ndarray, " rows"], level: float, unit: Int[np.ndarray, " rows"]) -> Estimate:
    """Wilson's interval at the number of rows that, were they independent, would give the variance that units give.

    The variance is that of `mean_interval`, the quantile Student's with a degree of freedom a unit less one (Korn and
    Graubard 1998, https://www150.statcan.gc.ca/n1/pub/12-001-x/1998002/article/4356-eng.pdf, have it for the exact
    interval). Where it is 0, because all are right or all wrong, a unit counts as one row. (0, 1) for a single unit.
    """
    units = np.unique(unit, return_inverse=True)[1]
    draws, n = int(units.max(initial=-1)) + 1, len(values)
    value = float(np.mean(values)) if n else math.nan
    if draws < 2:
        return Estimate(value, 0.0, 1.0, level, draws)
    totals = np.bincount(units, weights=values - value)
    variance = draws / (draws - 1) * float(totals @ totals) / n**2
    spread = value * (1 - value)
    rows = spread / variance if variance > 0 and spread > 0 else float(draws)
    if is_binary(values):
        rows = min(rows, float(n))  # units never add to what independent rows would tell
    low, high = score_interval(value * rows, rows, float(special.stdtrit(draws - 1, (1 + level) / 2)))
    return Estimate(value, float(low), float(high), level, draws)


def auroc(
    positive: Num[np.ndarray, " positives"], negative: Num[np.ndarray, " negatives"], level: float = 0.95
) -> Estimate:
    """How often a positive scores higher than a negative, ties by half: the area under the ROC curve, and an interval.

    The wider end of two, since each alone holds too seldom near 1 (docs/statistics.md): DeLong's variance on the scale
    of log-odds (DeLong and others 1988, https://doi.org/10.2307/2531595), and the a that the variance of Hanley and
    McNeil does not reject (Newcombe 2006, method 5, https://doi.org/10.1002/sim.2324):

        a (1 - a) (1 + N (1 - a)/(2 - a) + N a/(1 + a)) / (m n),    N = (m + n)/2 - 1

    (0, 1) where a side has no row. n counts both sides.
    """
    m, n = len(positive), len(negative)
    if not m or not n:
        return Estimate(math.nan, 0.0, 1.0, level, m + n)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - stats.rankdata(positive)) / n
    below = 1 - (ranks[m:] - stats.rankdata(negative)) / m
    area, z, middle = float(above.mean()), float(special.ndtri((1 + level) / 2)), (m + n) / 2 - 1

    def rejected(a: float) -> float:
        spread = a * (1 - a) * (1 + middle * (1 - a) / (2 - a) + middle * a / (1 + a)) / (m * n)
        return abs(area - a) - z * math.sqrt(max(spread, 0.0))

    inside = 1e-12
    low = optimize.brentq(rejected, 0.0, max(area - inside, inside)) if area > 2 * inside else 0.0
    high = optimize.brentq(rejected, min(area + inside, 1 - inside), 1.0) if area < 1 - 2 * inside else 1.0
    if 0 < area < 1 and min(m, n) > 1:
        error = z * math.sqrt(float(np.var(above, ddof=1)) / m + float(np.var(below, ddof=1)) / n)
        odds, half = special.logit(area), error / (area * (1 - area))
        low, high = min(low, float(special.expit(odds - half))), max(high, float(special.expit(odds + half)))
    return Estimate(area, float(low), float(high), level, m + n)


def is_binary(values: Num[np.ndarray, " rows"]) -> bool:
    """Whether all are 0 or 1."""
    return bool(np.all((values == 0) | (values == 1)))


# ----------------------------------------------------------------------------------------------- any number


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


# --------------------------------------------------------------------------------------------- small groups


class Pooled(NamedTuple):
    """A share for each group, drawn towards the others' the more, the fewer rows it has; and its interval."""

    value: Float[np.ndarray, " groups"]
    low: Float[np.ndarray, " groups"]
    high: Float[np.ndarray, " groups"]


def pooled(
    successes: Num[np.ndarray, " groups"], n: Num[np.ndarray, " groups"], level: float = 0.95, grid: int = 40
) -> Pooled:
    """Shares of many small groups, of which each borrows strength from the others.

    successes ~ Binomial(n, p),   p ~ Beta(m s, (1 - m) s);   m uniform in 0 to 1,   s / (s + n0) uniform in 0 to 1

    with n0 the harmonic mean of n (the uniform shrinkage prior: Daniels 1999, https://doi.org/10.2307/3316112). The two
    are averaged over on a grid rather than set to their likeliest values, as empirical Bayes has it, which makes
    intervals too narrow; the interval is that of the Beta distribution with the same mean and variance, at half the
    error, for a mixture of Betas has longer tails (docs/statistics.md has the measured coverage). It holds the truth at
    its level on average over the groups, not in each: a group unlike all others is drawn to them.
    """
    k, rows = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    if not len(k):
        return Pooled(k, k, k)
    middle = (np.arange(grid) + 0.5) / grid
    overall, typical = (k.sum() + 0.5) / (rows.sum() + 1), len(rows) / np.sum(1 / np.maximum(rows, 1))
    near = 0.5 + len(k) * overall, 0.5 + len(k) * (1 - overall)  # where m likely is: the grid is denser there
    m, s = np.meshgrid(special.betaincinv(*near, middle), typical * middle / (1 - middle))
    m, s = m.ravel()[:, None], s.ravel()[:, None]
    a, b = m * s, (1 - m) * s
    log = special.betaln(a + k, b + rows - k).sum(1) - len(k) * special.betaln(a, b)[:, 0]
    log -= ((near[0] - 1) * np.log(m) + (near[1] - 1) * np.log1p(-m))[:, 0]
    weight = np.exp(log - log.max())[:, None]
    weight /= weight.sum()
    each = (a + k) / (s + rows)
    value = (weight * each).sum(0)
    variance = (weight * (each * (1 - each) / (s + rows + 1) + (each - value) ** 2)).sum(0)
    size = value * (1 - value) / variance - 1
    tail = (1 - level) / 4
    ends = (special.betaincinv(value * size, (1 - value) * size, end) for end in (tail, 1 - tail))
    return Pooled(value, *ends)
