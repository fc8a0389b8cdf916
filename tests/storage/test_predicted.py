"""Tables of predictions on disk: what comes back, and what others wrote."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from seewhy.storage import predicted


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
