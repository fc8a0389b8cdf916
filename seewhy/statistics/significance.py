"""Might chance alone have done this?

Tests of whether groups are alike, each giving p: how often chance alone would set them as far apart. Rows are
independent unless a `unit` says which belong together; whatever draws at random takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy import special, stats

from seewhy.statistics.intervals import CHUNK, is_binary


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


def unit_test(
    values: Num[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    unit: Int[np.ndarray, " rows"],
    *,
    seed: int,
    draws: int = 2000,
    strata: Int[np.ndarray, " rows"] | None = None,
) -> tuple[float, float]:
    """`permutation_test` for rows that belong together in units, which may lie in one group or in several.

    With u_cg = sum over the rows of unit c in group g of (x - mean) / rows of g, a group's mean is off the overall one
    by sum_c u_cg. Were groups alike, each unit's u might as well have the other sign: so signs are drawn, one a unit
    (the wild cluster bootstrap with the null imposed: Cameron, Gelbach and Miller 2008,
    https://doi.org/10.1162/rest.90.3.414), and the spread is compared. With `strata` the mean is that of the stratum.
    Beyond 20,000 units their sum is drawn from its normal limit.
    """
    group, units = (np.unique(codes, return_inverse=True)[1] for codes in (groups, unit))
    sizes, many = np.bincount(group), int(units.max(initial=-1)) + 1
    if len(sizes) < 2:
        return 0.0, 1.0
    values = np.asarray(values, dtype=float)
    layer = np.zeros(len(values), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    left = values - (np.bincount(layer, weights=values) / np.bincount(layer))[layer]
    cells = np.bincount(units * len(sizes) + group, weights=left, minlength=many * len(sizes))
    parts = cells.reshape(many, len(sizes)) / sizes
    random = np.random.default_rng(seed)
    if many > 20_000:
        drawn = random.multivariate_normal(np.zeros(len(sizes)), parts.T @ parts, draws, method="eigh")
    else:
        step = max(CHUNK // many, 1)
        drawn = np.concatenate(
            [
                (1.0 - 2.0 * random.integers(0, 2, (min(step, draws - start), many))) @ parts
                for start in range(0, draws, step)
            ]
        )
    seen = float(np.ptp(parts.sum(0)))
    spread = float(np.ptp(np.bincount(group, weights=values) / sizes))
    return spread, float(1 + np.sum(np.ptp(drawn, axis=1) >= seen - 1e-12)) / (1 + draws)


def against_rest(
    successes: Int[np.ndarray, "*some groups"], n: Int[np.ndarray, "*some groups"]
) -> tuple[Float[np.ndarray, "*some groups"], Float[np.ndarray, "*some groups"]]:
    """Exact one-sided p for each group's share to be this low, and this high, against all other groups together.

    X ~ hypergeometric(rows of all, successes of all, rows of the group): Fisher 1935. Groups stand on the last axis.
    1 where there is no row, or no other group.
    """
    rows, all_of_them = n.sum(-1, keepdims=True), successes.sum(-1, keepdims=True)
    return (
        np.minimum(stats.hypergeom.cdf(successes, rows, all_of_them, n), 1.0),
        np.minimum(stats.hypergeom.sf(successes - 1, rows, all_of_them, n), 1.0),
    )


def lower_than_rest(
    values: Num[np.ndarray, " rows"], here: Bool[np.ndarray, " rows"], unit: Int[np.ndarray, " rows"]
) -> float:
    """One-sided p that the mean over the rows `here` is no lower than that over the rest; rows belong to units.

    A t test of the difference of means with `mean_interval`'s variance, residuals taken from the overall mean and
    degrees of freedom from the side that lies in fewer units. 1 where a side lies in fewer than two.
    """
    if here.all() or not here.any():
        return 1.0
    weight = np.where(here, 1 / here.sum(), -1 / (~here).sum())
    totals = np.bincount(unit, weights=weight * (values - values.mean()))
    draws, freedom = np.count_nonzero(np.bincount(unit)), min(_different(unit[side]) for side in (here, ~here)) - 1
    if freedom < 1:
        return 1.0
    error = math.sqrt(draws / (draws - 1) * float(totals @ totals))
    return float(special.stdtr(freedom, float(totals.sum()) / error)) if error > 0 else 1.0


def _different(codes: Int[np.ndarray, " rows"]) -> int:
    """How many different numbers there are, none below 0; without sorting them."""
    return int(np.count_nonzero(np.bincount(codes)))


def sign_flip_test(
    values: Float[np.ndarray, "rows tests"], *, seed: int, draws: int = 4000
) -> Float[np.ndarray, " tests"]:
    """p that no mean is above 0, of many tests at once; NaN where a row does not take part in a test.

    Where a row's values might as well have had the other sign, r = sum x / sqrt(sum x^2) is spread like a sum of signs.
    Signs are drawn a row, the same for all tests, and each r is compared with the largest of all (Westfall and Young
    1993, Resampling-based multiple testing; r is Efron 1969, https://doi.org/10.2307/2286068). So p holds for all tests
    together, whatever the rows' spread and however tests hang together; it is 1 where no row takes part.
    """
    known = np.nan_to_num(np.asarray(values, dtype=float))
    scale = np.sqrt(np.sum(known**2, axis=0))
    scaled = known / np.where(scale > 0, scale, 1.0)
    seen = scaled.sum(0)
    if not scaled.size:
        return np.ones(scaled.shape[1])
    random, as_far = np.random.default_rng(seed), np.zeros(scaled.shape[1])
    step = max(CHUNK // len(scaled), 1)
    for start in range(0, draws, step):
        signs = 1.0 - 2.0 * random.integers(0, 2, (min(step, draws - start), len(scaled)))
        largest = (signs @ scaled).max(1)
        as_far += (largest[:, None] >= seen - 1e-9).sum(0)
    return np.where(scale > 0, (1 + as_far) / (1 + draws), 1.0)


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
