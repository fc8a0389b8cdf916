"""Classes that are mixed up more than others."""

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import confusion


def test_the_most_frequent_mix_up_is_named_with_its_share_and_shown():
    target = ["cat"] * 50 + ["dog"] * 50 + ["owl"] * 50
    answer = ["dog"] * 15 + ["cat"] * 35 + ["dog"] * 48 + ["owl"] * 2 + ["owl"] * 49 + ["cat"]
    finding = confusion.check(tables(predicted(target, answer)))
    assert finding.found is True
    assert finding.value == 0.3
    assert finding.n == 50
    assert finding.severity == "moderate"
    assert finding.statement.startswith("The most frequent mix-up is 'cat' taken for 'dog', in 15 of 50 test images")
    assert finding.doubts[0] == "It makes up 83.3 % of 18 mistakes."
    assert finding.examples == tuple(f"i{row}" for row in range(12))
    matrix, table, _ = finding.evidence
    assert matrix["rows"] == matrix["columns"] == ["cat", "dog", "owl"]
    assert matrix["counts"] == [[35, 15, 0], [0, 48, 2], [1, 0, 49]]
    assert table["rows"][0] == ["cat", "dog", 15, 50, 0.3]


def test_mistakes_spread_evenly_raise_few_false_alarms():
    random = np.random.default_rng(0)
    names = np.array(list("abcde"), dtype=object)
    alarms = []
    for _ in range(400):
        target = random.integers(0, 5, 200)
        answer = np.where(random.random(200) < 0.8, target, (target + random.integers(1, 5, 200)) % 5)
        alarms.append(confusion.check(tables(predicted(list(names[target]), list(names[answer])))).found)
    assert np.mean(alarms) <= 0.065


def test_without_a_mistake_there_is_no_mix_up():
    finding = confusion.check(tables(predicted(["a", "b"] * 10, ["a", "b"] * 10)))
    assert finding.found is False
    assert finding.statement == "No classes are mixed up: there is no mistake on 20 test images."


def test_no_answer_at_all_is_a_column_of_its_own():
    finding = confusion.check(tables(predicted(["a", "b", "c"] * 5, [None] + ["b", "c", "a"] * 4 + ["b", "c"])))
    assert "(none)" in finding.evidence[0]["columns"]
    assert "(none)" not in finding.evidence[0]["rows"]


def test_many_classes_are_a_table_and_no_matrix():
    names = [f"c{place}" for place in range(40)]
    finding = confusion.check(tables(predicted(names * 2, names + names[1:] + names[:1])), most=5)
    assert [entry["kind"] for entry in finding.evidence] == ["table", "examples"]
    assert len(finding.evidence[0]["rows"]) == 5


def test_with_two_classes_there_is_one_way_to_be_wrong_and_no_test_of_it():
    finding = confusion.check(tables(predicted(["a"] * 20 + ["b"] * 20, ["a"] * 39 + ["b"])))
    assert finding.value == pytest.approx(0.95)
    assert not any("spread evenly" in sentence for sentence in (finding.statement, *finding.doubts))
