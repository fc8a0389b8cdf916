"""Accuracy beside figures worked out by hand."""

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import accuracy
from seewhy.statistics import intervals
from seewhy.types import Need, Tables


def by_subject(given, **settings):
    return {finding.id: finding for finding in accuracy.check(given, **settings)}


def test_the_headline_is_the_share_right_with_wilsons_interval():
    given = tables(predicted(["cat"] * 8 + ["dog"] * 2, ["cat"] * 9 + ["dog"]))
    found = by_subject(given)
    headline = found["accuracy:test"]
    assert (headline.value, headline.n) == (0.9, 10)
    assert (headline.low, headline.high) == pytest.approx(intervals.wilson(9, 10))
    assert headline.statement == ("The network is right on 9 of 10 test images: 90.0 % (95 % interval 59.6 to 99.5 %).")
    assert found["accuracy:balanced"].value == pytest.approx((1 + 0.5) / 2)
    assert found["accuracy:macro_f1"].value == pytest.approx((16 / 17 + 2 / 3) / 2)
    assert all(finding.severity == "none" for finding in found.values())


def test_the_level_is_the_users_and_is_said():
    headline = by_subject(tables(predicted(["a"] * 20, ["a"] * 20)), level=0.9)["accuracy:test"]
    assert headline.confidence_level == 0.9
    assert "90 % interval" in headline.statement


def test_unlabelled_images_are_not_counted_and_said_to_be_so():
    headline = by_subject(tables(predicted(["a"] * 4 + [None], ["a"] * 5)))["accuracy:test"]
    assert headline.n == 4
    assert "1 test image without a label is not counted." in headline.doubts


def test_answers_that_can_be_partly_right_get_their_mean_rightness():
    right = np.linspace(0, 1, 21)
    found = by_subject(tables(predicted(["x"] * 21, ["y"] * 21, right=right)))
    assert set(found) == {"accuracy:test"}
    assert found["accuracy:test"].value == pytest.approx(0.5)
    assert found["accuracy:test"].unit == "rightness"
    assert "mean rightness" in found["accuracy:test"].statement


def test_macro_f1_says_when_there_are_too_few_images_for_it():
    names = [f"c{place}" for place in range(20)]
    finding = by_subject(tables(predicted(names, names)))["accuracy:macro_f1"]
    assert finding.found is None
    assert "five labelled images a class" in finding.statement


def test_the_id_is_that_of_the_audited_split():
    baseline = predicted(["a"], ["a"])
    given = Tables({Need("baseline"): baseline}, ("a",), "val", 0)
    assert "accuracy:val" in by_subject(given)
    assert "1 val image:" in by_subject(given)["accuracy:val"].statement
