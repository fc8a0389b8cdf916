"""The main job from end to end: hostile names, broken files, an audit again, groups, other test sets, no pictures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from seewhy.model import Model, Normalised
from seewhy.types import Finding

HOSTILE = ("=1+1", "<script>alert(1)", "\N{CAT FACE}", "x" * 200)
QUICK = ("--network", "resnet_tiny", "--steps", "6", "--threads", "1")
#: For what holds whichever audits are asked: to ask all of them costs ten seconds.
ONE = ("--audits", "accuracy")
KEYS = [
    "id", "audit", "pillar", "statement", "found", "value", "unit", "low", "high", "confidence_level", "n", "severity",
    "examples", "evidence", "doubts", "settings", "seed", "source", "mitigation",
]  # fmt: skip


def strict(text):
    """JSON as the standard has it: no NaN, no infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_hostile_names_and_a_broken_file_go_through_everything_and_the_data_stay_as_they_are(
    here, command, write, content
):
    photos = write(here / "photos", HOSTILE, each=16)
    (photos / "=1+1" / "broken.jpg").write_bytes(b"\xff\xd8\xff this is no image")
    before = content(photos)

    scanned = command("scan", photos, "--json")
    assert scanned.code == 0
    found = strict(scanned.out)
    assert found["images"] == 65
    assert found["usable"] == 64
    assert set(found["classes"]) == set(HOSTILE)
    assert any(problem["where"] == "=1+1/broken.jpg" for problem in found["problems"])

    trained = command("train", photos, "--out", "trained", *QUICK, "--json")
    assert trained.code == 0
    assert strict(trained.out)["run"] == "trained"
    assert set(Model.load("trained/model").classes) == set(HOSTILE)

    audited = command("audit", photos, "--out", "audited", *QUICK, "--json")
    assert audited.code == 0
    document = strict(audited.out)
    assert strict((here / "audited" / "findings.json").read_text(encoding="utf-8")) == document
    assert [list(finding) for finding in document["findings"]] == [KEYS] * len(document["findings"])
    assert document["run"]["not_run"] == ["mediation"]  # so few images are not divided into two halves
    assert "accuracy:test" in {finding["id"] for finding in document["findings"]}
    assert "=1+1/broken.jpg" in audited.out
    page = (here / "audited" / "report.html").read_text(encoding="utf-8")
    assert "broken.jpg" in page
    assert "<script>alert(1)" not in page

    said = command("predict", "audited", photos, "--csv")
    assert said.code == 0
    assert "broken.jpg" in said.err
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert len(rows) == 64
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    told = strict(command("predict", "audited", photos, "--json").out)
    assert {answer["answer"] for answer in told["answers"]} <= set(HOSTILE)
    assert [failed["id"] for failed in told["failed"]] == [str(photos / "=1+1" / "broken.jpg")]

    assert command("explain", "audited", photos / "=1+1" / "1.png", "--out", "heat").code == 0
    (here / "audited" / "report.html").unlink()
    assert command("report", "audited").code == 0
    assert (here / "audited" / "report.html").read_text(encoding="utf-8") == page  # of all audits and the same again
    assert content(photos) == before


def test_a_second_audit_of_the_same_model_looks_at_nothing_again(here, command, photos):
    first = command("audit", photos, *QUICK, "--json")
    passes = []
    counting = register_module_forward_pre_hook(
        lambda module, given: passes.append(module) if isinstance(module, Normalised) else None
    )
    try:
        second = command("audit", photos, "--model", "runs/photos", "--threads", 1, "--json")
    finally:
        counting.remove()
    assert second.code == 0
    assert not passes
    values = [{each["id"]: each["value"] for each in strict(ended.out)["findings"]} for ended in (first, second)]
    assert values[0] == values[1]


