"""One pass makes a table; tables come back from disk; tables that others made are read with care."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import nn

from seewhy import data, predicting
from seewhy.loading import Loader
from seewhy.storage import predicted
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing


class Brightness(nn.Module):
    """Says "light" of a light image and "dark" of a dark one."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[-4.0], [4.0]]))

    def forward(self, image):
        return self.last(image.mean((1, 2, 3))[:, None] - 0.5)


def finished(work):
    """What the work returns, and what it told on the way."""
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return end.value, told


def asked(levels, labels, batch=2):
    images = np.stack([np.full((4, 4, 3), level, np.uint8) for level in levels])
    dataset = data.open((images, labels))
    task = Classify(("dark", "light"), Preprocessing((4, 4), "squash"))
    network = Brightness().train()
    found, told = finished(predicting.predict(network, Loader(dataset, task), batch=batch))
    assert network.training
    return found, told


def test_a_row_says_what_was_answered_how_surely_and_how_rightly():
    found, told = asked((0, 255, 51), ["dark", "dark", "dark"])
    assert list(found["answer"]) == ["dark", "light", "dark"]
    assert list(found["right"]) == [1.0, 0.0, 1.0]
    logits = 4 * (np.array([0, 1, 0.2]) - 0.5)  # of light; of dark the same with the other sign
    sure = 1 / (1 + np.exp(-2 * np.abs(logits)))
    assert found["confidence"] == pytest.approx(sure, rel=1e-5)
    assert found["logodds_true"] == pytest.approx(-2 * logits, rel=1e-5)
    assert found["loss"] == pytest.approx(np.log1p(np.exp(2 * logits)), rel=1e-4)
    assert np.exp(found.log_probabilities.astype(float)).sum(1) == pytest.approx(np.ones(3), abs=1e-2)
    assert found.embeddings[:, 0] == pytest.approx([-0.5, 0.5, -0.3], abs=1e-3)
    assert [progress.done for progress in told if progress.stage == "predict"] == [2, 3]


def test_a_batch_size_changes_nothing():
    assert asked(range(0, 250, 25), ["dark"] * 10, batch=3)[0].table.equals(
        asked(range(0, 250, 25), ["dark"] * 10, batch=99)[0].table
    )


def test_what_was_saved_comes_back_and_the_table_is_written_last(tmp_path):
    found, _ = asked((0, 255), ["dark", "light"])
    predicted.save(found, tmp_path)
    back = predicted.load(tmp_path)
    assert back.table.equals(found.table)
    assert back.classes == found.classes
    assert (back.log_probabilities == found.log_probabilities).all()
    (tmp_path / "predictions.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        predicted.load(tmp_path)


def csv(folder, text):
    path = folder / "predictions.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_others_is_read_with_its_tags(tmp_path):
    path = csv(tmp_path, "id,target,answer,confidence,sex\n=1+1,cat,dog,0.5,f\n007,NA,NA,,\nx,,cat,1,m\n")
    assert predicted.is_table(path)
    found = predicted.from_table(path)
    assert list(found["id"]) == ["=1+1", "007", "x"]
    assert list(found["target"]) == ["cat", "NA", None]
    assert list(found["right"])[:2] == [0.0, 1.0]
    assert np.isnan(found["right"][2])
    assert np.isnan(found["confidence"][1])
    assert found.classes == ("NA", "cat", "dog")
    assert list(found["tag:sex"]) == ["f", None, "m"]


def test_a_parquet_table_is_read_too(tmp_path):
    path = tmp_path / "predictions.parquet"
    pa.parquet.write_table(pa.table({"target": ["a", "b"], "answer": ["a", "a"], "right": [0.5, 0.0]}), path)
    assert predicted.is_table(path)
    found = predicted.from_table(path)
    assert list(found["id"]) == ["0", "1"]
    assert list(found["right"]) == [0.5, 0.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,targets,answer\n1,a,b\n", "has no column 'target'. Did you mean 'targets'? A table of predictions needs"),
        ("id,target,answer\n1,a,b\n1,a,a\n", "holds the id '1' more than once; each row needs its own"),
        (
            "id,target,answer,confidence\n1,a,b,93\n2,a,a,0.5\n",
            "column 'confidence' runs from 0.5 to 93; it must be in 0 to 1",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_a_sentence(tmp_path, text, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace("?", r"\?")):
        predicted.from_table(csv(tmp_path, text))


@pytest.mark.parametrize("text", ["", "file_name,label\na.png,cat\n", "file_name,answer\na.png,cat\n", "\x00\x01"])
def test_a_table_of_images_or_nothing_is_no_table_of_predictions(tmp_path, text):
    assert not predicted.is_table(csv(tmp_path, text))
    assert not predicted.is_table(tmp_path)
    assert not predicted.is_table("digits")


def test_a_column_of_probabilities_a_class_says_the_answer_and_how_sure_it_is(tmp_path):
    text = "id,target,p:cat,p:dog,p:owl,sex\n1,dog,0.2,0.7,0.1,f\n2,cat,0.1,0.3,0.6,m\n3,,1,0,0,m\n"
    found = predicted.from_table(csv(tmp_path, text))
    assert predicted.is_table(csv(tmp_path, text))
    assert found.classes == ("cat", "dog", "owl")
    assert found.tags == ("sex",)
    assert list(found["answer"]) == ["dog", "owl", "cat"]
    assert found["confidence"] == pytest.approx([0.7, 0.6, 1.0])
    assert found["right"][:2].tolist() == [1, 0]
    assert np.isnan(found["right"][2])
    assert found["loss"][:2] == pytest.approx([-np.log(0.7), -np.log(0.1)])
    assert found["logodds_true"][:2] == pytest.approx([np.log(0.7 / 0.3), np.log(0.1 / 0.9)])
    assert list(found["top_answers"][1]) == ["owl", "dog", "cat"]
    assert np.exp(found.log_probabilities.astype(float)) == pytest.approx(
        np.array([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [1, 0, 0]]), abs=1e-3
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [("1,a,0.9,0.3", r"probabilities of row 1 sum to 1.2; they must sum to 1"), ("1,a,,1", "column 'p:a' must hold a")],
)
def test_numbers_that_are_no_probabilities_are_refused(tmp_path, row, says):
    with pytest.raises(ValueError, match=says):
        predicted.from_table(csv(tmp_path, f"id,target,p:a,p:b\n{row}\n"))


def test_an_answer_that_is_given_beside_probabilities_is_kept(tmp_path):
    found = predicted.from_table(csv(tmp_path, "id,target,answer,p:a,p:b\n1,a,b,0.7,0.3\n2,a,c,0.7,0.3\n"))
    assert list(found["answer"]) == ["b", "c"]
    assert found["confidence"][0] == pytest.approx(0.3)
    assert found["confidence"][1] == 0  # an answer whose probability was not given
    assert found.classes == ("a", "b", "c")


def test_a_table_that_was_saved_is_read_with_what_lies_beside_it(tmp_path):
    text = "id,target,p:cat,p:dog\n1,dog,0.2,0.8\n2,cat,0.1,0.9\n"
    given = predicted.from_table(csv(tmp_path, text))
    predicted.save(given, tmp_path / "kept")
    found = predicted.from_table(tmp_path / "kept" / "predictions.parquet")
    assert found.table.equals(given.table)
    assert (found.log_probabilities == given.log_probabilities).all()
