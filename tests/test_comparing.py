"""Two models on the same images: what changed, for whom, and whether it is more than chance."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from seewhy import comparing
from seewhy.storage import predicted
from seewhy.types import Predictions


def said(right, *, target=None, ids=None, **tags) -> Predictions:
    """Answers "a" or "b" that are right where asked."""
    right = np.asarray(right, dtype=bool)
    target = np.array(["a"] * len(right) if target is None else target)
    answer = np.where(right, target, np.where(target == "a", "b", "a"))
    columns = {"id": [f"i{row}" for row in range(len(right))] if ids is None else ids}
    columns |= {"target": target.tolist(), "answer": answer.tolist(), "right": right.astype(float).tolist()}
    table = pa.table({**columns, **{f"tag:{name}": list(values) for name, values in tags.items()}})
    return Predictions(table, ("a", "b"))


def found(first, second, groups=None):
    return {finding.id: finding for finding in comparing.judged(comparing.paired(("A", "B"), first, second), groups)}


def test_a_model_that_is_worse_for_one_group_is_caught_though_it_is_no_worse_overall():
    group = np.array(["old", "young"] * 200)
    before = np.ones(400, bool)
    before[1:81:2] = False  # wrong on 40 of the young
    after = np.ones(400, bool)
    after[0:80:2] = False  # wrong on 40 of the old
    findings = found(said(before, age=group), said(after, age=group))
    assert findings["compare:overall"].found is False
    worse = findings["compare:tag age:images with age 'old'"]
    assert worse.found
    assert worse.value == pytest.approx(-0.2)
    assert worse.low <= -0.2 <= worse.high < 0
    assert worse.severity == "serious"
    assert "'B' is worse: right on 80.0 % against 100 % of 200 images" in worse.statement
    assert findings["compare:tag age:images with age 'young'"].value == pytest.approx(0.2)
    assert comparing.worse(list(findings.values()))


def test_numbers_are_cut_into_groups_as_everywhere():
    age = np.arange(400.0)
    before, after = np.ones(400, bool), np.ones(400, bool)
    after[:60] = False
    findings = found(said(before, age=age), said(after, age=age))
    assert findings["compare:tag age:images with age '0 to 99'"].value == pytest.approx(-0.6)


def test_a_gain_is_no_concern_and_fails_no_gate():
    before, after = np.ones(100, bool), np.ones(100, bool)
    before[:20] = False
    findings = found(said(before), said(after))
    overall = findings["compare:overall"]
    assert overall.found
    assert overall.severity == "none"
    assert overall.settings["mended"] == 20
    assert overall.settings["broken"] == 0
    assert overall.value == pytest.approx(0.2)
    assert not comparing.worse(list(findings.values()))


def test_rows_are_matched_by_id_and_not_by_place():
    right = np.arange(60) % 3 > 0
    order = np.random.default_rng(0).permutation(60)
    ids = [f"i{row}" for row in order]
    findings = found(said(right), said(right[order], ids=ids))
    assert findings["compare:overall"].settings["mended"] == findings["compare:overall"].settings["broken"] == 0


def test_the_examples_that_changed_are_named():
    before, after = np.ones(30, bool), np.ones(30, bool)
    after[[3, 7]] = False
    overall = found(said(before), said(after))["compare:overall"]
    assert overall.examples == ("i3", "i7")
    assert [row[0] for row in overall.evidence[0]["rows"]] == ["i3", "i7"]
    assert overall.evidence[0]["title"] == "Broken (2)"


def test_labels_that_differ_are_an_error_that_names_the_row():
    with pytest.raises(ValueError, match="1 row of A and B differ in the label, the first 'i1': 'a' and 'b'"):
        comparing.paired(("A", "B"), said([1, 1]), said([1, 1], target=["a", "b"]))


def test_nothing_in_common_is_an_error():
    with pytest.raises(ValueError, match="no labelled row in common that neither was trained on: 2 and 2 rows, 0 with"):
        comparing.paired(("A", "B"), said([1, 1]), said([1, 1], ids=["x", "y"]))


def test_two_equal_models_differ_somewhere_in_at_most_six_and_a_half_percent_of_comparisons():
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        hard = random.random(300)
        before, after = (random.random(300) < 0.5 + 0.5 * hard for _ in range(2))
        group = random.choice(["u", "v", "w"], 300)
        target = random.choice(["a", "b"], 300)
        findings = found(said(before, target=target, g=group), said(after, target=target, g=group))
        # overall, by class and by group are three families, each of which may err
        families = {name: any(f.found for f in findings.values() if f.id.startswith(name)) for name in
                    ("compare:overall", "compare:class", "compare:tag")}  # fmt: skip
        alarms += np.array(list(families.values()))
    assert (alarms / 400 <= 0.065).all(), alarms


def test_a_tag_that_is_not_there_is_named_with_its_nearest(here, command):
    for name in ("a", "b"):
        (here / f"{name}.csv").write_text("id,target,answer,sex\n1,x,x,f\n2,y,y,m\n")
    code, _, error = command("compare", "a.csv", "b.csv", "--groups", "sax")
    assert code == 2
    assert "no tag 'sax'. Did you mean 'sex'?" in error


def test_the_gate_fails_on_worse_and_passes_on_better(here, command):
    rows = [f"{row},cat,{'cat' if row >= 40 else 'dog'},{'cat'}" for row in range(100)]
    for name, place in (("worse", 2), ("better", 3)):
        lines = [f"{line.split(',')[0]},cat,{line.split(',')[place]}" for line in rows]
        (here / f"{name}.csv").write_text("\n".join(["id,target,answer", *lines]) + "\n")
    code, out, _ = command("compare", "better.csv", "worse.csv", "--fail-on", "worse", "--json")
    assert code == 1
    overall = next(finding for finding in json.loads(out)["findings"] if finding["id"] == "compare:overall")
    assert overall["value"] == pytest.approx(-0.4)
    code, _, _ = command("compare", "worse.csv", "better.csv", "--fail-on", "worse")
    assert code == 0
    code, _, error = command("compare", "worse.csv", "better.csv", "--fail-on", "wors")
    assert code == 2
    assert "Did you mean 'worse'?" in error


def test_models_are_asked_what_neither_has_trained_on(here, photos, command):
    """Two runs with other seeds have other test splits: only what both hold back is compared."""
    for seed in (0, 1):
        code, _, error = command("train", photos, "--network", "resnet_tiny", "--steps", 3, "--threads", 1,
                                 "--seed", seed, "--out", f"run{seed}")  # fmt: skip
        assert code == 0, error
    code, out, error = command("compare", "run0", "run1", "--threads", 1, "--json", "--out", "compared")
    assert code == 0, error
    overall = next(finding for finding in json.loads(out)["findings"] if finding["id"] == "compare:overall")
    held_back = [set() for _ in range(2)]
    for seed in (0, 1):
        table = pa.parquet.read_table(f"run{seed}/data.parquet").to_pylist()
        held_back[seed] = {row["id"] for row in table if row["split"] == "test"}
    assert 0 < overall["n"] == len(held_back[0] & held_back[1])
    assert (here / "compared" / "report.html").is_file()


def test_tables_of_ours_can_be_compared_as_they_are(tmp_path):
    predicted.save(said([1, 0, 1]), tmp_path)
    assert predicted.is_table(tmp_path / "predictions.parquet")