def test_a_model_is_audited_on_what_its_run_kept_back_and_on_all_of_other_data(here, command, photos, write):
    trained = strict(command("train", photos, *QUICK, "--out", "x", "--json").out)
    again = strict(command("audit", photos, "--model", "x", *ONE, "--json").out)["run"]
    assert again["counts"] == trained["counts"]
    (photos / "cat" / "0.png").rename(photos / "cat" / "renamed.png")
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(photos / "dog/new.png")
    changed = strict(command("audit", photos, "--model", "x/model", *ONE, "--json").out)["run"]
    assert changed["counts"] == {**trained["counts"], "test": trained["counts"]["test"] + 1}
    data = write(here / "other", each=3, side=20)
    other = strict(command("audit", data, "--model", "x", *ONE, "--json").out)["run"]
    assert other["counts"] == {"train": 0, "val": 0, "test": 6}


def test_a_model_without_its_run_is_tested_on_what_it_did_not_learn_from(here, command, photos):
    trained = strict(command("train", photos, *QUICK, "--out", "x", "--seed", 3, "--json").out)
    (here / "x" / "model").rename(here / "moved")
    audited = strict(command("audit", photos, "--model", "moved", *ONE, "--json").out)
    assert audited["run"]["counts"] == trained["counts"]
    (photos / "cat" / "0.png").unlink()
    changed = command("audit", photos, "--model", "moved", "--audits", "data_quality", "--json")
    assert "it is not known which of these images it was trained on" in changed.out


def test_a_model_that_was_trained_on_all_the_images_has_nothing_to_be_tested_on(here, command, photos):
    command("train", photos, *QUICK, "--out", "x")
    rows = pyarrow.parquet.read_table("x/data.parquet").to_pylist()
    for row in rows:
        if row["split"] != "train":
            (photos / row["id"]).unlink()
    ended = command("audit", photos, "--model", "x")
    assert ended.code == 2
    assert "holds no image to test resnet_tiny on: it was trained on all of them" in ended.err


def test_classes_that_the_model_does_not_know_are_told_before_anything_is_read(here, command, photos, write):
    command("train", photos, *QUICK, "--out", "x")
    other = write(here / "other", ("cat", "dogs"), each=3)
    ended = command("audit", other, "--model", "x")
    assert ended.code == 2
    assert "has the class 'dogs', which resnet_tiny cannot answer. Did you mean 'dog'?" in ended.err
    assert "The data have: 'cat', 'dogs'. The model answers: 'cat', 'dog'." in ended.err
    assert not (here / "runs").exists()


def test_a_model_may_know_more_classes_than_the_data_have(here, command, write):
    data = write(here / "pets", ("tabby", "golden retriever"), each=4, side=40)
    ended = command("audit", data, "--model", "lite0", "--audits", "accuracy,confusion,per_class", "--json")
    assert ended.code == 0, ended.err
    found = {finding["id"]: finding for finding in strict(ended.out)["findings"]}
    assert found["accuracy:test"]["n"] == 8


def test_a_table_of_predictions_works_alone_and_says_what_was_not_run(here, command):
    rows = [
        f"=cmd|{number},cat,{('cat', 'dog')[number % 4 == 0]},0.9{number % 10},{'fm'[number % 2]}"
        for number in range(60)
    ]
    rows += [f"NA{number},NA,NA,0.8,f" for number in range(30)]
    (here / "predictions.csv").write_text("id,target,answer,confidence,sex\n" + "\n".join(rows))
    ended = command("audit", "predictions.csv", "--groups", "sex", "--json")
    assert ended.code == 0, ended.err
    document = strict(ended.out)
    found = {finding["id"]: finding for finding in document["findings"]}
    assert found["accuracy:test"]["value"] == pytest.approx(75 / 90)
    assert found["accuracy:test"]["n"] == 90
    assert "groups:sex" in found
    for name, pillar in (("where_it_looks", "see"), ("data_quality", "data"), ("duplicates", "data")):
        finding = Finding.from_json(found[f"{name}:not_run"])
        assert finding.pillar == pillar
        assert re.fullmatch(r"Not run: .*\? It needs the images and the network; .*\.", finding.statement)
        assert name in document["run"]["not_run"]


