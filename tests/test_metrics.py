"""Numbers over classes beside scikit-learn's, and how often their intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from seewhy import metrics, statistics


def answers(random, sizes, recalls):
    target = np.repeat(np.arange(len(sizes)), sizes)
    right = random.random(len(target)) < np.asarray(recalls)[target]
    other = (target + random.integers(1, len(sizes), len(target))) % len(sizes)
    return target, np.where(right, target, other)


def test_balanced_accuracy_and_macro_f1_equal_scikit_learn():
    random = np.random.default_rng(0)
    target, answer = answers(random, [50, 20, 5, 100], [0.9, 0.7, 0.4, 0.95])
    balanced = metrics.balanced_accuracy(target, (target == answer).astype(float))
    assert balanced.value == pytest.approx(balanced_accuracy_score(target, answer))
    assert metrics.macro_f1(target, answer).value == pytest.approx(f1_score(target, answer, average="macro"))
    without = np.where(answer == 2, -1, answer)  # no answer at all
    expected = f1_score(target, without, average="macro", labels=[0, 1, 2, 3], zero_division=0)
    assert metrics.macro_f1(target, without).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sizes", "recalls"),
    [
        ([36] * 10, [0.98] * 10),
        ([36] * 10, np.linspace(0.7, 1, 10)),
        ([180, 20], [0.95, 0.8]),
        ([10] * 100, [0.8] * 100),
    ],
    ids=["even", "uneven recalls", "uneven sizes", "many small classes"],
)
def test_the_intervals_over_classes_cover_often_enough(sizes, recalls):
    random = np.random.default_rng(0)
    large = answers(random, [size * 200 for size in sizes], recalls)
    truths = float(np.mean(recalls)), metrics.macro_f1(*large).value
    covered = np.zeros(2)
    for _ in range(300):
        target, answer = answers(random, sizes, recalls)
        balanced = metrics.balanced_accuracy(target, (target == answer).astype(float))
        estimates = balanced, metrics.macro_f1(target, answer)
        covered += [each.low <= truth <= each.high for each, truth in zip(estimates, truths, strict=True)]
    assert (covered / 300 >= 0.92).all()


def test_with_nothing_wrong_the_interval_over_classes_is_still_wide():
    target = np.repeat([0, 1], [100, 10])
    balanced = metrics.balanced_accuracy(target, np.ones(110))
    assert balanced.value == 1
    assert statistics.wilson(10, 10)[0] < balanced.low < statistics.wilson(110, 110)[0]
    assert metrics.macro_f1(target, target).low == pytest.approx(balanced.low)


def test_auroc_equals_scikit_learn_and_counts_ties_half():
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 8, 200).astype(float), random.random(200) < 0.3
    assert metrics.auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert metrics.auroc(np.ones(4), np.array([True, False, True, False])) == 0.5
    assert math.isnan(metrics.auroc(np.ones(4), np.ones(4)))
