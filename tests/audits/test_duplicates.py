"""Twins across the split, copies, and labels that contradict each other."""

import pyarrow as pa
import pytest
from planted import predicted

from seewhy.audits import duplicates
from seewhy.statistics import differences, intervals
from seewhy.types import Need, Scan, Tables


def scanned(splits, targets, same=(), near=()):
    n = len(splits)
    files = pa.table(
        {
            "id": [f"i{row}" for row in range(n)],
            "split": pa.array(splits, pa.string()),
            "target": pa.array(targets, pa.string()),
            "bytes": [1] * n,
            "sha256": ["0"] * n,
            "width": [8] * n,
            "height": [8] * n,
        }
    )
    return Scan(files, (), tuple(same), tuple(near))


def judged(scan, **others):
    made = {Need("scan"): scan} | {Need(name): value for name, value in others.items()}
    return {finding.id: finding for finding in duplicates.check(Tables(made, ("a", "b"), "test", 0))}


def test_test_images_with_a_twin_in_training_are_counted_and_shown():
    splits = ["train"] * 50 + ["test"] * 40 + ["val"] * 10
    near = [("i0", "i50", "i51"), ("i60", "i61"), ("i70", "i95")]
    scan = scanned(splits, ["a"] * 100, same=[("i0", "i50")], near=near)
    finding = judged(scan)["duplicates:across"]
    assert finding.found is True
    assert finding.examples == ("i50", "i51", "i70")
    assert finding.value == 3 / 40
    assert (finding.low, finding.high) == pytest.approx(intervals.wilson(3, 40))
    assert finding.severity == "serious"
    assert finding.evidence[0]["items"][0]["caption"] == "test, like 'i0' in train"
    assert finding.statement.startswith("3 of 40 test images are equal or nearly equal to an image of another split")


def test_a_clean_split_is_said_to_be_clean():
    found = judged(scanned(["train"] * 5 + ["test"] * 5, ["a"] * 10, near=[("i0", "i1")]))
    assert found["duplicates:across"].found is False
    assert found["duplicates:across"].statement.startswith("None of 5 test images is equal or nearly equal")
    assert not any(finding.found for finding in found.values())


def test_equal_images_with_different_labels_are_critical():
    scan = scanned(["train"] * 4, ["a", "b", "a", None], same=[("i0", "i1"), ("i2", "i3")])
    finding = judged(scan)["duplicates:labels"]
    assert finding.severity == "critical"
    assert finding.value == 2
    assert finding.examples == ("i0", "i1")
    assert finding.statement == (
        "1 group of equal images carries different labels, 2 images in all; the first: 'a' and 'b'."
    )


def test_copies_count_what_is_spare_within_a_split():
    scan = scanned(["train", "train", "train", "test"], ["a"] * 4, same=[("i0", "i1", "i2", "i3")])
    finding = judged(scan)["duplicates:copies"]
    assert finding.value == 2
    assert finding.examples == ("i1", "i2")
    assert finding.severity == "minor"


def test_whether_twins_are_easier_is_told_where_there_are_enough():
    splits = ["train"] * 40 + ["test"] * 120
    scan = scanned(splits, ["a"] * 160, near=[(f"i{row}", f"i{row + 40}") for row in range(40)])
    baseline = predicted(["a"] * 160, ["a"] * 80 + ["a", "b"] * 40)
    test = baseline.where(range(40, 160))
    finding = judged(scan, baseline=test)["duplicates:easier"]
    assert finding.found is True
    assert finding.value == pytest.approx(0.5)
    assert (finding.low, finding.high) == pytest.approx(differences.newcombe(40, 40, 40, 80))
    assert "50.0 %" in finding.mitigation
    assert "duplicates:easier" not in judged(scan, baseline=test.where(range(45)))
    assert "duplicates:easier" not in judged(scan)


def test_what_a_random_split_would_pay_is_a_finding():
    scan = scanned(["train", "test"], ["a", "a"])
    leak = {"random": 0.894, "grouped": 0.813, "n": 574, "method": "1-nearest neighbour", "low": 0.05, "high": 0.11}
    finding = judged(scan, leak=leak)["duplicates:leak"]
    assert finding.found is True
    assert finding.value == pytest.approx(0.081)
    assert (finding.low, finding.high) == (0.05, 0.11)
    assert finding.severity == "moderate"
    assert "would pay for leaked near-duplicates: 8.1 points" in finding.statement
    even = judged(scan, leak={"random": 0.8, "grouped": 0.81, "n": 100, "method": "1-nearest neighbour"})
    assert even["duplicates:leak"].found is False
    assert even["duplicates:leak"].low < 0 < even["duplicates:leak"].high