def test_a_table_of_predictions_needs_no_model_and_its_tags_are_checked(here, command):
    (here / "predictions.csv").write_text("id,target,answer,sex\n1,a,a,f\n2,b,a,m\n")
    assert (
        "holds predictions, so there is nothing to ask lite0 about"
        in command("audit", "predictions.csv", "--model", "lite0").err
    )
    ended = command("audit", "predictions.csv", "--groups", "sexx")
    assert ended.code == 2
    assert ended.err == "predictions.csv has no tag 'sexx'. Did you mean 'sex'? There are: sex.\n"
    assert not (here / "runs").exists()


PNG, JPEG, WEBP = b"\x89PNG", b"\xff\xd8\xff", b"WEBP"


def test_without_images_no_picture_is_written_anywhere(here, command, photos):
    assert command("audit", photos, *QUICK, "--no-images", "--out", "bare").code == 0
    page = (here / "bare" / "report.html").read_text()
    assert "data:image" not in page
    for path in (here / "bare").rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            assert not any(mark in path.read_bytes() for mark in (PNG, JPEG, WEBP)), path
    (shown,) = (here / "bare" / "shown").iterdir()
    with np.load(shown / "pictures.npz") as kept:
        assert kept.files == ["names"]
    with np.load(shown / "heat.npz") as kept:
        assert not kept.files
    assert command("audit", photos, "--model", "bare", "--audits", "where_it_looks", "--out", "shown").code == 0
    assert "data:image" in (here / "shown" / "report.html").read_text()


