"""The Python front: six functions, and nothing heavy before one of them is called."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import seewhy
from seewhy.storage.files import read_json

QUICK = {"network": "resnet_tiny", "steps": 4, "threads": 1}


def test_importing_loads_nothing_heavy():
    program = (
        "import sys, seewhy; print([name for name in ('torch', 'numpy', 'pyarrow', 'typer') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_train_audit_and_explain_from_a_folder(here, photos):
    model = seewhy.train("photos", **QUICK)
    image = photos / "cat" / "1.png"
    answer = model(image)
    assert answer.value in ("cat", "dog")
    assert seewhy.load("runs/photos")(image).value == answer.value
    heat = seewhy.explain(model, image, "cat", methods=["gradient"])["gradient"].heat["image"]
    assert heat.shape == (16, 16)
    report = seewhy.audit("photos", model, audits=("accuracy", "where_it_looks"))
    assert report["accuracy:test"].n == 8
    assert report._repr_html_().startswith("<iframe")
    assert report.facts["counts"] == model.provenance["counts"]


def test_arrays_are_trained_on_and_audited_without_touching_what_they_learnt(here):
    random = np.random.default_rng(0)
    labels = ["dark", "light"] * 20
    images = np.stack([random.integers(0, 128, (16, 16, 3)) + 120 * (label == "light") for label in labels]).astype(
        np.uint8
    )
    model = seewhy.train((images, labels), **QUICK)
    report = seewhy.audit((images, labels), model)
    assert report["accuracy:test"].n == model.provenance["counts"]["test"]


def test_a_model_in_memory_is_not_taken_for_one_on_the_shelf_or_for_an_unfinished_run(here, photos):
    seewhy.train("photos", **QUICK)
    model = seewhy.train("photos", **{**QUICK, "seed": 1})
    report = seewhy.audit("photos", model, audits=("accuracy",))
    assert report.facts["weights_sha256"] == model.digest
    asked = [read_json(path)["model"] for path in here.glob("runs/*/settings.json") if "model" in read_json(path)]
    assert asked == [f"resnet_tiny in memory, {model.digest[:12]}"]


def test_a_misspelt_setting_is_named(here, photos):
    with pytest.raises(ValueError, match="No setting 'epoch'. Did you mean 'epochs'?"):
        seewhy.train("photos", epoch=3)
