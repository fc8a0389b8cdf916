"""Gaps whose reason was planted, and the clause that names it."""

import numpy as np
import pyarrow as pa
import pytest
from planted import predicted

from seewhy.audits import why_groups_differ
from seewhy.types import Explanation, Need, Scan, Tables

GROUP = np.repeat(["A", "B"], 300)


def judged(baseline, **made):
    given = {Need("baseline"): baseline} | {Need(name): table for name, table in made.items() if name != "explanations"}
    if "explanations" in made:
        given[Need("explanations", methods=("gradient", "grad_cam", "occlusion"), count=12)] = made["explanations"]
    return {one.id: one for one in why_groups_differ.check(Tables(given, baseline.classes, "test", 0))}


def answered(random, target, shares, **more):
    """Answers that are right with these probabilities; the tag is `scanner`."""
    other = {"a": "b", "b": "a"}
    answer = [name if random.random() < share else other[name] for name, share in zip(target, shares, strict=True)]
    return predicted(list(target), answer, scanner=GROUP, **more)


def clues(finding):
    return {row[0]: row for row in finding.evidence[0]["rows"]}


def test_without_a_gap_there_is_nothing_to_explain():
    random = np.random.default_rng(0)
    found = judged(answered(random, random.choice(["a", "b"], 600), np.full(600, 0.9)))
    assert found["why_groups_differ:(none)"].found is False


def test_a_group_that_is_rare_in_training_is_said_to_be():
    random = np.random.default_rng(0)
    baseline = answered(random, random.choice(["a", "b"], 600), np.where(GROUP == "A", 0.95, 0.7))
    rows = pa.table(
        {"split": ["train"] * 1000 + ["test"] * 600, "tag:scanner": ["A"] * 900 + ["B"] * 100 + list(GROUP)}
    )
    finding = judged(baseline, rows=rows)["why_groups_differ:scanner"]
    assert finding.found is True
    assert "it may come from this: 'B' is 10.0 % of the 1,000 training images, 'A' 90.0 %" in finding.statement
    assert clues(finding)["training images"][3] == "yes"
    assert clues(finding)["other classes"][3] == "no"
    assert any(doubt.startswith("Not asked: ") for doubt in finding.doubts)


def test_a_gap_that_other_classes_make_goes_when_they_are_mixed_alike():
    random = np.random.default_rng(0)
    target = np.where(random.random(600) < np.where(GROUP == "A", 0.1, 0.8), "b", "a")
    finding = judged(answered(random, target, np.where(target == "b", 0.6, 0.97)))["why_groups_differ:scanner"]
    assert clues(finding)["other classes"][3] == "yes"


def test_wrong_labels_in_one_group_are_doubted_there():
    random = np.random.default_rng(0)
    true = random.choice(["a", "b"], 600)
    wrong = (GROUP == "B") & (random.random(600) < 0.25)
    target = np.where(wrong, np.where(true == "a", "b", "a"), true)
    sure = np.where(true == "a", 0.97, 0.03)
    logs = np.log(np.stack([sure, 1 - sure], 1)).astype(np.float16)
    baseline = predicted(list(target), list(true), classes=("a", "b"), logs=logs, scanner=GROUP)
    finding = judged(baseline)["why_groups_differ:scanner"]
    assert clues(finding)["doubtful labels"][3] == "yes"
    assert f"{wrong[300:].mean():.1%}".replace("%", " %") in finding.statement


def test_smaller_pictures_of_one_group_are_noticed_and_any_further_number_of_the_scan():
    random = np.random.default_rng(0)
    baseline = answered(random, random.choice(["a", "b"], 600), np.where(GROUP == "A", 0.95, 0.7))
    width = np.where(GROUP == "A", 200, 60) + random.integers(0, 20, 600)
    files = pa.table(
        {"id": list(baseline["id"]), "width": width, "height": [50] * 600, "brightness": random.random(600)}
    )
    finding = judged(baseline, scan=Scan(files))["why_groups_differ:scanner"]
    found = clues(finding)
    assert found["width"][3] == "yes"
    assert found["brightness"][3] == "no"
    assert "height" not in found


@pytest.mark.parametrize("elsewhere", [True, False])
def test_heat_that_lies_elsewhere_for_one_group_is_noticed(elsewhere):
    random = np.random.default_rng(0)
    baseline = answered(random, random.choice(["a", "b"], 600), np.where(GROUP == "A", 0.95, 0.7))
    explanations = []
    for row in (*range(10), *range(300, 310)):
        heat = random.random((32, 32)).astype(np.float32)
        half = slice(0, 16) if elsewhere and row >= 300 else slice(16, 32)
        heat[half] += 3
        explanations.append(Explanation(f"i{row}", "a", "gradient", {"image": heat}))
    finding = judged(baseline, explanations=tuple(explanations))["why_groups_differ:scanner"]
    assert clues(finding)["where the network looks"][3] == ("yes" if elsewhere else "no")
