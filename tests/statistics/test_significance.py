"""Tests of whether groups are alike, beside other libraries and slow twins, and where nothing is to be found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from planted import patients
from scipy import stats
from statsmodels.stats.multitest import multipletests

from seewhy.statistics import intervals, significance


def every_deal(values, sizes):
    """Slow twin: the p of the spread over every way of dealing the values out."""
    observed, spreads = None, []
    for order in itertools.permutations(range(len(values))):
        dealt = np.split(np.array(values)[list(order)], np.cumsum(sizes)[:-1])
        spreads.append(np.ptp([group.mean() for group in dealt]))
        observed = spreads[0] if observed is None else observed
    return float(np.mean(np.array(spreads) >= observed - 1e-12))


@pytest.mark.parametrize(
    "values", [[1, 1, 1, 0, 0, 1, 0], [0.9, 0.8, 0.4, 0.1, 0.3, 0.7, 0.2]], ids=["binary", "smooth"]
)
def test_the_permutation_test_agrees_with_every_possible_deal(values):
    groups = np.array(["a", "a", "a", "b", "b", "c", "c"])
    spread, p = significance.permutation_test(np.array(values, float), groups, seed=0, draws=20_000)
    means = [np.mean(np.array(values)[groups == name]) for name in "abc"]
    assert spread == pytest.approx(np.ptp(means))
    assert p == pytest.approx(every_deal(values, [3, 2, 2]), abs=0.012)


def test_the_normal_limit_of_the_permutation_test_agrees_with_dealing():
    random = np.random.default_rng(0)
    values = random.beta(5, 2, 5_002)
    groups = random.choice(["a", "b", "c"], 5_002, p=[0.9, 0.07, 0.03])
    values[groups == "c"] -= 0.02
    few, many = slice(0, 5_000), slice(0, 5_002)
    dealt = significance.permutation_test(values[few], groups[few], seed=0, draws=2000)[1]
    limit = significance.permutation_test(values[many], groups[many], seed=0, draws=2000)[1]
    assert limit == pytest.approx(dealt, abs=0.05)


def test_strata_take_away_what_they_explain():
    # group b holds mostly the hard class; within a class both groups are alike
    strata = np.repeat([0, 1, 0, 1], [180, 20, 20, 180])
    groups = np.repeat(["a", "b"], 200)
    right = np.concatenate([np.resize([1.0] * 19 + [0.0], 180), np.resize([1.0, 0.0], 20)] * 2)
    right = np.where(strata == 1, np.resize([1.0, 0.0], 400), np.resize([1.0] * 19 + [0.0], 400))
    assert significance.permutation_test(right, groups, seed=0)[1] < 0.01
    assert significance.permutation_test(right, groups, seed=0, strata=strata)[1] > 0.3


@pytest.mark.parametrize("groups", [2, 3, 5, 10])
def test_the_permutation_test_raises_a_false_alarm_in_one_of_twenty(groups):
    random = np.random.default_rng(groups)
    codes = np.repeat(np.arange(groups), 40)
    share = [0.95, 0.8][groups % 2]
    alarms = [
        significance.permutation_test((random.random(len(codes)) < share).astype(float), codes, seed=table, draws=299)[
            1
        ]
        < 0.05
        for table in range(500)
    ]
    assert np.mean(alarms) <= 0.065


def test_the_permutation_test_finds_ten_points_at_two_hundred_a_group():
    random = np.random.default_rng(0)
    codes = np.repeat([0, 1], 200)
    found = [
        significance.permutation_test((random.random(400) < np.where(codes, 0.85, 0.95)).astype(float), codes, seed=t)[
            1
        ]
        < 0.05
        for t in range(300)
    ]
    assert np.mean(found) >= 0.87  # exact power .93


def test_one_group_has_no_spread():
    assert significance.permutation_test(np.ones(5), np.array(["a"] * 5), seed=0) == (0, 1)
    assert significance.permutation_test(np.ones(0), np.array([], dtype=object), seed=0) == (0, 1)


def alarms_over_units(groups, units, within, tables):
    """How often groups that are alike raise an alarm, each unit in one group, or `within` each unit in all."""
    random = np.random.default_rng(groups)
    alarms = []
    for table in range(tables):
        right, unit = patients(random, units, 10, 0.85, 1.5)
        place = np.arange(len(unit)) % groups if within else unit % groups
        alarms.append(significance.unit_test(right, place, unit, seed=table, draws=199)[1] < 0.05)
    return np.mean(alarms)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("groups", [2, 5])
def test_units_that_belong_together_raise_no_false_alarm(groups, within):
    assert alarms_over_units(groups, 60, within, 300) <= 0.075
    random = np.random.default_rng(0)
    if not within:  # as rows that stand alone they would
        naive = []
        for table in range(100):
            right, unit = patients(random, 60, 10, 0.85, 1.5)
            naive.append(significance.permutation_test(right, unit % groups, seed=table, draws=199)[1] < 0.05)
        assert np.mean(naive) > 0.15


def test_a_gap_between_units_is_found_and_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    random = np.random.default_rng(0)
    right, unit = patients(random, 100, 10, 0.9, 1.0)
    right[unit < 50] *= random.random((unit < 50).sum()) < 0.7
    place = (unit < 50).astype(int)
    p = significance.unit_test(right, place, unit, seed=0)[1]
    monkeypatch.setattr(intervals, "CHUNK", 1000)
    assert p < 0.01
    assert significance.unit_test(right, place, unit, seed=0)[1] < 0.01
    assert significance.unit_test(right, np.zeros(1000, int), unit, seed=0) == (0, 1)


def test_each_group_against_the_rest_is_fishers_exact_test():
    hits, n = np.array([9, 30, 4]), np.array([10, 50, 4])
    low, high = significance.against_rest(hits, n)
    for place in range(3):
        rest = hits.sum() - hits[place], n.sum() - n[place]
        table = [[hits[place], n[place] - hits[place]], [rest[0], rest[1] - rest[0]]]
        assert low[place] == pytest.approx(stats.fisher_exact(table, "less").pvalue)
        assert high[place] == pytest.approx(stats.fisher_exact(table, "greater").pvalue)


def test_a_group_of_units_that_is_lower_than_the_rest_is_found_and_others_are_not():
    random = np.random.default_rng(0)
    p = []
    for _ in range(300):
        right, unit = patients(random, 60, 5, 0.85, 1.5)
        p.append(significance.lower_than_rest(right, unit < 15, unit))
    assert np.mean(np.array(p) < 0.05) <= 0.085
    right[unit < 15] = random.random(75) < 0.3
    assert significance.lower_than_rest(right, unit < 15, unit) < 0.01
    assert significance.lower_than_rest(right, unit < 0, unit) == 1
    assert significance.lower_than_rest(right, unit < 1, unit) == 1  # one unit tells nothing


def test_holm_equals_statsmodels():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9, 0.03])
    assert significance.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert significance.holm([]).tolist() == []


def test_signs_are_flipped_by_hand_too():
    random = np.random.default_rng(3)
    values = random.standard_normal((8, 3)) + np.array([0.0, 0.5, 1.0])
    values[:2, 0] = np.nan
    known = np.nan_to_num(values)
    seen = known.sum(0) / np.sqrt((known**2).sum(0))
    largest = np.array(
        [
            max(np.array(signs) @ known[:, test] / np.sqrt((known[:, test] ** 2).sum()) for test in range(3))
            for signs in itertools.product((-1, 1), repeat=8)
        ]
    )
    exact = [(largest >= each - 1e-9).mean() for each in seen]
    assert significance.sign_flip_test(values, seed=0, draws=20_000) == pytest.approx(exact, abs=0.015)


def test_no_sign_to_flip_is_no_finding():
    assert significance.sign_flip_test(np.full((5, 2), np.nan), seed=0).tolist() == [1, 1]
    assert significance.sign_flip_test(np.zeros((5, 1)), seed=0).tolist() == [1]


def test_flipped_signs_raise_an_alarm_among_many_tests_in_one_table_of_twenty_at_most():
    alarms = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        values = random.standard_t(3, (24, 1)) + random.standard_t(3, (24, 30))
        alarms += significance.sign_flip_test(values, seed=seed, draws=400).min() < 0.05
    assert alarms <= 8  # 3 are expected; 9 or more come once in 250
