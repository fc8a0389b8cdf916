"""Numbers over classes and groups beside scikit-learn's and fairlearn's, and how often intervals hold the truth."""

from __future__ import annotations

import math

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, roc_auc_score

from seewhy.statistics import intervals, metrics


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
    assert intervals.wilson(10, 10)[0] < balanced.low < intervals.wilson(110, 110)[0]
    assert metrics.macro_f1(target, target).low == pytest.approx(balanced.low)


# -------------------------------------------------------------------------------------------- one class by group

#: The table of fairlearn's user guide.
KNOWN_TARGET = np.array([0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1])
KNOWN_ANSWER = np.array([0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0])
KNOWN_GROUP = np.array([1, 1, 0, 1, 1, 2, 2, 2, 0, 0, 2, 0, 1, 2, 2, 1, 2, 2])

FAIRLEARNS = {
    "accuracy": accuracy_score,
    "error": lambda target, answer: 1 - accuracy_score(target, answer),
    "selection rate": fairlearn.selection_rate,
    "true positive rate": fairlearn.true_positive_rate,
    "false negative rate": fairlearn.false_negative_rate,
    "false positive rate": fairlearn.false_positive_rate,
    "true negative rate": fairlearn.true_negative_rate,
    "precision": lambda target, answer: precision_score(target, answer, zero_division=0),
}


def test_the_known_answers_of_fairlearns_guide_come_out():
    of = metrics.counts(KNOWN_TARGET, KNOWN_ANSWER, KNOWN_GROUP, 3, 2)
    assert metrics.shares("accuracy", of)[:, 1] == pytest.approx([0.25, 2 / 3, 0.375])
    found = {name: tuple(float(each[1]) for each in metrics.parity(name, of)) for name in metrics.CRITERIA}
    assert found["demographic parity"] == pytest.approx((0.25, 2 / 3))
    assert found["equalised odds"][0] == pytest.approx(1.0)
    assert found["equal opportunity"][0] == pytest.approx(0.2)


def agrees_with_fairlearn(seed, tables):
    """Where nothing could count, fairlearn says 0 and we say NaN; all else is equal."""
    random = np.random.default_rng(seed)
    for _ in range(tables):
        n, groups = int(random.integers(2, 60)), int(random.integers(1, 6))
        target, answer = (random.random((2, n)) < random.choice([0, 0.05, 0.5, 0.95, 1], (2, 1))).astype(int)
        group = random.integers(0, groups, n)
        of = metrics.Counts(*(cells[:, 1] for cells in metrics.counts(target, answer, group, groups, 2)))
        there = np.unique(group)
        frame = fairlearn.MetricFrame(
            metrics=FAIRLEARNS, y_true=target == 1, y_pred=answer == 1, sensitive_features=group
        )
        by_group, difference, ratio = frame.by_group, frame.difference(), frame.ratio()
        for name in metrics.RATES:
            ours = metrics.shares(name, of)
            assert np.isnan(np.delete(ours, there)).all()
            filled = np.nan_to_num(ours[there])
            assert filled == pytest.approx(by_group[name].to_numpy().astype(float))
            assert metrics.gap(filled) == pytest.approx(difference[name])
            assert metrics.ratio(filled) == pytest.approx(float(ratio[name]), nan_ok=True)
        if (of.labelled[there] > 0).all() and (of.rows > of.labelled)[there].all():
            asked = {"y_true": target, "y_pred": answer, "sensitive_features": group}
            gap, ratio = metrics.parity("equalised odds", of)
            assert gap == pytest.approx(fairlearn.equalized_odds_difference(**asked))
            theirs = fairlearn.equalized_odds_ratio(**asked)
            if np.isnan(theirs):  # a rate that is 0 in every group has no ratio; the other one's stands
                assert min(metrics.shares(rate, of)[there].max() for rate in metrics.CRITERIA["equalised odds"]) == 0
            else:
                assert ratio == pytest.approx(theirs)
            opportunity = fairlearn.equal_opportunity_difference(**asked)
            assert metrics.parity("equal opportunity", of)[0] == pytest.approx(opportunity)
            parity = fairlearn.demographic_parity_difference(**asked)
            assert metrics.parity("demographic parity", of)[0] == pytest.approx(parity)


