"""A label is told from a number where it can be, and rare classes raise no alarm."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from seewhy.statistics import telling

HALF = np.arange(300)


def asked(values, labels, seed=0):
    return telling.told(values, labels, HALF, HALF + 300, seed=seed, draws=200)


def test_the_rule_is_fishers_with_classes_of_one_frequency():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    values = random.standard_normal((300, 4)) + labels[:, None] * [1.0, 0.5, 0, 0]
    other = LinearDiscriminantAnalysis(priors=[1 / 3] * 3, solver="lsqr").fit(values, labels)
    ours = telling.discriminant(values, labels, values)
    assert np.mean(ours == other.predict(values)) > 0.99


def test_a_class_between_the_others_is_told_by_one_number():
    labels = np.arange(600) % 2
    values = np.where(labels == 1, 0.0, np.where(np.arange(600) % 4 == 0, 3.0, -3.0))[:, None]
    values = values + 0.1 * np.random.default_rng(0).standard_normal((600, 1))
    found = asked(values, labels)
    assert found.accuracy.value == 1
    assert found.p < 0.01
    assert found.guessing == 0.5


def test_a_word_that_goes_with_the_label_is_told_and_one_that_was_never_seen_does_no_harm():
    labels = np.arange(600) % 2
    words = np.array([["A" if label else "B"] for label in labels], dtype=object)
    words[599] = "C"
    assert asked(words, labels).accuracy.value > 0.99


def test_with_classes_of_95_to_5_to_say_the_frequent_one_is_worth_nothing():
    labels = (np.arange(600) % 20 == 0).astype(int)
    found = asked(np.zeros((600, 1)), labels)
    assert found.accuracy.value == pytest.approx(0.5)
    assert found.p == 1


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_noise_raises_an_alarm_in_no_more_than_one_table_of_twenty(share):
    alarms = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        labels = (random.random(600) >= share).astype(int)
        alarms += asked(random.standard_normal((600, 1)), labels, seed).p < 0.05
    assert alarms <= 8  # 3 are expected; 9 or more come once in 250


def test_what_lies_in_clumps_is_told_by_its_neighbours():
    random = np.random.default_rng(1)
    labels, behind = random.integers(0, 2, 600), random.integers(0, 6, 600)
    values = behind[:, None] * np.array([10.0, 7.0]) + (labels ^ (behind % 2))[:, None] * [0.3, 0.3]
    values = values + 0.02 * random.standard_normal((600, 2))
    assert np.mean(telling.discriminant(values, labels, values) == labels) < 0.7
    assert asked(values, labels).accuracy.value > 0.98
