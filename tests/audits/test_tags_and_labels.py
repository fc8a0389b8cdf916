"""A tag that gives the label away is found, and no rare class raises an alarm."""

import numpy as np
import pyarrow as pa
import pytest

from seewhy.audits import tags_and_labels
from seewhy.types import Need, Tables


def checked(labels, **tags):
    columns = {"id": [str(row) for row in range(len(labels))], "split": ["train"] * len(labels), "target": list(labels)}
    rows = pa.table(columns | {f"tag:{name}": list(values) for name, values in tags.items()})
    return {finding.id: finding for finding in tags_and_labels.check(Tables({Need("rows"): rows}))}


def test_a_scanner_that_goes_with_the_label_is_named_with_what_it_tells():
    labels = np.array(["sick", "well"] * 200)
    scanner = np.where(np.arange(400) % 10 > 0, np.where(labels == "sick", "A", "B"), "B")
    scanner[9::10] = "A"
    found = checked(labels, scanner=scanner, weekday=["mo", "tu", "we", "th"] * 100)
    told = found["tags_and_labels:scanner"]
    right = np.mean((scanner == "A") == (labels == "sick"))
    assert told.found
    assert told.severity == "serious"
    assert told.value == pytest.approx(right - 0.5, abs=0.05)  # the most frequent label of a half may be wrong
    assert told.settings["cramers_v"] == pytest.approx(
        abs(np.corrcoef(scanner == "A", labels == "sick")[0, 1]), abs=0.01
    )


def test_a_pair_that_never_occurs_is_named():
    labels = np.array(["nurse"] * 100 + ["doctor"] * 100)
    sex = np.array(["f"] * 100 + ["f"] * 50 + ["m"] * 50)
    told = checked(labels, sex=sex)["tags_and_labels:sex"]
    assert told.doubts[0] == "Never together, though chance would bring them: 'nurse' with 'm'."


def test_cramers_v_is_the_correlation_of_two_large_binary_columns_and_zero_by_chance():
    counts = np.array([[400, 100], [100, 400]])
    assert tags_and_labels.cramers_v(counts) == pytest.approx(0.6, abs=2e-3)
    random = np.random.default_rng(0)
    plain = [tags_and_labels.cramers_v(random.multinomial(60, [1 / 12] * 12).reshape(3, 4)) for _ in range(300)]
    assert np.median(plain) == 0.0


@pytest.mark.parametrize("rare", [0.5, 0.05])
def test_an_independent_tag_raises_an_alarm_in_at_most_six_and_a_half_percent_of_tables(rare):
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        labels = random.choice(["common", "rare"], 200, p=[1 - rare, rare])
        found = checked(labels, a=random.choice(["u", "v", "w"], 200), b=random.normal(size=200))
        alarms += any(finding.found for finding in found.values())
    assert alarms / 400 <= 0.065


def test_a_name_an_image_is_no_group_and_no_tags_are_said_to_be_none():
    assert checked(["a", "b"] * 20, name=[f"n{row}" for row in range(40)])["tags_and_labels:(none)"].found is None
    assert "the images have no tags" in checked(["a", "b"] * 20)["tags_and_labels:(none)"].statement
