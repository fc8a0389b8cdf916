"""Mistakes that were made with confidence."""

import pytest
from planted import predicted, tables

from seewhy.audits import confident_mistakes
from seewhy.statistics import intervals


def test_the_surest_mistake_comes_first_and_says_what_was_said():
    target, answer = ["dog"] * 10, ["cat"] * 4 + ["dog"] * 6
    confidence = [0.92, 0.99, 0.5, 0.6, *[0.95] * 6]
    finding = confident_mistakes.check(tables(predicted(target, answer, confidence)))
    assert finding.found is True
    assert finding.value == 0.5
    assert (finding.low, finding.high) == pytest.approx(intervals.wilson(2, 4))
    assert finding.examples == ("i1", "i0")
    assert finding.evidence[0]["items"][0]["caption"] == "said 'cat' with 99.0 %, labelled 'dog'"
    assert "2 of 4 mistakes on 10 test images were made with a confidence of at least 90 %" in finding.statement
    assert "25.0 % of the answers given so confidently" in finding.statement


def test_confident_answers_that_are_wrong_more_often_than_they_say_are_serious():
    target = ["a"] * 200
    often = predicted(target, ["b"] * 50 + ["a"] * 150, [0.97] * 200)
    rarely = predicted(target, ["b"] * 4 + ["a"] * 196, [0.97] * 200)
    hidden = predicted(target, ["b"] * 40 + ["a"] * 160, [0.97] * 2 + [0.5] * 38 + [0.97] * 160)
    assert confident_mistakes.check(tables(often)).severity == "serious"
    assert confident_mistakes.check(tables(rarely)).severity == "moderate"  # all of its mistakes are confident
    assert confident_mistakes.check(tables(hidden)).severity == "minor"


def test_at_most_twelve_are_shown():
    finding = confident_mistakes.check(tables(predicted(["a"] * 40, ["b"] * 40, [0.95] * 40)))
    assert len(finding.examples) == len(finding.evidence[0]["items"]) == 12


def test_the_threshold_is_the_users():
    given = tables(predicted(["a"] * 4, ["b"] * 4, [0.5, 0.6, 0.7, 0.8]))
    assert confident_mistakes.check(given).found is False
    assert confident_mistakes.check(given, threshold=0.65).value == 0.5


@pytest.mark.parametrize(
    ("answer", "statement"),
    [
        ("a", "There is no confident mistake, because there is no mistake on 3 test images."),
        ("b", "None of 3 mistakes on 3 test images was made with a confidence of at least 90 %: 0 %"),
    ],
)
def test_it_reads_right_where_there_is_none(answer, statement):
    finding = confident_mistakes.check(tables(predicted(["a"] * 3, [answer] * 3, [0.6] * 3)))
    assert finding.statement.startswith(statement)
    assert finding.severity == "none"
