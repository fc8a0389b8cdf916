"""Classes that are worse than the rest, and classes that only look so."""

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import per_class


def answered(random, sizes, shares):
    """Targets and answers of classes c0, c1, … that are right with these probabilities."""
    target = [f"c{place}" for place, size in enumerate(sizes) for _ in range(size)]
    other = {f"c{place}": f"c{(place + 1) % len(sizes)}" for place in range(len(sizes))}
    share = dict(zip(other, shares, strict=True))
    return predicted(target, [name if random.random() < share[name] else other[name] for name in target])


def judged(baseline, **settings):
    return {finding.id: finding for finding in per_class.check(tables(baseline), **settings)}


def test_a_class_that_is_far_worse_is_named_and_the_others_are_not():
    baseline = answered(np.random.default_rng(0), [60] * 5, [0.95, 0.95, 0.5, 0.95, 0.95])
    found = judged(baseline)
    assert set(found) == {"per_class:all", "per_class:class:c2"}
    worst = found["per_class:class:c2"]
    assert worst.severity == "serious"
    assert worst.n == 60
    assert worst.low <= 0.5 <= worst.high
    assert found["per_class:all"].found is True
    assert "1 of 5 classes is recognised clearly worse" in found["per_class:all"].statement
    wrong = set(baseline["id"][(baseline["target"] == "c2") & (baseline["right"] == 0)])
    assert set(worst.examples) <= wrong


@pytest.mark.parametrize("classes", [2, 10])
def test_alike_classes_raise_a_false_alarm_in_at_most_one_of_twenty_tables(classes):
    random = np.random.default_rng(classes)
    alarms = [judged(answered(random, [30] * classes, [0.85] * classes))["per_class:all"].found for _ in range(400)]
    assert np.mean(alarms) <= 0.065


def test_recall_and_precision_are_drawn_with_their_counts():
    baseline = predicted(["a"] * 20 + ["b"] * 10, ["a"] * 18 + ["b"] * 2 + ["b"] * 9 + ["a"])
    recall, precision = judged(baseline)["per_class:all"].evidence
    rows = {row["name"]: row for row in recall["rows"]}
    assert (rows["a"]["value"], rows["a"]["n"]) == (0.9, 20)
    rows = {row["name"]: row for row in precision["rows"]}
    assert (rows["b"]["value"], rows["b"]["n"]) == (pytest.approx(9 / 11), 11)
    assert recall["reference"] == {"name": "all classes", "value": 0.9}


def test_a_class_without_enough_images_is_named_and_not_judged():
    baseline = predicted(["a"] * 30 + ["b"] * 30 + ["rare"] * 3, ["a"] * 30 + ["b"] * 30 + ["a"] * 3)
    found = judged(baseline)
    assert set(found) == {"per_class:all"}
    assert any("'rare'" in doubt for doubt in found["per_class:all"].doubts)
    assert found["per_class:all"].statement == "Every image of each of the 2 classes is recognised."


def test_one_class_has_nothing_to_be_compared_with():
    finding = judged(predicted(["a"] * 30, ["a"] * 30))["per_class:all"]
    assert finding.found is None


def test_a_thousand_classes_are_summed_up_and_thirty_drawn():
    random = np.random.default_rng(0)
    shares = np.full(1000, 0.9)
    shares[7] = 0.0
    found = judged(answered(random, [12] * 1000, shares))
    assert "per_class:class:c7" in found
    assert len(found) <= 3
    assert len(found["per_class:all"].evidence[0]["rows"]) == 30
    assert found["per_class:all"].evidence[0]["rows"][0]["name"] == "c7"
    assert "the 30 lowest of 1,000 classes" in found["per_class:all"].evidence[0]["title"]
