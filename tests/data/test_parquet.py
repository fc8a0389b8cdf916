"""Parquet as the hub writes it, whole or in parts, in memory or not."""

import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seewhy.data import parquet


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, labels, names=None, paths=True, **columns):
    """A file of the hub, two rows a row group; the image of a row has its number as red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(row), "path": f"{path.stem}-{row}.png" if paths else None} for row in range(len(labels))]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": labels, **columns})
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"} if names else {"_type": "Value"},
    }
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=2)
    return path


def reds(dataset, rows=None):
    return [int(dataset.pixels(row)[0, 0, 0]) for row in (range(len(dataset)) if rows is None else rows)]


def test_class_names_come_from_the_schema_and_minus_one_is_no_label(tmp_path):
    dataset = parquet.open(write(tmp_path / "train.parquet", [2, 0, -1, None, 2], ["cat", "dog", "=1+1"]))
    assert dataset.targets == ("=1+1", "cat", None, None, "=1+1")
    assert dataset.classes == ("cat", "dog", "=1+1")  # one that is not there stays a class
    assert dataset.splits == ()
    assert dataset.ids == tuple(f"train-{row}.png" for row in range(5))
    assert reds(dataset) == [0, 1, 2, 3, 4]


def test_class_names_that_come_twice_are_told_apart(tmp_path):
    dataset = parquet.open(write(tmp_path / "a.parquet", [0, 2], ["crane", "dog", "crane"]))
    assert dataset.targets == ("crane (0)", "crane (2)")


def test_a_label_beyond_the_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'label' holds 3, but its 2 class names go from 0 to 1"):
        parquet.open(write(tmp_path / "a.parquet", [0, 3], ["cat", "dog"]))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 2, -1], ("-1", "2", "10")),
        ([1.0, 0.5, float("nan")], ("0.5", "1")),
        (["b", "a10", "a2"], ("a2", "a10", "b")),
        ([True, False, True], ("False", "True")),
    ],
)
def test_without_names_a_value_is_its_own_name_in_its_order(tmp_path, labels, classes):
    assert parquet.open(write(tmp_path / "a.parquet", labels)).classes == classes


@pytest.mark.parametrize("below", ["", "data"])
def test_files_of_a_folder_are_splits(tmp_path, below):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation", "test-00000-of-00001"):
        write(tmp_path / below / f"{name}.parquet", [0, 1, 0], ["cat", "dog"])
    assert parquet.recognises(tmp_path)
    dataset = parquet.open(tmp_path)
    assert [dataset.splits.count(name) for name in ("train", "val", "test")] == [6, 3, 3]
    assert dataset.ids[dataset.splits.index("val")] == "validation-0.png"
    assert reds(dataset) == [0, 1, 2] * 4


def test_parts_that_name_no_split_have_none_and_mixed_names_are_refused(tmp_path):
    for name in ("0010", "0002"):
        write(tmp_path / f"{name}.parquet", [0, 1])
    dataset = parquet.open(tmp_path)
    assert dataset.splits == ()
    assert dataset.ids[0] == "0002-0.png"
    write(tmp_path / "test.parquet", [0, 1])
    with pytest.raises(ValueError, match=r"files of splits and others, such as '0002\.parquet'"):
        parquet.open(tmp_path)


def test_parts_with_different_class_names_are_refused(tmp_path):
    write(tmp_path / "train.parquet", [0, 1], ["cat", "dog"])
    write(tmp_path / "test.parquet", [0, 1], ["dog", "cat"])
    with pytest.raises(ValueError, match="differ in their columns or class names"):
        parquet.open(tmp_path)


def test_ids_are_unique_without_paths_and_with_equal_ones(tmp_path):
    assert parquet.open(write(tmp_path / "a" / "b.parquet", [1, 2], paths=False)).ids == ("b/0", "b/1")
    for name in ("train", "test"):
        write(tmp_path / "c" / "x.parquet", [1, 2]).rename(tmp_path / "c" / f"{name}.parquet")
    assert set(parquet.open(tmp_path / "c").ids) == {"train/x-0.png", "train/x-1.png", "test/x-0.png", "test/x-1.png"}


def test_other_columns_are_tags_splits_and_boxes(tmp_path):
    objects = [{"bbox": [[0.0, 0.0, 1.0, 2.0]], "categories": [3]}, None]
    file = write(
        tmp_path / "a.parquet", [1, 2], sex=["f", None], embedding=[[1], [2]], split=["train", "dev"], objects=objects
    )
    dataset = parquet.open(file)
    assert dataset.tags == {"sex": ("f", None)}
    assert dataset.splits == ("train", "val")
    assert dataset.boxes[0].labels == ("3",)
    assert dataset.boxes[1] is None
    assert [(problem.code, problem.where) for problem in dataset.problems] == [("column-left-out", "embedding")]
    assert parquet.open(file, label="sex").tags == {"label": (1, 2)}


def test_a_plain_column_of_bytes_will_do(tmp_path):
    table = pa.table({"jpg": pa.array([png(1), None, b"text"], pa.large_binary()), "target": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = parquet.open(tmp_path / "a.parquet")
    assert reds(dataset, [0]) == [1]
    with pytest.raises(ValueError, match="row 1 holds no bytes of an image"):
        dataset.pixels(1)
    with pytest.raises(ValueError, match="'row 2' is not an image"):
        dataset.pixels(2)


def test_large_data_are_read_a_few_row_groups_at_a_time(tmp_path, monkeypatch):
    file = write(tmp_path / "a.parquet", [0] * 40)
    held = parquet.open(file)
    monkeypatch.setattr(parquet, "HELD", 10)
    monkeypatch.setattr(parquet, "GROUPS", 3)
    few = parquet.open(file)
    order = np.random.default_rng(0).permutation(40).tolist()
    assert reds(few, order) == reds(held, order) == order
    assert len(few.source.__dict__["_read"]) == 3
    assert len(held.source.__dict__["_read"]) == 20


def test_a_copy_for_another_process_holds_no_images(tmp_path):
    dataset = parquet.open(write(tmp_path / "a.parquet", [0] * 200))
    before = len(pickle.dumps(dataset.source))
    reds(dataset)
    assert len(pickle.dumps(dataset.source)) == before
    assert reds(pickle.loads(pickle.dumps(dataset)), [199]) == [199]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": [1]}, "has no column of images; expected one called 'image'.*columns are label"),
        ({"left": [b"1"], "right": [b"2"], "label": [1]}, r"several columns that could be images \(left, right\)"),
        ({"image": [b"1"]}, "no column 'label', 'target', 'class'. Name the column.*none besides the image"),
        ({"image": [b"1"], "kind": ["cat"]}, "there are: kind"),
    ],
)
def test_a_file_without_images_or_labels_is_refused_in_words(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=words):
        parquet.open(tmp_path / "a.parquet")


def test_a_broken_file_is_refused_in_words(tmp_path):
    whole = write(tmp_path / "a.parquet", [0, 1]).read_bytes()
    for content in (whole[:-20], b"", whole[:4] + b"\0" * 20 + whole[-4:]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(ValueError, match=r"a.parquet cannot be read as Parquet"):
            parquet.open(tmp_path / "a.parquet")


def test_a_page_that_is_broken_is_a_problem_of_its_rows(tmp_path):
    file = write(tmp_path / "a.parquet", [0] * 4)
    dataset = parquet.open(file)
    content = bytearray(file.read_bytes())
    content[4:60] = b"\xff" * 56
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"row group 0 of .* cannot be read"):
        dataset.content(0)
