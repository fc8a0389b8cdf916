"""The share that stays right under an attack is told by how far it may go, beginning with the clean images."""

from __future__ import annotations

import numpy as np
import pytest
from planted import predicted

from seewhy.audits import adversarial
from seewhy.types import Tables

N = 64


def said(wrong):
    return predicted(["cat"] * N, np.where(np.arange(N) < wrong, "dog", "cat").tolist(), classes=("cat", "dog"))


def found(clean, *wrong, **more):
    needs = adversarial.needs()
    made = dict(zip(needs, map(said, (clean, *wrong)), strict=False))
    return adversarial.check(Tables(made, ("cat", "dog"), **more))


def test_the_curve_begins_at_the_clean_images_and_falls():
    finding = found(4, 24, 54, 64)
    (curve,) = finding.evidence
    assert curve["series"][0]["x"] == [0.0, 0.5, 2.0, 8.0]
    assert curve["series"][0]["y"] == pytest.approx([60 / 64, 40 / 64, 10 / 64, 0])
    assert finding.value == pytest.approx(20 / 64)
    assert finding.found
    assert finding.severity == "minor"
    assert finding.statement.startswith(
        "With each pixel changed on purpose by at most 0.5/255, the network is right on 62.5 % of 64 images, before on "
        "93.8 %: a loss of 31.2 points"
    )


def test_a_network_that_nothing_misleads_loses_nothing():
    finding = found(0, 0, 0, 0)
    assert finding.found is False
    assert finding.severity == "none"
    assert finding.value == 0


def test_an_attack_that_could_not_be_made_says_why():
    needs = adversarial.needs()
    finding = found(0, absent=dict.fromkeys(needs[1:], "the gradient is 0 everywhere"))
    assert (
        finding.statement == "How little it takes to mislead the network was not asked: the gradient is 0 everywhere."
    )
