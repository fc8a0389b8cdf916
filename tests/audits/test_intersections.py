"""Failures that lie where two groups meet, and in neither of them."""

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import intersections


def crossed(random, n, shares, **more):
    """Rows of two tags, right with the probability of their cell."""
    sex, age = random.choice(["f", "m"], n), random.choice(["old", "young"], n)
    right = [random.random() < shares.get((a, b), 0.95) for a, b in zip(sex, age, strict=True)]
    return predicted(["a"] * n, ["a" if good else "b" for good in right], sex=sex, age=age, **more)


def judged(baseline, **settings):
    return {finding.id: finding for finding in intersections.check(tables(baseline), **settings)}


def test_a_cell_that_is_worse_than_its_groups_is_named_with_how_much():
    found = judged(crossed(np.random.default_rng(0), 800, {("f", "young"): 0.7}))
    assert set(found) == {"intersections:all", "intersections:sex f, age young"}
    cell = found["intersections:sex f, age young"]
    assert cell.severity == "serious"
    assert cell.low > 0
    assert "points below what its groups alone would lead to expect" in cell.doubts[0]
    assert found["intersections:all"].statement.startswith("Of 4 cells in which groups meet, 1 is clearly worse")
    table = found["intersections:all"].evidence[1]
    assert table["rows"][0][0] == "sex f, age young"
    assert sum(row[1] for row in table["rows"]) == 800


def test_cells_that_are_alike_raise_a_false_alarm_in_one_of_twenty():
    random = np.random.default_rng(1)
    alarms = []
    for _ in range(300):
        third = random.choice(["x", "y", "z"], 150)
        alarms.append(judged(crossed(random, 150, {}, third=third), depth=3)["intersections:all"].found)
    assert np.mean(alarms) <= 0.065


def test_a_cell_of_five_images_is_drawn_to_the_others_and_one_of_four_is_left_out():
    sex, age = ["f"] * 9 + ["m"] * 91, ["old"] * 5 + ["young"] * 4 + ["old", "young"] * 45 + ["old"]
    answer = ["b"] * 2 + ["a"] * 98
    table = judged(predicted(["a"] * 100, answer, sex=sex, age=age))["intersections:all"].evidence[1]
    rows = {row[0]: row for row in table["rows"]}
    assert set(rows) == {"sex f, age old", "sex m, age old", "sex m, age young"}
    assert rows["sex f, age old"][2] == 0.6
    assert 0.65 < rows["sex f, age old"][3] < 0.97
    assert rows["sex m, age old"][3] > 0.97


def test_patients_count_once_in_a_cell():
    random = np.random.default_rng(0)
    alarms = []
    patient = np.repeat(np.arange(80), 10)
    for _ in range(60):
        own = np.where(random.random(80) < 0.3, 0.3, 1.0)
        tags = {name: random.choice(list("xy"), 80)[patient] for name in ("first", "second")}
        answer = np.where(random.random(800) < own[patient], "a", "b")
        baseline = predicted(["a"] * 800, list(answer), patient=patient, **tags)
        alarms.append(
            [
                judged(baseline, unit=unit, tags=("first", "second"))["intersections:all"].found
                for unit in (None, "patient")
            ]
        )
    rows, units = np.mean(alarms, axis=0)
    assert rows > 0.4
    assert units <= 0.12


@pytest.mark.parametrize(
    "tags", [{}, {"sex": ["f", "m"] * 15}, {"sex": ["f", "m"] * 15, "name": list("abcdefghijklmnopqrstuvwxyz1234")}]
)
def test_fewer_than_two_tags_that_make_groups_cannot_be_crossed(tags):
    finding = judged(predicted(["a"] * 30, ["a"] * 30, **tags))["intersections:all"]
    assert finding.found is None
    assert "it takes two tags that make groups" in finding.statement
