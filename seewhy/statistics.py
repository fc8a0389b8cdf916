"""How sure can one be of a number, and how is that said in a sentence?

Small exact functions on arrays. A share or a rightness is in 0 to 1, `level` is the confidence level in 0 to 1, `rows`
are independent examples unless a `unit` says which belong together; NaN never enters. Whatever draws at random takes
a seed and gives the same answer again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import optimize, special, stats

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
    return _score_interval(successes, n, special.ndtri((1 + level) / 2))


def _score_interval(successes: Number, n: Number, z: float) -> tuple[Any, Any]:
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


# ------------------------------------------------------------------------------------------------ over classes


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
    low, high = _score_interval(value * rows, rows, quantile)
    return float(low), float(high)


def codes(values: Iterable[Any], names: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """The place of each value among the names, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(value, -1) for value in values], dtype=np.int64)


# ------------------------------------------------------------------------------------------------- confidence


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


# -------------------------------------------------------------------------------------- said in a sentence


def percent(share: float) -> str:
    """ "94.2 %", with more decimals only where 0 % or 100 % would be said of what is not."""
    if not math.isfinite(share):
        return "unknown %"
    edge = 100 * min(share, 1 - share)
    decimals = 0 if edge <= 0 else min(max(math.ceil(-math.log10(edge)), 1), 9)
    return f"{100 * share:.{decimals}f} %"


def points(difference: float) -> str:
    """ "2.1 points": a difference of two shares, in percentage points."""
    if not math.isfinite(difference):
        return "unknown points"
    return f"{round(100 * difference, 1) + 0.0:.1f} points"  # + 0.0: never "-0.0"


def p_value(p: float) -> str:
    """ "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def counted(n: int, noun: str) -> str:
    """ "1 image", "1,234 images"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def quoted(name: Any, longest: int = 60) -> str:
    """A user's own word in quotes, on one line, its middle left out where it is very long; "nothing" for None."""
    if name is None:
        return "nothing"
    text = "".join(sign if sign.isprintable() else " " for sign in str(name))
    return f"'{text}'" if len(text) <= longest else f"'{text[: longest - 12]}…{text[-11:]}'"


def listed(items: Sequence[str], most: int = 5) -> str:
    """ "a, b and c", or "a, b, c, d, e and 4 more"."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most:,} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
