"""Groups that are treated alike in one way and not in another."""

import numpy as np
from planted import predicted, tables

from seewhy.audits import parity


def answered(random, target, group, recall, false_alarm, **more):
    """Answers "yes" with these probabilities by group where the label is "yes", and where it is "no"."""
    chance = [(recall if label == "yes" else false_alarm)[name] for label, name in zip(target, group, strict=True)]
    answer = ["yes" if random.random() < share else "no" for share in chance]
    return predicted(target, answer, np.full(len(target), 0.9), sex=group, **more)


def judged(baseline, **settings):
    return {finding.id: finding for finding in parity.check(tables(baseline), **settings)}


def test_a_group_that_is_recognised_less_often_is_named():
    random = np.random.default_rng(0)
    group, target = random.choice(["f", "m"], 1200), random.choice(["yes", "no"], 1200)
    baseline = answered(random, target, group, {"f": 0.7, "m": 0.95}, {"f": 0.1, "m": 0.1})
    finding = judged(baseline)["parity:sex"]
    right = baseline["right"]
    recalls = [right[(target == "yes") & (group == name)].mean() for name in "fm"]
    assert finding.found is True
    assert finding.severity == "serious"
    assert abs(finding.value) == np.abs(np.diff(recalls))[0]
    assert finding.low <= finding.value <= finding.high < 0 or 0 < finding.low <= finding.value <= finding.high
    criteria = {row[0]: row for row in finding.evidence[0]["rows"]}
    assert criteria["equal opportunity"][1] == np.abs(np.diff(recalls))[0]
    assert criteria["equalised odds"][1] >= criteria["equal opportunity"][1]


def test_labels_that_differ_make_only_a_minor_difference_of_being_chosen():
    random = np.random.default_rng(1)
    group = np.repeat(["f", "m"], 800)
    target = ["yes" if random.random() < (0.7 if name == "f" else 0.4) else "no" for name in group]
    finding = judged(answered(random, target, group, {"f": 1.0, "m": 1.0}, {"f": 0.0, "m": 0.0}))["parity:sex"]
    assert finding.found is True
    assert finding.severity == "minor"
    assert "is answered for" in finding.statement


def test_groups_that_are_treated_alike_raise_a_false_alarm_in_one_of_twenty():
    random = np.random.default_rng(2)
    alarms = []
    for table in range(200):
        share = 0.5 if table % 2 else 0.05  # also where one class is rare
        group = random.choice(["f", "m", "x"], 300)
        target = np.where(random.random(300) < share, "yes", "no")
        same = dict.fromkeys("fmx", 0.85), dict.fromkeys("fmx", 0.05)
        alarms.append(judged(answered(random, list(target), group, *same))["parity:sex"].found)
    assert np.mean(alarms) <= 0.065


def test_patients_count_once():
    random = np.random.default_rng(3)
    alarms = []
    patient = np.repeat(np.arange(60), 10)
    for _ in range(40):
        own = np.where(random.random(60) < 0.5, 0.95, 0.4)
        target = random.choice(["yes", "no"], 600)
        answer = np.where(random.random(600) < own[patient], target, np.where(target == "yes", "no", "yes"))
        sex = np.array(["f", "m"])[random.permutation(60) % 2][patient]
        baseline = predicted(list(target), list(answer), sex=sex, patient=patient)
        alarms.append([judged(baseline, tags=("sex",), unit=unit)["parity:sex"].found for unit in (None, "patient")])
    rows, units = np.mean(alarms, axis=0)
    assert rows > 0.15
    assert units <= 0.125


def test_calibration_by_group_shows_who_is_told_too_much():
    random = np.random.default_rng(4)
    group = np.repeat(["f", "m"], 500)
    right = random.random(1000) < np.where(group == "f", 0.9, 0.7)
    target = random.choice(["yes", "no"], 1000)
    answer = np.where(right, target, np.where(target == "yes", "no", "yes"))
    baseline = predicted(list(target), list(answer), np.full(1000, 0.9), sex=group)
    rows = {row[0]: row for row in judged(baseline)["parity:sex"].evidence[-1]["rows"]}
    assert rows["f"][5] < 0.02 < 0.1 < rows["m"][5]


def test_what_cannot_be_compared_says_why():
    assert judged(predicted(["a"] * 9, ["a"] * 9))["parity:(none)"].statement == (
        "How groups are treated was not compared: fewer than two classes occur among the labels."
    )
    few = predicted(["a", "b"] * 6, ["a", "b"] * 6, sex=["f", "m"] * 6)
    assert judged(few)["parity:sex"].found is None
