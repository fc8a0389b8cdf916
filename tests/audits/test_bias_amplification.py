"""Answers that lean farther towards a group than labels do are found; answers that err alike are not."""

import numpy as np
import pyarrow as pa
import pytest
from planted import predicted, tables

from seewhy.audits import bias_amplification
from seewhy.types import Need, Tables


def checked(target, answer, **tags):
    return {each.id: each for each in bias_amplification.check(tables(predicted(list(target), list(answer), **tags)))}


def leaning(seed: int, rows: int = 900):
    """Cooks are two thirds women, drivers two thirds men."""
    random = np.random.default_rng(seed)
    target = random.choice(["cook", "driver"], rows)
    sex = np.where(
        random.random(rows) < 2 / 3, np.where(target == "cook", "f", "m"), np.where(target == "cook", "m", "f")
    )
    return random, target, sex


def test_a_network_that_goes_by_the_group_amplifies():
    random, target, sex = leaning(0)
    by_sex = np.where(sex == "f", "cook", "driver")
    answer = np.where(random.random(len(target)) < 0.4, by_sex, target)
    found = checked(target, answer, sex=list(sex))["bias_amplification:sex"]
    assert found.found
    assert found.severity in ("moderate", "serious")
    truth = [
        np.mean(sex[answer == name] == group) - np.mean(sex[target == name] == group)
        for name, group in (("cook", "f"), ("driver", "m"))
    ]
    assert found.value == pytest.approx(np.mean(truth))
    assert found.low < np.mean(truth) < found.high
    assert "By 'sex', the network ties classes to a group more than the labels do: by " in found.statement
    assert any(doubt.startswith("Of what it calls 'cook'") for doubt in found.doubts)


def test_the_training_images_say_where_a_class_leans():
    """In these test images cooks lean to men by chance; what counts is the lean that was learnt."""
    random, target, sex = leaning(1)
    answer = np.where(random.random(len(target)) < 0.3, np.where(sex == "f", "cook", "driver"), target)
    rows = pa.table(
        {"id": ["t"] * 100, "split": ["train"] * 100, "target": ["cook", "driver"] * 50, "tag:sex": ["m", "f"] * 50}
    )
    baseline = predicted(list(target), list(answer), sex=list(sex))
    made = Tables({Need("baseline"): baseline, Need("rows"): rows}, baseline.classes)
    assert [each.found for each in bias_amplification.check(made)] == [None]  # labels here do not lean that way


def test_errors_that_know_nothing_of_the_group_raise_an_alarm_in_at_most_six_and_a_half_percent_of_tables():
    alarms = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        target = random.choice(["a", "b", "c"], 400)
        answer = np.where(random.random(400) < 0.3, random.choice(["a", "b", "c"], 400), target)
        group = random.choice(["u", "v"], 400, p=[0.7, 0.3])
        alarms += any(each.found for each in checked(target, answer, g=list(group)).values())
    assert alarms / 400 <= 0.065


def test_the_interval_holds_the_truth():
    """Truth by a very large sample of the same network."""

    def world(random, rows):
        target = random.choice(["cook", "driver"], rows)
        sex = np.where(random.random(rows) < 2 / 3, target == "cook", target != "cook")
        answer = np.where(random.random(rows) < 0.3, np.where(sex, "cook", "driver"), target)
        return target, answer, np.where(sex, "f", "m")

    def mean(target, answer, sex):
        shift = [
            np.mean(sex[answer == n] == g) - np.mean(sex[target == n] == g) for n, g in (("cook", "f"), ("driver", "m"))
        ]
        return np.mean(shift)

    truth = mean(*world(np.random.default_rng(0), 2_000_000))
    held = 0
    for seed in range(200):
        target, answer, sex = world(np.random.default_rng(seed + 1), 300)
        found = checked(target, answer, sex=list(sex))["bias_amplification:sex"]
        held += found.low <= truth <= found.high
    assert 0.9 <= held / 200 <= 1


def test_too_few_changes_are_said_to_be_too_few():
    found = checked(["a", "b"] * 50, ["a", "b"] * 50, g=["u", "v"] * 50)
    assert found["bias_amplification:(none)"].found is None