def test_rates_gaps_and_ratios_equal_fairlearns():
    agrees_with_fairlearn(0, 20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_rates_gaps_and_ratios_equal_fairlearns_on_a_thousand_tables(seed):
    agrees_with_fairlearn(seed, 100)


def test_many_classes_are_counted_one_against_the_rest():
    random = np.random.default_rng(0)
    target, answer = random.integers(-1, 4, (2, 300))
    group = random.integers(0, 3, 300)
    of = metrics.counts(target, answer, group, 3, 4)
    known = target >= 0
    for place in range(4):
        labelled = np.where(known, target == place, -1).astype(int)
        alone = metrics.counts(labelled, (answer == place).astype(int), group, 3, 2)
        for ours, twin in zip(of, alone, strict=True):
            assert ours[:, place].tolist() == twin[:, 1].tolist()
    assert of.rows[:, 0].sum() == known.sum()
    assert np.isnan(metrics.shares("precision", metrics.counts(target[:0], answer[:0], group[:0], 3, 4))).all()


# ------------------------------------------------------------------------------------------------- inequality


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 3.0])
def test_the_entropy_of_many_rows_is_that_of_where_they_come_from(alpha):
    values, chances = np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.5, 0.2])
    relative = values / (values @ chances)
    powers = {0.0: -np.log(relative), 1.0: relative * np.log(relative)}
    true = float(chances @ powers.get(alpha, (relative**alpha - 1) / (alpha * (alpha - 1) or 1)))
    random = np.random.default_rng(0)
    drawn = [random.choice(values, 30, p=chances) for _ in range(4000)]
    assert np.mean([metrics.generalised_entropy(each, alpha) for each in drawn]) == pytest.approx(true, rel=0.02)


def test_entropy_is_nothing_where_all_have_the_same_and_unknown_where_there_is_nothing():
    assert metrics.generalised_entropy(np.full(9, 0.3), 1.0) == pytest.approx(0)
    assert math.isnan(metrics.generalised_entropy(np.zeros(9)))
    assert math.isnan(metrics.entropy_between(np.zeros(0), np.zeros(0, dtype=int)))


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_entropy_between_groups_is_nothing_on_average_where_they_are_alike(alpha):
    random = np.random.default_rng(1)
    place = np.repeat([0, 1, 2], [20, 50, 130])
    plain, debiased = [], []
    for _ in range(2000):
        benefit = (random.random(200) < 0.9).astype(float)
        means = np.bincount(place, weights=benefit) / np.bincount(place)
        plain.append(np.mean(((means / benefit.mean()) ** 2 - 1)[place]) / 2)
        debiased.append(metrics.entropy_between(benefit, place, alpha))
    assert abs(np.mean(debiased)) < 0.1 * np.mean(plain)


def test_entropy_between_groups_equals_that_of_their_means_when_nothing_varies_inside():
    place = np.repeat([0, 1], [30, 70])
    benefit = np.where(place, 1.0, 0.5)
    assert metrics.entropy_between(benefit, place) == pytest.approx(np.var(benefit) / (2 * benefit.mean() ** 2))


# ------------------------------------------------------------------------------------------------------- scores


def test_labels_that_were_changed_are_doubted_and_others_are_not():
    random = np.random.default_rng(0)
    true = random.integers(0, 4, 800)
    logits = random.normal(0, 1, (800, 4)) + 5 * np.eye(4)[true]
    logs = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float16)
    changed = random.random(800) < 0.1
    target = np.where(changed, (true + 1) % 4, true)
    target[:20] = -1
    doubted = metrics.doubted_labels(logs, target)
    assert not doubted[:20].any()
    assert np.mean(doubted[20:][changed[20:]]) > 0.9
    assert np.mean(doubted[20:][~changed[20:]]) < 0.03
    assert not metrics.doubted_labels(logs[:0], target[:0]).any()


def test_auroc_equals_scikit_learn_and_counts_ties_half():
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 8, 200).astype(float), random.random(200) < 0.3
    assert metrics.auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert metrics.auroc(np.ones(4), np.array([True, False, True, False])) == 0.5
    assert math.isnan(metrics.auroc(np.ones(4), np.ones(4)))
