"""Differences against statsmodels, exact power and many draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from seewhy.statistics import differences, intervals


def pairs(both, only_a, only_b, neither):
    first = np.repeat([1.0, 1.0, 0.0, 0.0], [both, only_a, only_b, neither])
    second = np.repeat([1.0, 0.0, 1.0, 0.0], [both, only_a, only_b, neither])
    return first, second


def newcombes_tenth_method(e, f, g, h):
    """Slow twin, in the paper's letters: e both, f and g one alone, h neither."""
    n = e + f + g + h
    (l2, u2), (l3, u3) = (proportion_confint(hits, n, method="wilson") for hits in (e + f, e + g))
    d_l2, d_u2, d_l3, d_u3 = (e + f) / n - l2, u2 - (e + f) / n, (e + g) / n - l3, u3 - (e + g) / n
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    above = e * h - f * g
    corrected = above - n / 2 if above > n / 2 else 0 if above >= 0 else above
    phi = corrected / math.sqrt(margins) if margins else 0
    delta = math.sqrt(d_l2**2 - 2 * phi * d_l2 * d_u3 + d_u3**2)
    epsilon = math.sqrt(d_u2**2 - 2 * phi * d_u2 * d_l3 + d_l3**2)
    return (f - g) / n - delta, (f - g) / n + epsilon


@pytest.mark.parametrize("table", [(56, 70, 48, 80), (9, 10, 3, 10), (0, 10, 0, 20), (10, 10, 0, 20), (5, 56, 0, 29)])
def test_newcombe_equals_statsmodels(table):
    expected = confint_proportions_2indep(*table, method="newcomb")
    assert differences.newcombe(*table) == pytest.approx(expected, abs=1e-9)


def test_newcombe_knows_nothing_of_a_group_without_rows():
    assert differences.newcombe(5, 10, 0, 0) == (-1, 1)


@pytest.mark.parametrize("n", [20, 50])
def test_newcombe_covers_the_true_difference_often_enough(n):
    counts = np.arange(n + 1)
    a, b = np.meshgrid(counts, counts, indexing="ij")
    low, high = differences.newcombe(a, np.full_like(a, n), b, np.full_like(b, n))
    covered = []
    for p, q in itertools.product(np.linspace(0.05, 0.95, 19), repeat=2):
        weight = np.outer(stats.binom.pmf(counts, n, p), stats.binom.pmf(counts, n, q))
        covered.append(float(weight[(low <= p - q) & (p - q <= high)].sum()))
    assert np.mean(covered) >= 0.95
    assert min(covered) >= 0.90


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 9), (9, 3), (12, 12), (0, 20)])
def test_mcnemar_equals_statsmodels(only_a, only_b):
    table = [[50, only_a], [only_b, 20]]
    expected = contingency_tables.mcnemar(table, exact=True).pvalue if only_a + only_b else 1
    assert differences.mcnemar(only_a, only_b) == pytest.approx(expected)


@pytest.mark.parametrize(
    "table", [(36, 12, 2, 0), (36, 14, 0, 0), (0, 29, 0, 1), (0, 30, 0, 0), (80, 5, 9, 6), (5, 30, 25, 4), (1, 0, 0, 1)]
)
def test_a_paired_difference_has_newcombes_interval_and_mcnemars_p(table):
    estimate, p = differences.paired(*pairs(*table))
    assert (estimate.low, estimate.high) == pytest.approx(newcombes_tenth_method(*table), abs=1e-12)
    assert p == differences.mcnemar(table[1], table[2])
    opposite, _ = differences.paired(*reversed(pairs(*table)))
    assert (opposite.low, opposite.high) == pytest.approx((-estimate.high, -estimate.low))


def test_a_paired_difference_of_smooth_values_is_students():
    random = np.random.default_rng(0)
    first, second = random.uniform(0, 1, (2, 30))
    estimate, p = differences.paired(first, second)
    expected = stats.ttest_rel(first, second)
    assert p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    # The interval of these rows and two more, half a unit above and below the mean, as if 30 had been seen.
    gaps = first - second
    more = [*gaps, gaps.mean() + 0.5, gaps.mean() - 0.5]
    wider = np.std(more) * np.sqrt(32 / 29) / np.std(gaps, ddof=1)
    assert estimate.high - estimate.value == pytest.approx((high - estimate.value) * wider)
    assert estimate.value - estimate.low == pytest.approx((estimate.value - low) * wider)
    assert differences.paired(first, first)[1] == 1


def test_rows_of_which_few_move_are_not_taken_for_rows_that_never_move():
    first, second = np.full(50, 0.9), np.full(50, 0.9)
    nobody, p = differences.paired(first, second)
    assert (nobody.value, p) == (0, 1)
    assert nobody.high == -nobody.low == pytest.approx(stats.t.ppf(0.975, 49) * np.sqrt(0.5 / 49 / 50))
    assert nobody.high < 0.03


@pytest.mark.parametrize("chances", [(0.85, 0.07, 0.03, 0.05), (0.5, 0.2, 0.1, 0.2), (0.9, 0.02, 0.02, 0.06)])
def test_a_paired_interval_covers_the_true_difference_often_enough(chances):
    random = np.random.default_rng(1)
    tables = random.multinomial(100, chances, size=400)
    true = chances[1] - chances[2]
    found = [differences.paired(*pairs(*table))[0] for table in tables.tolist()]
    assert np.mean([each.low <= true <= each.high for each in found]) >= 0.935


def test_the_smallest_gap_agrees_with_exact_power():
    # exact: .95 against .85 needs 190 rows a group for a power of .9
    assert differences.smallest_gap(190, 190, 0.95) == pytest.approx(0.10, abs=0.006)
    assert differences.smallest_gap(270, 270, 0.90) == pytest.approx(0.10, abs=0.006)
    assert differences.smallest_gap(400, 400, 0.80) == pytest.approx(0.10, abs=0.006)
    assert math.isnan(differences.smallest_gap(3, 3, 0.5))
    assert math.isnan(differences.smallest_gap(0, 10, 0.5))
    assert differences.smallest_gap(50, 50, 0.9) > differences.smallest_gap(500, 500, 0.9)


def test_a_difference_of_two_estimates_is_newcombes_where_they_are_wilsons():
    first, second = intervals.rate(np.repeat([1.0, 0.0], [90, 10])), intervals.rate(np.repeat([1.0, 0.0], [60, 40]))
    gap = differences.between(first, second)
    assert (gap.low, gap.high) == pytest.approx(differences.newcombe(90, 100, 60, 100))
    together = differences.between(first, second, correlation=0.8)
    assert gap.low < together.low < together.high < gap.high
