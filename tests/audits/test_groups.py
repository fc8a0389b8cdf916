"""Gaps between groups that are there, that are not, and that could not be seen."""

from dataclasses import replace

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import groups
from seewhy.statistics import differences, intervals


def rightly(random, shares):
    """Answers to images labelled "a" that are right with these probabilities."""
    return ["a" if random.random() < share else "b" for share in shares]


def judged(baseline, seed=0, **settings):
    given = replace(tables(baseline), seed=seed)
    return {finding.id: finding for finding in groups.check(given, **settings)}


def test_a_gap_is_found_with_its_groups_and_its_interval():
    random = np.random.default_rng(0)
    scanner = ["A"] * 200 + ["B"] * 200
    baseline = predicted(["a"] * 400, rightly(random, [0.95] * 200 + [0.75] * 200), scanner=scanner)
    finding = judged(baseline)["groups:scanner"]
    right = baseline["right"]
    assert finding.found is True
    assert finding.severity == "serious"
    assert finding.value == pytest.approx(right[:200].mean() - right[200:].mean())
    expected = differences.newcombe(right[:200].sum(), 200, right[200:].sum(), 200)
    assert (finding.low, finding.high) == pytest.approx(expected)
    assert finding.statement.startswith("By 'scanner', the network is worse for 'B' than for 'A'")
    assert set(finding.examples) <= set(baseline["id"][200:])
    rows = {row["name"]: row for row in finding.evidence[0]["rows"]}
    assert rows["B"]["n"] == 200
    assert rows["A"]["low"] == pytest.approx(intervals.wilson(right[:200].sum(), 200)[0])


@pytest.mark.parametrize("count", [2, 10])
def test_alike_groups_raise_a_false_alarm_in_one_of_twenty(count):
    random = np.random.default_rng(count)
    tag = [f"g{row % count}" for row in range(25 * count)]
    alarms = []
    for table in range(400):
        baseline = predicted(["a"] * len(tag), rightly(random, [0.9] * len(tag)), tag=tag)
        alarms.append(judged(baseline, seed=table, draws=199)["groups:tag"].found)
    assert np.mean(alarms) <= 0.065


def test_many_tags_together_raise_no_more_false_alarms_than_one():
    random = np.random.default_rng(0)
    alarms = []
    for table in range(150):
        tags = {f"t{tag}": list(random.choice(["x", "y"], 60)) for tag in range(4)}
        found = judged(predicted(["a"] * 60, rightly(random, [0.8] * 60), **tags), seed=table, draws=199)
        alarms.append(any(finding.found for finding in found.values()))
    assert np.mean(alarms) <= 0.08  # 15 tables of 150 would be the rate of four tests left alone


def test_the_chosen_pairs_interval_covers_although_it_was_chosen():
    random = np.random.default_rng(1)
    tag = [f"g{row % 5}" for row in range(300)]
    covered = []
    for _ in range(200):
        finding = judged(predicted(["a"] * 300, rightly(random, [0.85] * 300), tag=tag), draws=9)["groups:tag"]
        covered.append(finding.low <= 0 <= finding.high)
    assert np.mean(covered) >= 0.95


def test_nothing_found_says_which_gap_could_not_have_been_seen():
    random = np.random.default_rng(0)
    baseline = predicted(["a"] * 60, rightly(random, [0.9] * 60), tag=["x", "y"] * 30)
    finding = judged(baseline)["groups:tag"]
    assert finding.found is False
    assert finding.settings["smallest_gap"] == pytest.approx(
        differences.smallest_gap(30, 30, float(baseline["right"].mean()))
    )
    assert "would likely stay unseen" in finding.statement


def test_numbers_are_cut_into_quarters_and_missing_values_are_a_group():
    age = [float(row) for row in range(80)] + [None] * 20
    baseline = predicted(["a"] * 100, ["a"] * 100, age=age, few=[row % 3 for row in range(100)])
    found = judged(baseline)
    rows = {row["name"]: row["n"] for row in found["groups:age"].evidence[0]["rows"]}
    assert rows == {"0 to 19": 20, "20 to 39": 20, "40 to 59": 20, "60 to 79": 20, "(missing)": 20}
    assert [row["name"] for row in found["groups:few"].evidence[0]["rows"]] == ["0", "1", "2"]


def test_tags_that_make_no_groups_are_passed_over_unless_they_were_named():
    baseline = predicted(["a"] * 50, ["a"] * 50, name=[f"n{row}" for row in range(50)], sex=["f", "m"] * 25)
    assert set(judged(baseline)) == {"groups:sex"}
    assert judged(baseline, tags=("name",))["groups:name"].found is None
    with pytest.raises(ValueError, match=r"no tag 'sexx'. Did you mean 'sex'\? There are: .*name"):
        judged(baseline, tags=("sexx",))
    assert judged(predicted(["a"], ["a"]))["groups:(none)"].statement == (
        "Groups were not compared: the images have no tags."
    )


def test_small_groups_are_not_enough_data():
    tag = ["x"] * 50 + ["y"] * 3
    finding = judged(predicted(["a"] * 53, ["a"] * 53, tag=tag))["groups:tag"]
    assert finding.found is None
    assert "not enough data" in finding.statement
    three = judged(predicted(["a"] * 103, ["a"] * 103, tag=[*tag, *["z"] * 50]))["groups:tag"]
    assert three.found is False
    assert any("'y'" in doubt for doubt in three.doubts)


def test_a_gap_that_the_classes_explain_is_doubted():
    hard = ["hard"] * 180 + ["easy"] * 20 + ["hard"] * 20 + ["easy"] * 180
    wrong = np.resize([True, False], 400) & (np.array(hard) == "hard")
    baseline = predicted(hard, list(np.where(wrong, "no", hard)), tag=["x"] * 200 + ["y"] * 200)
    finding = judged(baseline)["groups:tag"]
    assert finding.found is True
    assert any("Within classes the gap is not clear" in doubt for doubt in finding.doubts)


def test_a_gap_between_a_few_patients_is_no_gap():
    random = np.random.default_rng(0)
    alarms = {"rows": [], "patients": []}
    patient = np.repeat(np.arange(24), 20)
    for table in range(60):
        own = np.where(random.random(24) < 0.5, 0.98, 0.7)  # a patient's images are right or wrong together
        right = rightly(random, own[patient])
        baseline = predicted(["a"] * 480, right, sex=np.where(patient % 2, "f", "m"), patient=patient)
        alarms["rows"].append(judged(baseline, seed=table, draws=199, tags=("sex",))["groups:sex"].found)
        found = judged(baseline, seed=table, draws=199, unit="patient")["groups:sex"]
        alarms["patients"].append(found.found)
    assert np.mean(alarms["rows"]) > 0.25
    assert np.mean(alarms["patients"]) <= 0.1
    assert found.n == 24
    assert [row["n"] for row in found.evidence[0]["rows"]] == [12, 12]
    assert intervals.INDEPENDENT not in found.doubts
    with pytest.raises(ValueError, match=r"no tag 'patent'. Did you mean 'patient'\?"):
        judged(baseline, unit="patent")


def test_fewer_units_than_asked_for_are_not_enough_data():
    baseline = predicted(["a"] * 80, ["a"] * 80, sex=["f", "m"] * 40, patient=[row % 8 for row in range(80)])
    finding = judged(baseline, unit="patient")["groups:sex"]
    assert finding.found is None
    assert "fewer than two have 10 'patient' values or more" in finding.statement
