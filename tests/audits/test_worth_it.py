"""Networks that are better, worse and no different from a simple answer."""

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import worth_it
from seewhy.statistics import differences
from seewhy.types import Need, Tables


def answered(random, target, share):
    """Answers that are right with this probability, and another class otherwise."""
    return [name if random.random() < share else {"a": "b", "b": "a"}[name] for name in target]


def judged(baseline, **others):
    return {finding.id: finding for finding in worth_it.check(tables(baseline, **others))}


def test_a_network_far_better_than_the_commonest_class_is_worth_it():
    target = ["a"] * 60 + ["b"] * 40
    found = judged(predicted(target, target[:-5] + ["a"] * 5), train_targets=np.array(["a"] * 9 + ["b"], dtype=object))
    finding = found["worth_it:majority"]
    assert finding.found is False
    assert finding.severity == "none"
    assert finding.value == pytest.approx(0.95 - 0.60)
    assert finding.settings["p"] == differences.mcnemar(35, 0)
    assert "clearly better than always answering 'a'" in finding.statement


def test_the_commonest_class_is_that_of_the_training_images_where_they_are_known():
    target = ["a"] * 60 + ["b"] * 40
    with_training = judged(predicted(target, target), train_targets=np.array(["b", "b", "a", None], dtype=object))
    without = judged(predicted(target, target))
    assert "always answering 'b'" in with_training["worth_it:majority"].statement
    assert "always answering 'a'" in without["worth_it:majority"].statement
    assert any("flatters" in doubt for doubt in without["worth_it:majority"].doubts)


def test_a_network_that_a_linear_model_equals_is_not_worth_it():
    random = np.random.default_rng(0)
    target = list(random.choice(["a", "b"], 400))
    network, linear = (predicted(target, answered(random, target, 0.9)) for _ in range(2))
    finding = judged(network, linear_baseline=linear)["worth_it:linear"]
    assert finding.found is True
    assert finding.severity == "serious"
    assert "not clearly better than a linear model" in finding.statement
    assert finding.mitigation


def test_a_network_worse_than_a_linear_model_is_said_to_be_worse():
    random = np.random.default_rng(0)
    target = list(random.choice(["a", "b"], 400))
    network, linear = (predicted(target, answered(random, target, share)) for share in (0.7, 0.95))
    finding = judged(network, linear_baseline=linear)["worth_it:linear"]
    assert finding.found is True
    assert finding.high < 0
    assert finding.statement.startswith("The network is worse than a linear model on the pixels")
    assert set(finding.examples) <= set(network["id"])


def test_rows_are_paired_by_id_and_not_by_place():
    random = np.random.default_rng(0)
    target = list(random.choice(["a", "b"], 200))
    network, linear = (predicted(target, answered(random, target, share)) for share in (0.95, 0.8))
    shuffled = linear.where(random.permutation(200)[:190])
    straight = judged(network.where(np.isin(network["id"], shuffled["id"])), linear_baseline=linear)["worth_it:linear"]
    finding = judged(network, linear_baseline=shuffled)["worth_it:linear"]
    assert (finding.value, finding.low, finding.n) == (straight.value, straight.low, 190)
    assert any("10 images could not be compared" in doubt for doubt in finding.doubts)


def test_few_images_are_not_enough_to_tell():
    few = judged(predicted(["a", "b"] * 4, ["a", "b"] * 4))["worth_it:majority"]
    assert few.found is None
    assert "not enough data" in few.statement
    alike = judged(predicted(["a"] * 30, ["a"] * 30))["worth_it:majority"]
    assert alike.found is None
    assert "not enough data" in alike.statement


def test_why_there_is_no_linear_model_is_told():
    baseline = predicted(["a", "b"] * 10, ["a", "b"] * 10)
    reason = {Need("linear_baseline"): "the images have different sizes"}
    given = Tables({Need("baseline"): baseline}, baseline.classes, "test", 0, reason)
    finding = {finding.id: finding for finding in worth_it.check(given)}["worth_it:linear"]
    assert finding.found is None
    assert finding.statement == (
        "The network was not compared with a linear model on the pixels: the images have different sizes."
    )
