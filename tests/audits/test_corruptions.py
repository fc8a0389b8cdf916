"""What corruptions cost is planted and found, kind by kind; where they cost nothing, that is said."""

from __future__ import annotations

import numpy as np
import pytest
from planted import predicted

from seewhy import shelf
from seewhy.audits import corruptions
from seewhy.types import Tables

N = 200
THREE = ("fog", "snow", "contrast")


def said(wrong, **more):
    labels = ["cat"] * len(wrong)
    return predicted(labels, np.where(wrong, "dog", "cat").tolist(), classes=("cat", "dog"), **more)


def found(shares, clean=0.1, seed=0, **settings):
    """Findings where each kind is wrong on these shares of the images, at severity 1, 3 and 5; by what follows the
    colon of their ids. The images that are hard are hard under all."""
    hard = np.random.default_rng(seed).random(N)
    kinds = tuple(shares)
    needs = corruptions.needs(kinds=kinds, count=N)
    baseline = said(hard < clean)
    tables = iter(said(hard < share) for kind in kinds for share in shares[kind])
    made = {need: baseline if need.table == "baseline" else next(tables) for need in needs}
    given = Tables(made, baseline.classes, "test", 0)
    findings = list(corruptions.check(given, kinds=kinds, count=N, **settings))
    return {finding.id.partition(":")[2]: finding for finding in findings}


def test_the_kinds_are_fifteen_and_on_the_shelf():
    assert len(set(corruptions.KINDS)) == 15
    assert set(corruptions.KINDS) <= set(shelf.members("interventions"))


def test_the_mean_corruption_error_is_the_mean_over_kinds_and_severities():
    finding = found({"fog": (0.2, 0.4, 0.6), "snow": (0.1, 0.1, 0.1)})["mean"]
    hard = np.random.default_rng(0).random(N)
    planted = np.mean([[np.mean(hard < share) for share in row] for row in ((0.2, 0.4, 0.6), (0.1, 0.1, 0.1))])
    assert finding.settings["mean_corruption_error"] == pytest.approx(planted)
    assert finding.value == pytest.approx(planted - np.mean(hard < 0.1))
    assert finding.low < finding.value < finding.high
    assert finding.found
    assert finding.severity == "minor"
    assert finding.statement.startswith("Under 2 kinds of corruption the network is wrong on")
    assert finding.evidence[0]["rows"][0][0] == "fog"
    assert finding.evidence[0]["rows"][0][1] == pytest.approx(np.mean(hard < 0.2))


def test_a_reference_normalises_kind_by_kind():
    finding = found({"fog": (0.2, 0.4, 0.6), "snow": (0.1, 0.1, 0.1)}, reference=(0.8, 0.1))["mean"]
    rows = {row[0]: row[4] for row in finding.evidence[0]["rows"]}
    assert finding.settings["mce"] == pytest.approx((rows["fog"] / 0.8 + rows["snow"] / 0.1) / 2)
    assert "relative to the named reference the mean corruption error is" in finding.statement
    with pytest.raises(ValueError, match="has 1 number for 2 kinds; it needs one a kind, each above 0"):
        found({"fog": (0.2, 0.4, 0.6), "snow": (0.1, 0.1, 0.1)}, reference=(0.8,))


def test_the_kinds_that_hurt_are_named_the_worst_first_and_the_others_are_not():
    finding = found({"contrast": (0.1, 0.1, 0.11), "fog": (0.2, 0.3, 0.4), "snow": (0.3, 0.5, 0.8)})["kinds"]
    assert finding.found
    assert finding.severity == "moderate"
    assert finding.statement.startswith(
        "2 of 3 kinds of corruption clearly make the network wrong more often on 200 images, the worst first: snow ("
    )
    assert "contrast" not in finding.statement
    assert [row["name"] for row in finding.evidence[0]["rows"]] == ["snow", "fog", "contrast"]
    assert finding.evidence[1]["change"] == {"intervention": "snow", "strength": 5.0, "settings": {}}
    assert len(finding.examples) == 6


def test_corruptions_that_do_nothing_are_said_to_do_nothing():
    findings = found(dict.fromkeys(THREE, (0.1, 0.1, 0.1)))
    assert not any(finding.found for finding in findings.values())
    assert findings["mean"].value == 0
    assert findings["mean"].statement.endswith("no more than chance may give.")
    assert findings["kinds"].statement.startswith("None of 3 kinds of corruption clearly makes")


def test_more_that_hurts_less_is_noticed():
    findings = found({"fog": (0.6, 0.3, 0.6), "snow": (0.2, 0.3, 0.4)})
    assert findings["severity"].found
    assert "more of a corruption clearly hurts less in fog from 1 to 3 (2" in findings["severity"].statement
    grows = found({"fog": (0.2, 0.3, 0.6), "snow": (0.2, 0.3, 0.4)})["severity"]
    assert grows.found is False
    assert grows.severity == "none"


def test_chance_alone_is_found_in_no_more_than_one_of_twenty():
    """Under the null clean and corrupted images are wrong as often, each on its own."""
    alarms = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        needs = corruptions.needs(kinds=THREE, count=N)
        made = {need: said(random.random(60) < 0.2) for need in needs}
        findings = list(corruptions.check(Tables(made, ("cat", "dog"), "test", 0), kinds=THREE, count=N))
        alarms.append([bool(finding.found) for finding in findings])
    assert (np.mean(alarms, 0) <= 0.065).all(), np.mean(alarms, 0)


def test_too_few_images_and_tables_that_are_not_there_are_said():
    needs = corruptions.needs(kinds=THREE, count=N)
    few = Tables({need: said(np.zeros(4, bool)) for need in needs}, ("cat", "dog"))
    (finding,) = corruptions.check(few, kinds=THREE, count=N)
    assert finding.statement == "How much corruptions hurt was not asked: it takes 10 labelled images, and there are 4."
    some = {need: said(np.zeros(N, bool)) for need in needs if "snow" not in str(need)}
    absent = {need: "the network refused" for need in needs if "snow" in str(need)}
    finding = next(corruptions.check(Tables(some, ("cat", "dog"), absent=absent), kinds=THREE, count=N))
    assert finding.doubts[0] == "snow was not tried: the network refused."
