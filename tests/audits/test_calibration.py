"""Networks that are as sure as they are right, and networks that are surer."""

import numpy as np
import pytest
from planted import predicted

from seewhy.audits import calibration
from seewhy.types import Need, Tables

NAMES = ("a", "b", "c", "d")
VALIDATION = Need("baseline", split="val")


def made(seed, n=500, sharper=1.0):
    """A network whose logits are right up to a factor: 1 is calibrated, above 1 too sure."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 4))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (chances.cumsum(1) > random.random((n, 1))).argmax(1)
    logs = logits * sharper
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    target, answer = ([NAMES[place] for place in places] for places in (target, logs.argmax(1)))
    return predicted(target, answer, np.exp(logs.max(1)), classes=NAMES, logs=logs.astype(np.float16))


def judged(baseline, validation=None, seed=0, **settings):
    given = {Need("baseline"): baseline} | ({VALIDATION: validation} if validation else {})
    return calibration.check(Tables(given, NAMES, "test", seed), **settings)


def test_a_calibrated_network_raises_a_false_alarm_in_one_of_twenty():
    found = [judged(made(seed, 100), seed=seed, draws=99) for seed in range(400)]
    assert np.mean([finding.found for finding in found]) <= 0.065
    quiet = next(finding for finding in found if not finding.found)
    assert quiet.low == 0
    assert quiet.severity == "none"
    assert quiet.statement.startswith("Its confidence agrees with how often it is right")


def test_a_network_that_is_too_sure_is_found_and_the_temperature_mends_it():
    finding = judged(made(0, sharper=2.5), made(1, sharper=2.5))
    assert finding.found is True
    assert finding.severity == "serious"
    assert finding.low > 0.03
    assert "too sure of itself" in finding.statement
    assert finding.settings["temperature"] == pytest.approx(2.5, rel=0.2)
    assert finding.settings["error_with_temperature"] < finding.value / 2
    assert finding.mitigation.startswith("Dividing the logits by temperature 2.")
    before, after = finding.evidence[0]["series"]
    assert len(before["x"]) == len(before["y"]) == 15
    assert after["name"].startswith("with temperature")


def test_a_network_that_is_not_sure_enough_is_told_so():
    finding = judged(made(0, sharper=0.4))
    assert "not sure enough of itself" in finding.statement
    assert finding.mitigation == "Fit a temperature on validation images: divide the logits by it before the softmax."


def test_a_temperature_that_does_not_help_is_not_recommended():
    finding = judged(made(0, sharper=2.5), made(1, sharper=0.4))
    assert "does not help" in finding.mitigation


def test_without_confidence_it_says_so():
    baseline = made(0)
    finding = judged(predicted(list(baseline["target"]), list(baseline["answer"])))
    assert finding.found is None
    assert finding.statement == "Calibration was not measured: the table has no confidence."


def test_a_few_images_are_not_enough():
    finding = judged(made(0, 12))
    assert finding.found is None
    assert finding.statement == "Calibration was not measured: not enough data, with 12 labelled images of at least 20."


def test_without_predictions_the_reason_is_passed_on():
    given = Tables({}, NAMES, "test", 0, {Need("baseline"): "the network could not be run"})
    assert calibration.check(given).statement == "Calibration was not measured: the network could not be run."
