"""A mark is named with its place and class, what lies on the object is not, and chance alone names nothing."""

import numpy as np
import pytest
from planted import transplanted

from seewhy.audits import shortcuts
from seewhy.types import Need, Tables


def checked(table):
    return {each.id: each for each in shortcuts.check(Tables({Need("transplants"): table}, ("cat", "dog")), draws=400)}


def test_a_mark_that_carries_its_class_is_named_with_its_place_and_how_often_it_repeats():
    found = checked(transplanted(40, effects={("cat", 17): 4.0, ("cat", 15): 4.0, ("dog", 15): 4.0}))
    mark = found["shortcuts:mark:cat"]
    assert list(found) == ["shortcuts:mark:cat"]  # the cell that holds it is not named again
    assert "A mark in the lower right corner (6 x 4 pixels) stands in for 'cat': put into" in mark.statement
    assert "the same in 90.0 % of the training images of 'cat' and in 4.0 % of all others" in mark.doubts[0]
    donated = mark.evidence[0]["items"]
    assert {tuple(item["box"]) for item in donated} == {tuple(side / 32 for side in mark.settings["box"])}
    assert mark.severity == "critical"
    assert mark.settings["logodds"] == pytest.approx(4, abs=0.6)
    assert mark.low <= mark.value <= mark.high


def test_a_cell_is_named_only_where_masks_say_that_it_lies_off_the_object():
    effects = {("cat", 3): 4.0}
    unknown, on, off = (checked(transplanted(40, effects=effects, covered=share)) for share in (None, 0.3, 0.0))
    assert list(unknown) == list(on) == ["shortcuts:none"]
    assert "What lies in the upper right corner" in off["shortcuts:off_object:cat"].statement


def test_the_border_is_named_once_and_not_called_a_mark():
    found = checked(transplanted(40, effects={("cat", 16): 3.0, ("dog", 16): 2.0}))
    assert list(found) == ["shortcuts:surroundings:cat"]
    assert found["shortcuts:surroundings:cat"].severity in ("moderate", "serious")
    assert "this may be the object itself" in " ".join(found["shortcuts:surroundings:cat"].doubts)


def test_a_border_that_objects_reach_is_not_called_the_surroundings():
    assert list(checked(transplanted(40, effects={("cat", 16): 3.0}, reached=0.2))) == ["shortcuts:none"]


def test_too_few_pairs_are_said_to_be_too_few():
    found = checked(transplanted(5, effects={("cat", 17): 4.0}))
    assert "10 pairs of images of two classes are too few" in found["shortcuts:(none)"].statement


@pytest.mark.slow
def test_chance_alone_raises_an_alarm_in_no_more_than_one_table_of_twenty():
    tables = (transplanted(16, covered=0.0, seed=seed) for seed in range(40))
    alarms = sum("shortcuts:none" not in checked(table) for table in tables)
    assert alarms <= 6  # 2 are expected at most; 7 or more come once in 300


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((0, 0, 4, 4), "the upper left corner"),
        ((28, 14, 32, 18), "the lower edge"),
        ((12, 28, 20, 32), "the right edge"),
        ((12, 12, 20, 20), "the middle"),
    ],
)
def test_places_are_said_in_words(box, place):
    region = dict(zip(("top", "left", "bottom", "right"), box, strict=True))
    assert shortcuts.place_of(region, (32, 32)) == place


def test_what_speaks_for_one_of_two_classes_against_the_other_moves_as_measured():
    table = transplanted(40, effects={("cat", 17): 4.0})
    rows = [row for row, region in enumerate(table["trials"]["region"]) if region == 17]
    gained = np.array(table["trials"]["effect"])[rows] - np.array(table["trials"]["placebo"])[rows]
    assert checked(table)["shortcuts:mark:cat"].settings["logodds"] == pytest.approx(gained.mean())