def test_groups_are_compared_and_patients_stay_together(here, command, write):
    photos = write(here / "photos", each=30)
    with (photos / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "label", "sex", "scanner", "patient"])
        for number in range(30):
            for name in ("cat", "dog"):
                table.writerow(
                    [
                        f"{name}/{number}.png",
                        "</script>" if name == "cat" else name,
                        "fm"[number % 2],
                        "AB"[number % 3 > 0],
                        number // 3,
                    ]
                )
    ended = command("audit", photos, "--groups", "sex,scanner", "--split-by", "patient", *QUICK, "--out", "x", "--json")
    assert ended.code == 0, ended.err
    ids = {finding["id"] for finding in strict(ended.out)["findings"]}
    assert {"groups:sex", "groups:scanner"} <= ids
    assert "groups:patient" not in ids
    rows = pyarrow.parquet.read_table(here / "x" / "data.parquet").to_pylist()
    splits = {}
    for row in rows:
        splits.setdefault(int(re.search(r"(\d+)\.png", row["id"])[1]) // 3, set()).add(row["split"])
    assert all(len(where) == 1 for where in splits.values())
    page = (here / "x" / "report.html").read_text()
    assert page.count("</script>") == page.count("<script")
    unknown = command("audit", photos, "--split-by", "patent", *QUICK)
    assert unknown.code == 2
    assert "No tag 'patent' to split by. Did you mean 'patient'?" in unknown.err


def test_another_test_set_is_what_is_tested(here, command, photos, write):
    test = write(here / "test", each=5, side=18)
    document = strict(command("audit", photos, "--test", test, *QUICK, *ONE, "--json").out)
    assert document["run"]["counts"]["test"] == 10
    assert next(each for each in document["findings"] if each["id"] == "accuracy:test")["n"] == 10


def test_the_report_is_written_again_the_same_without_data_or_network(here, command, photos):
    command("audit", photos, *QUICK, "--audits", "accuracy,confident_mistakes,effects,where_it_looks", "--out", "x")
    page = (here / "x" / "report.html").read_bytes()
    told = (here / "x" / "findings.json").read_bytes()
    photos.rename(here / "gone")
    (here / "x" / "model").rename(here / "gone too")
    (here / "x" / "report.html").unlink()
    assert command("report", "x").code == 0
    assert (here / "x" / "report.html").read_bytes() == page
    assert command("report", "x", "--export", "json").code == 0
    assert (here / "x" / "findings.json").read_bytes() == told
    shown = command("report", "x", "--export", "terminal")
    assert shown.code == 0
    assert "report." not in shown.out.splitlines()[-1]
    assert command("report", "x", "--export", "terminal", "--out", "summary.txt").code == 0
    assert (here / "summary.txt").is_file()
    assert strict(command("report", "x", "--json").out) == strict(told)


def test_the_report_says_how_to_make_it_again_and_why_this_network(here, command, photos):
    facts = strict(command("audit", photos, "--epochs", 2, *ONE, "--out", "x", "--json").out)["run"]
    steps = facts["training"]["steps"]
    assert f"--steps {steps}" in facts["command"]
    assert "--threads" in facts["command"]
    assert "images of 2 classes, usually 16 x 16 pixels: tiny images" in facts["network_reason"]
    page = (here / "x" / "report.html").read_text()
    assert facts["network_reason"] in page
    assert f"--steps {steps}" in page
    words = facts["command"].split()[1:]
    words[words.index("x")] = "y"
    assert command(*words).code == 0
    assert weights("x") == weights("y")


def weights(run):
    """The bytes of a run's weights."""
    return (Path(run) / "model" / "weights.safetensors").read_bytes()


TOY_AUDIT = '''"""How many images were there?"""
from seewhy.types import Finding, Need


def needs(**settings):
    return Need("baseline")


def check(tables):
    return Finding("toy:count", "toy", "data", f"There were {len(tables.baseline)} toys.", value=len(tables.baseline))
'''
TOY_EXPLAINER = '''"""Is everything equally warm?"""
from seewhy.passes.gradients import InputGradients


def needs():
    return (InputGradients(),)


def heat(evidence, question):
    return evidence[InputGradients()].gradient.abs().sum(1) * 0 + 1
'''


def test_a_toy_audit_and_a_toy_explainer_are_one_file_each(here, command, photos, monkeypatch):
    import seewhy.audits
    import seewhy.explainers

    for shelf, name, text in ((seewhy.audits, "toy", TOY_AUDIT), (seewhy.explainers, "toy_warmth", TOY_EXPLAINER)):
        folder = here / shelf.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(shelf, "__path__", [*shelf.__path__, str(folder)])
    ended = command("audit", photos, *QUICK, "--audits", "accuracy,toy", "--out", "x", "--json")
    assert ended.code == 0, ended.err
    found = {finding["id"]: finding for finding in strict(ended.out)["findings"]}
    assert found["toy:count"]["statement"] == "There were 8 toys."
    assert "toys" in (here / "x" / "report.html").read_text()
    explained = strict(command("explain", "x", photos / "cat" / "1.png", "--method", "toy_warmth", "--json").out)
    assert "toy_warmth" in explained["explanations"][0]["pictures"]
    for name in ("seewhy.audits.toy", "seewhy.explainers.toy_warmth"):
        sys.modules.pop(name)


INTERRUPTIBLE = (
    "import seewhy.training.fitting as fitting; fitting.SAVE_EVERY = 0.0; from seewhy.cli import main; main()"
)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_an_audit_that_is_stopped_goes_on_to_the_same_weights(here, photos, end):
    words = ["audit", "photos", "--network", "resnet_tiny", "--steps", "60", "--threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(out):
        program = [sys.executable, "-c", INTERRUPTIBLE, *words, "--out", out]
        return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    with start("stopped") as process:
        checkpoint = here / "stopped" / "checkpoint.safetensors"
        until = time.monotonic() + 100
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(getattr(signal, end))
        out, err = process.communicate(timeout=100)
    assert not (here / "stopped" / "model").exists()
    assert checkpoint.exists()
    if end == "SIGINT":
        assert process.returncode == 130
        assert err.splitlines()[-1] == "Interrupted. What was done is kept; the same command goes on from there."
        assert "Traceback" not in err
        assert not out
    for run in ("stopped", "whole"):
        with start(run) as process:
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
    assert weights("stopped") == weights("whole")
    assert not checkpoint.exists()
    steps = [json.loads(line)["step"] for line in (here / "stopped" / "progress.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
