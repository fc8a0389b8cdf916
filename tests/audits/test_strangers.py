"""Images of none of the classes: scores told apart are found told apart; and the table they come from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted import predicted
from sklearn.covariance import LedoitWolf

from seewhy import data, planner
from seewhy import tables as shelf
from seewhy.audits import strangers
from seewhy.images.imaging import encode_png
from seewhy.tables import strangers as table
from seewhy.tasks.classify import Classify
from seewhy.types import Need, Preprocessing, Tables, finished

BASELINE = predicted(["cat"] * 4, ["cat"] * 4)


def found(apart: float, n: int = 200, **more):
    random = np.random.default_rng(0)
    scores = random.standard_normal((3, 2 * n)) + np.outer([0.1, apart, 0.2], np.arange(2 * n) >= n)
    columns = dict(zip(("unsure", "energy", "distance"), scores, strict=True))
    if more.pop("without", None):
        columns["distance"] = np.full(2 * n, np.nan)
    given = pa.table({"id": [str(row) for row in range(2 * n)], "known": [True] * n + [False] * n, **columns})
    need = Need("strangers", data="others/", count=500)
    return strangers.check(Tables({Need("baseline"): BASELINE, need: given}, ("cat",)), data="others/"), columns


def test_without_a_name_it_asks_for_one():
    finding = strangers.check(Tables({Need("baseline"): BASELINE}, ("cat",)))
    assert finding.found is None
    assert "Name images that are none of the classes with --set strangers.data=FOLDER." in finding.statement
    assert strangers.needs() == (Need("baseline"),)


def test_strangers_far_off_are_told_by_the_score_that_tells_them():
    finding, columns = found(4.0)
    assert finding.statement.startswith("The network tells 200 strangers ('others/') from 200 test images: by energy,")
    assert finding.severity == "none"
    assert finding.low <= finding.value <= finding.high
    threshold = np.sort(columns["energy"][:200])[189]
    passing = finding.evidence[1]["rows"][1]
    assert passing["value"] == np.mean(columns["energy"][200:] <= threshold)


def test_strangers_among_the_others_are_hardly_told():
    finding, _ = found(0.0)
    assert finding.found
    assert finding.severity == "moderate"
    assert "hardly tells" in finding.statement
    finding, _ = found(1.0, without=True)
    assert [row["name"] for row in finding.evidence[0]["rows"]] == ["how unsure it is", "energy"]
    assert finding.severity == "minor"
    few, _ = found(1.0, n=5)
    assert few.statement.endswith("it takes 10 of them and 10 test images, and there are 5 and 5.")


class Linear(torch.nn.Module):
    """Reads the mean colour; its embedding is the three channels."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[8.0, -8.0, 0.0], [-8.0, 8.0, 0.0]]))

    def forward(self, image):
        return self.head(image.mean((2, 3)))


def subject(random: np.random.Generator):
    """Red and green images of 8 x 8 pixels, to train and to test on."""
    labels = np.arange(120) % 2
    base = np.array([[180, 60, 60], [60, 180, 60]])[labels]
    pixels = (base + random.integers(-20, 20, (120, 3)))[:, None, None].repeat(8, 1).repeat(8, 2).astype(np.uint8)
    kinds = ["train"] * 60 + ["test"] * 60
    opened = data.open(
        {"images": list(pixels), "labels": ["red" if label == 0 else "green" for label in labels], "splits": kinds}
    )
    task = Classify(("red", "green"), Preprocessing((8, 8)))
    found = object.__new__(shelf.Subject)  # a whole run would have to train a network
    parts = {
        "settings": SimpleNamespace(device="cpu", seed=0, workers=0),
        "material": SimpleNamespace(dataset=opened),
        "model": SimpleNamespace(network=Linear(), task=task, preprocessing=task.preprocessing),
        "_loaders": {},
    }
    for name, value in parts.items():
        object.__setattr__(found, name, value)
    return found, pixels, labels


def folder(tmp_path, pixels):
    place = tmp_path / "others" / "blue"
    place.mkdir(parents=True)
    for row, each in enumerate(pixels):
        (place / f"{row}.png").write_bytes(encode_png(each))
    return str(tmp_path / "others")


def test_scores_are_those_of_plain_algebra_and_blue_is_strange(tmp_path):
    asked, pixels, labels = subject(np.random.default_rng(0))
    blue = np.full((12, 8, 8, 3), (60, 60, 180), np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None]
    made = finished(table.make(asked, data=folder(tmp_path, blue), count=500))
    known = made.column("known").to_numpy(zero_copy_only=False)
    assert (known.sum(), (~known).sum()) == (60, 12)
    for name in ("energy", "distance"):
        score = made.column(name).to_numpy()
        assert score[known].max() < score[~known].min(), name
    mean = pixels[:, 0, 0] / 255
    weights = np.array([[8.0, -8.0, 0.0], [-8.0, 8.0, 0.0]])
    logits = mean[60:] @ weights.T + asked.model.network.head.bias.detach().numpy()
    assert made.column("energy").to_numpy()[:60] == pytest.approx(-np.log(np.exp(logits).sum(1)), abs=1e-4)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert made.column("unsure").to_numpy()[:60] == pytest.approx(1 - shares.max(1), abs=1e-5)
    means = np.stack([mean[:60][labels[:60] == label].mean(0) for label in (0, 1)])
    fitted = LedoitWolf(assume_centered=True).fit(mean[:60] - means[labels[:60]])
    nearest = [min((x - m) @ fitted.precision_ @ (x - m) for m in means) for x in mean[60:]]
    assert made.column("distance").to_numpy()[:60] == pytest.approx(nearest, rel=1e-3, abs=1e-3)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    asked, _, _ = subject(np.random.default_rng(0))
    with pytest.raises(planner.Unavailable, match="the strangers could not be opened: .*nowhere"):
        finished(table.make(asked, data=str(tmp_path / "nowhere")))
