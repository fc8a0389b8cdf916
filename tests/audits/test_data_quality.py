"""Data with something wrong with it."""

from dataclasses import replace

import pyarrow as pa
import pytest

from seewhy.audits import data_quality
from seewhy.types import Need, Problem, Scan, Tables


def scanned(targets, splits=None, sizes=None, problems=()):
    n = len(targets)
    sizes = sizes or [(32, 32)] * n
    files = pa.table(
        {
            "id": [f"i{row}" for row in range(n)],
            "split": pa.array(splits or ["train"] * n, pa.string()),
            "target": pa.array(targets, pa.string()),
            "bytes": [1] * n,
            "sha256": ["0"] * n,
            "width": [width for width, _ in sizes],
            "height": [height for _, height in sizes],
        }
    )
    return Scan(files, tuple(problems))


def judged(scan, classes=("a", "b")):
    given = Tables({Need("scan"): scan}, classes, "test", 0)
    return {finding.id: finding for finding in data_quality.check(given)}


def test_good_data_has_nothing_found():
    found = judged(scanned(["a", "b"] * 20))
    assert not any(finding.found for finding in found.values())
    assert all(finding.severity == "none" for finding in found.values())


def test_problems_are_counted_by_kind_and_the_files_named():
    problems = [Problem("undecodable", f"{row}.png", "the file ends early") for row in range(4)]
    problems.append(Problem("hidden", ".DS_Store", "a hidden file was left out."))
    finding = judged(scanned(["a", "b"] * 20, problems=problems))["data_quality:problems"]
    assert finding.value == 5
    assert finding.severity == "serious"  # 5 of 45
    assert finding.statement == (
        "5 problems were found in the data, 4 'undecodable' and 1 'hidden'; the first, '0.png': the file ends early."
    )
    assert finding.evidence[0]["rows"][0] == ["undecodable", 4, "0.png, 1.png, 2.png and 1 more", "the file ends early"]


def test_missing_labels_are_counted():
    finding = judged(scanned(["a", "b"] * 20 + [None]))["data_quality:labels"]
    assert finding.examples == ("i40",)
    assert finding.statement == "1 image of 41, 2.4 %, has no label."
    assert finding.severity == "moderate"


def test_a_class_without_training_images_is_serious_and_named():
    targets = ["a"] * 40 + ["b"] * 12
    splits = ["train"] * 20 + ["test"] * 20 + ["test"] * 12
    finding = judged(scanned(targets, splits))["data_quality:small_classes"]
    assert finding.severity == "serious"
    assert finding.evidence[0]["columns"] == ["class", "train", "test"]
    assert finding.evidence[0]["rows"] == [["b", 0, 12]]
    assert finding.doubts == ("No training image at all: 'b'.",)


def test_a_class_with_too_few_images_is_moderate():
    finding = judged(scanned(["a"] * 12 + ["b"] * 9))["data_quality:small_classes"]
    assert finding.severity == "moderate"
    assert finding.statement.startswith("1 of 2 classes has fewer than 10 images")
    assert "the fewest are 9 of 'b' in train" in finding.statement


@pytest.mark.parametrize(("large", "severity"), [(20, "none"), (29, "none"), (30, "minor"), (100, "moderate")])
def test_unequal_classes_are_told_by_their_ratio(large, severity):
    finding = judged(scanned(["a"] * large + ["b"] * 10))["data_quality:balance"]
    assert finding.value == large / 10
    assert finding.severity == severity
    assert [row["name"] for row in finding.evidence[0]["rows"]] == ["a", "b"]


def test_labels_that_are_no_classes_are_not_counted_as_such():
    found = judged(scanned(['["a", [0, 0, 1, 1]]'] * 20))
    assert "data_quality:small_classes" not in found
    assert "data_quality:balance" not in found


def test_images_far_smaller_than_the_others_are_named():
    sizes = [(640, 480)] * 30 + [(40, 700), (32, 24)]
    finding = judged(scanned(["a", "b"] * 16, sizes=sizes))["data_quality:sizes"]
    assert finding.examples == ("i30", "i31")
    assert "sizes run from 32 x 24 to 640 x 480 pixels" in finding.statement
    even = judged(scanned(["a", "b"] * 16))["data_quality:sizes"]
    assert even.statement == "No image of 32 is far smaller than the others; all are 32 x 32 pixels."


def test_the_files_that_were_left_out_are_listed_one_by_one_up_to_a_hundred():
    broken = [Problem("broken-image", f"{row}.png", "it is cut", 7) for row in range(130)]
    scan = replace(scanned(["a", "b"] * 200, problems=broken), quarantine=tuple(broken))
    _, left_out = judged(scan)["data_quality:problems"].evidence
    assert left_out["columns"] == ["file", "problem", "bytes", "what"]
    assert left_out["rows"] == [[f"{row}.png", "broken-image", 7, "it is cut"] for row in range(100)]
