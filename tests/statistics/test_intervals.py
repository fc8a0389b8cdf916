"""The statistics beside other libraries, beside slow twins, and measured where nothing is to be found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from planted import patients
from scipy import special, stats
from sklearn.metrics import roc_auc_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats import contingency_tables
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from seewhy.statistics import differences, intervals

# ------------------------------------------------------------------------------------------------- one share


@pytest.mark.parametrize(("successes", "n"), [(0, 4), (4, 4), (0, 20), (20, 20), (7, 20), (996, 1000), (4, 100_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(successes, n, level):
    expected = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    assert intervals.wilson(successes, n, level) == pytest.approx(np.clip(expected, 0, 1), abs=1e-12)


def test_wilson_takes_arrays_and_knows_nothing_of_no_rows():
    low, high = intervals.wilson(np.array([0, 5, 0]), np.array([10, 10, 0]))
    assert low.tolist() == [0, pytest.approx(intervals.wilson(5, 10)[0]), 0]
    assert high[2] == 1


def coverage_of_wilson(n, shares):
    """Exact: the probability of the counts whose interval holds the share."""
    counts = np.arange(n + 1)
    low, high = intervals.wilson(counts, np.full(n + 1, n))
    holds = (low <= shares[:, None]) & (shares[:, None] <= high)
    return (stats.binom.pmf(counts, n, shares[:, None]) * holds).sum(1)


@pytest.mark.parametrize("n", [20, 50, 200])
def test_wilson_covers_the_true_share_often_enough(n):
    covered = coverage_of_wilson(n, np.linspace(0.0005, 0.9995, 1999))
    assert covered.mean() >= 0.95
    assert covered.min() >= 0.90


def test_an_end_near_0_or_1_is_the_poisson_limit():
    low, high = intervals.wilson(2, 50)
    assert stats.poisson.sf(1, 50 * low) == pytest.approx(0.05)
    assert intervals.wilson(48, 50) == pytest.approx((1 - high, 1 - low))
    assert intervals.wilson(3, 50) == pytest.approx(proportion_confint(3, 50, method="wilson"))


def test_the_mean_of_values_uses_students_interval_and_that_of_right_and_wrong_wilsons():
    values = np.random.default_rng(0).uniform(0, 1, 50)
    low, high = stats.t.interval(0.95, 49, values.mean(), stats.sem(values))
    assert intervals.rate(values) == pytest.approx((values.mean(), low, high, 0.95, 50))
    answers = np.repeat([0.0, 1.0], [3, 17])
    assert intervals.rate(answers)[:3] == pytest.approx((0.85, *intervals.wilson(17, 20)))
    few = np.array([0.5, 0.7])
    assert intervals.rate(few)[1:3] == pytest.approx(intervals.wilson(1.2, 2))
    assert math.isnan(intervals.rate(np.array([])).value)
    assert intervals.mean(np.array([0.1, 0.99, 0.99])).high == 1


def test_the_median_lies_between_the_order_statistics_that_the_sign_test_allows():
    values = np.random.default_rng(0).permutation(np.arange(1.0, 18))
    found = intervals.median(values)
    # David and Nagaraja's table for n = 17: the 5th and the 13th, at 95.1 %
    assert (found.value, found.low, found.high, found.n) == (9, 5, 13, 17)
    assert intervals.median(values[:6])[1:3] == (values[:6].min(), values[:6].max())
    assert intervals.median(values[:5])[1:3] == (-math.inf, math.inf)
    assert math.isnan(intervals.median(values[:0]).value)


@pytest.mark.parametrize("n", [6, 8, 9, 30, 101])
def test_the_medians_interval_covers_and_no_narrower_one_would(n):
    places = np.arange(1.0, n + 1)
    low, high = intervals.median(places)[1:3]
    covers = float(np.diff(stats.binom.cdf([low - 1, high - 1], n, 0.5))[0])  # low <= median <= high, exactly
    narrower = float(np.diff(stats.binom.cdf([low, high - 2], n, 0.5))[0])
    assert covers >= 0.95 > narrower
    drawn = np.sort(np.random.default_rng(n).exponential(size=(4000, n)), axis=1)
    seen = np.mean((drawn[:, int(low) - 1] <= math.log(2)) & (math.log(2) <= drawn[:, int(high) - 1]))
    assert seen == pytest.approx(covers, abs=0.015)


def test_an_interval_over_units_equals_cluster_robust_regression():
    random = np.random.default_rng(0)
    unit = random.integers(0, 12, 200)
    values = random.normal(unit / 10, 1)
    fitted = OLS(values, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": unit, "use_t": True}, use_t=True)
    assert intervals.mean_interval(values, unit=unit) == pytest.approx(fitted.conf_int()[0], abs=1e-9)
    assert np.isnan(intervals.mean_interval(values, unit=np.zeros(200))).all()


def test_rows_that_belong_together_widen_the_interval_until_it_covers():
    random = np.random.default_rng(3)
    unit = np.repeat(np.arange(30), 10)
    covered = {"rows": 0, "units": 0}
    for _ in range(300):
        values = np.repeat(random.normal(0, 1, 30), 10) + random.normal(0, 0.5, 300)
        for name, of in (("rows", None), ("units", unit)):
            low, high = intervals.mean_interval(values, unit=of)
            covered[name] += low <= 0 <= high
    assert covered["rows"] / 300 < 0.7
    assert covered["units"] / 300 >= 0.92


def test_a_share_over_units_is_wilsons_where_each_unit_is_one_row():
    right = np.array([1.0] * 37 + [0.0] * 3)
    ours = intervals.rate(right, unit=np.arange(40))
    low, high = intervals.wilson(37, 40)
    assert ours.n == 40
    assert ours.low == pytest.approx(low, abs=0.01)  # Student's quantile in place of the normal one
    assert ours.high == pytest.approx(high, abs=0.01)
    assert intervals.rate(np.ones(12), unit=np.repeat([0, 1, 2], 4)).low < intervals.wilson(3, 3)[0]
    alone = intervals.rate(np.ones(5), unit=np.zeros(5, int))
    assert (alone.low, alone.high, alone.n) == (0, 1, 1)


def true_share(share, sd):
    return patients(np.random.default_rng(9), 200_000, 1, share, sd)[0].mean()


@pytest.mark.parametrize(("units", "each", "sd"), [(20, 10, 1.0), (50, 4, 2.0), (200, 5, 0.0)])
def test_a_share_over_units_covers_where_rows_would_not(units, each, sd):
    random = np.random.default_rng(0)
    true = true_share(0.85, sd)
    drawn = [patients(random, units, each, 0.85, sd) for _ in range(400)]
    found = [intervals.rate(right, unit=unit) for right, unit in drawn]
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.92


# ----------------------------------------------------------------------------------------------- differences


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
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert differences.paired(first, first)[1] == 1


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


# ----------------------------------------------------------------------------------------------- any number


def test_the_bootstrap_agrees_with_scipy_and_with_the_t_interval():
    values = np.random.default_rng(0).exponential(1, 60)
    ours = intervals.bootstrap(lambda rows: float(values[rows].mean()), 60, seed=0, draws=4000)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=4000, rng=np.random.default_rng(1)).confidence_interval
    assert ours == pytest.approx(tuple(scipys), abs=0.03)
    plain = intervals.bootstrap(lambda rows: float(values[rows].mean()), 60, seed=0, draws=4000, bca=False)
    assert plain[0] < ours[0]  # a skewed sample: the corrected interval lies further right
    assert plain == intervals.bootstrap(lambda rows: float(values[rows].mean()), 60, seed=0, draws=4000, bca=False)


def test_the_bootstrap_draws_whole_units():
    unit = np.repeat(np.arange(20), 10)
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 20), 10)
    low, high = intervals.bootstrap(lambda rows: float(values[rows].mean()), 200, seed=0, unit=unit, draws=500)
    expected = intervals.mean_interval(values, unit=unit)
    assert (low, high) == pytest.approx(expected, abs=0.15)
    assert np.isnan(intervals.bootstrap(lambda rows: 0.0, 200, seed=0, unit=np.zeros(200))).all()


# --------------------------------------------------------------------------------------------- small groups


def test_small_groups_are_drawn_to_the_others_and_large_ones_stay():
    hits, n = np.array([5, 90, 85, 93, 1800]), np.array([5, 100, 100, 100, 2000])
    found = intervals.pooled(hits, n)
    assert 0.89 < found.value[0] < 0.95  # 5 of 5, but the others are at .9
    assert found.value[4] == pytest.approx(0.9, abs=0.002)
    far = intervals.pooled(np.array([50, 900, 910]), np.array([100, 1000, 1000]))
    assert far.value[0] == pytest.approx(0.5, abs=0.03)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()
    assert len(intervals.pooled(np.zeros(0), np.zeros(0)).value) == 0


@pytest.mark.parametrize("sd", [0.0, 0.5, 1.5])
def test_pooled_intervals_cover_on_average_and_are_nearer_the_truth_than_shares(sd):
    random = np.random.default_rng(0)
    covered, ours, plain = [], [], []
    for _ in range(100):
        p = 1 / (1 + np.exp(-(2 + sd * random.standard_normal(16))))
        n = random.integers(5, 40, 16)
        hits = random.binomial(n, p)
        found = intervals.pooled(hits, n)
        covered.append(np.mean((found.low <= p) & (p <= found.high)))
        ours.append(np.mean((found.value - p) ** 2))
        plain.append(np.mean((hits / n - p) ** 2))
    assert np.mean(covered) >= 0.945
    assert np.mean(ours) < np.mean(plain)


def test_the_area_under_the_roc_curve_is_sklearns_and_its_interval_holds_the_truth():
    random = np.random.default_rng(0)
    for ties in (1, 10):
        positive, negative = (np.round(random.normal(middle, 1, 60) * 10 / ties) for middle in (1, 0))
        labels = np.repeat([1, 0], 60)
        theirs = roc_auc_score(labels, np.concatenate([positive, negative]))
        assert intervals.auroc(positive, negative).value == pytest.approx(theirs)
    for truth in (0.5, 0.9, 0.97):
        middle = special.ndtri(truth) * math.sqrt(2)
        drawn = [intervals.auroc(random.normal(middle, 1, 50), random.normal(0, 1, 100)) for _ in range(400)]
        assert np.mean([each.low <= truth <= each.high for each in drawn]) > 0.93


def test_the_area_under_the_roc_curve_is_bounded_where_it_is_0_or_1_and_where_there_is_nothing():
    whole = intervals.auroc(np.arange(20.0) + 100, np.arange(30.0))
    none = intervals.auroc(np.arange(30.0), np.arange(20.0) + 100)
    assert (whole.value, whole.high) == (1.0, 1.0)
    assert 0.8 < whole.low < 0.95
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - whole.low, abs=1e-6)
    assert intervals.auroc(np.array([]), np.arange(3.0))[1:3] == (0.0, 1.0)
