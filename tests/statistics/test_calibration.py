"""Calibration errors that are there, that are not, and that are mended."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from seewhy.statistics import calibration, intervals


def confident(random, n, over=0.0):
    """Confidences, and answers that are right `over` less often than they say."""
    confidence = np.clip(random.beta(8, 1.2, n), 0.05, 0.9999)
    return confidence, (random.random(n) < confidence - over).astype(float)


def test_reliability_puts_equal_confidences_in_one_bin_and_twenty_rows_in_each():
    table = calibration.reliability(np.array([1.0] * 95 + [0.5] * 5), np.ones(100))
    assert table.n.tolist() == [100]
    confidence, right = confident(np.random.default_rng(0), 1000)
    table = calibration.reliability(confidence, right, bins=10)
    assert table.n.tolist() == [100] * 10
    assert (np.diff(table.confidence) > 0).all()
    assert table.n @ table.right == pytest.approx(right.sum())
    assert len(calibration.reliability(confidence[:59], right[:59]).n) == 2


def test_the_calibration_error_of_a_calibrated_network_is_near_zero_where_the_plain_one_is_not():
    random = np.random.default_rng(0)
    estimates, plain = [], []
    for seed in range(200):
        confidence, right = confident(random, 270)
        table = calibration.reliability(confidence, right)
        plain.append(table.n @ np.abs(table.right - table.confidence) / 270)
        estimates.append(calibration.ece(confidence, right, seed=seed, draws=300))
    assert np.mean(plain) > 0.045
    assert np.median([each.value for each in estimates]) < 0.015
    assert np.mean([each.low == 0 for each in estimates]) >= 0.95


@pytest.mark.parametrize(("n", "over"), [(100, 0.1), (1000, 0.03), (1000, 0.1)])
def test_the_calibration_error_is_median_unbiased_and_its_interval_covers(n, over):
    random = np.random.default_rng(1)
    estimates = [calibration.ece(*confident(random, n, over), seed=seed, draws=300) for seed in range(150)]
    assert np.median([each.value for each in estimates]) == pytest.approx(over, abs=0.012)
    assert np.mean([each.low <= over <= each.high for each in estimates]) >= 0.93


def test_the_calibration_error_is_not_sure_of_itself_when_all_is_right():
    estimate = calibration.ece(np.ones(40), np.ones(40))
    assert (estimate.value, estimate.low) == (0, 0)
    assert estimate.high == pytest.approx(1 - intervals.wilson(40, 40)[0])
    assert math.isnan(calibration.ece(np.ones(1), np.ones(1)).value)


@pytest.mark.parametrize("n", [60, 400])
def test_the_consistency_test_raises_a_false_alarm_in_one_of_twenty(n):
    random = np.random.default_rng(n)
    p = [calibration.consistency_test(*confident(random, n), seed=table, draws=199) for table in range(500)]
    assert np.mean(np.array(p) < 0.05) <= 0.065
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.08)


def test_the_consistency_test_finds_a_network_that_is_ten_points_too_sure():
    random = np.random.default_rng(0)
    p = [calibration.consistency_test(*confident(random, 400, 0.1), seed=table, draws=199) for table in range(50)]
    assert np.mean(np.array(p) < 0.05) >= 0.95
    assert calibration.consistency_test(np.zeros(0), np.zeros(0), seed=0) == 1


def test_the_temperature_undoes_the_one_that_was_put_in():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (chances.cumsum(1) > random.random((4000, 1))).argmax(1)
    sharp = 2.5 * logits - 3.0  # what a network that is too sure would say; a constant does not matter
    assert calibration.temperature(sharp, target) == pytest.approx(2.5, rel=0.06)
    assert calibration.temperature(
        sharp.astype(np.float16), np.where(np.arange(4000) % 2, target, -1)
    ) == pytest.approx(2.5, rel=0.09)

    def loss(t):  # slow twin
        rows = sharp / t
        return np.mean(np.log(np.exp(rows).sum(1)) - rows[np.arange(4000), target])

    twin = optimize.minimize_scalar(loss, bounds=(0.5, 5), method="bounded").x
    assert calibration.temperature(sharp, target) == pytest.approx(twin, abs=1e-3)
    assert calibration.tempered(sharp, 2.5) == pytest.approx(chances.max(1), abs=1e-5)


def test_there_is_no_best_temperature_when_all_is_right():
    logits = np.eye(3)[np.arange(30) % 3]
    assert math.isnan(calibration.temperature(logits, np.arange(30) % 3))
    assert math.isnan(calibration.temperature(logits, np.full(30, -1)))
