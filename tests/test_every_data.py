"""What every kind of data on the shelf must do; a new one is tested once a maker here writes a small one."""

import gzip
import hashlib
import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seewhy import data, shelf
from seewhy.images import decoding
from seewhy.types import Dataset

MEMBERS = shelf.members("data")


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 5), (value, 10, 20)).save(buffer, "PNG")
    return buffer.getvalue()


def put(root, *names):
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(value))
    return root


def a_folder(root):
    return put(root, "train/=1+1/1.png", "train/<b>/2.png", "test/<b>/3.png")


def a_table(root):
    (put(root, "1.png", "2.png") / "metadata.csv").write_text("file_name,label,age\n1.png,cat,3\n2.png,dog,4\n")
    return root


def a_parquet(root):
    images = pa.array([{"bytes": png(value), "path": f"{value}.png"} for value in range(3)])
    pq.write_table(pa.table({"image": images, "label": ["a", "b", None]}), root / "train.parquet")
    return root / "train.parquet"


def an_idx(root):
    for kind, header in (("images", struct.pack(">IIII", 0x803, 3, 4, 5)), ("labels", struct.pack(">II", 0x801, 3))):
        content = header + bytes(range(60 if kind == "images" else 3))
        (root / f"train-{kind}-idx{header[3]}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


MAKERS = {
    "arrays": lambda root: (np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), ["a", None]),
    "digits": lambda root: "digits",
    "folder": a_folder,
    "idx": an_idx,
    "made": lambda root: "made:train=3,test=2",
    "parquet": a_parquet,
    "table": a_table,
}


@pytest.fixture(params=MEMBERS)
def name(request):
    assert request.param in MAKERS, f"write a small {request.param} in MAKERS"
    return request.param


def contents(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_every_kind_opens_with_its_question(name):
    assert MEMBERS[name].question.endswith("?")
    assert len(MEMBERS[name].about.splitlines()) > 1


def test_every_kind_recognises_its_own_and_the_shelf_picks_it(name, tmp_path):
    location = MAKERS[name](tmp_path)
    recognising = {other for other in MEMBERS if shelf.load("data", other).recognises(location)}
    assert recognising - {"folder"} == {name} - {"folder"}
    assert data.open(location).ids == shelf.load("data", name).open(location).ids


@pytest.mark.parametrize("nonsense", [None, 3, "nowhere", Path("nowhere"), [], {}, b"digits"])
def test_no_kind_recognises_nonsense(name, nonsense):
    assert shelf.load("data", name).recognises(nonsense) is False


def test_every_kind_gives_a_whole_data_set(name, tmp_path):
    dataset = data.open(MAKERS[name](tmp_path))
    assert len(dataset) >= 2
    assert len(set(dataset.ids)) == len(dataset)
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert set(dataset.targets) <= {*dataset.classes, None}
    assert set(dataset.splits) <= {"train", "val", "test", None}
    json.dumps([dataset.ids, dataset.classes, dict(dataset.tags)], allow_nan=False).encode("utf-8")
    pa.array([*dataset.ids, *dataset.classes], pa.string())


def test_every_kind_gives_content_that_is_what_its_pixels_are_made_of(name, tmp_path):
    dataset = data.open(MAKERS[name](tmp_path))
    for row in range(2):
        pixels = dataset.pixels(row)
        np.testing.assert_array_equal(pixels, decoding.decode(dataset.content(row)))
        assert dataset.content(row) == dataset.content(row)
        pixels[:] = 7  # they are the caller's own
        assert (dataset.pixels(row) != 7).any()
        example = dataset[row]
        assert example.inputs["image"].shape == (3, *pixels.shape[:2])
        assert 0 <= example.inputs["image"].min() <= example.inputs["image"].max() <= 1


def test_every_kind_can_be_sent_to_another_process(name, tmp_path):
    dataset = data.open(MAKERS[name](tmp_path))
    copy = pickle.loads(pickle.dumps(dataset.subset([1, 0])))
    assert copy.ids == dataset.ids[1::-1]
    assert copy.content(0) == dataset.content(1)


def test_every_kind_only_reads(name, tmp_path):
    location = MAKERS[name](tmp_path)
    before = contents(tmp_path)
    dataset = data.open(location)
    for row in range(2):
        dataset.pixels(row)
    assert contents(tmp_path) == before


def test_a_data_set_comes_back_as_it_is():
    dataset = data.open("digits")
    assert data.open(dataset) is dataset


# -------------------------------------------------------------------------------------------------- opening anything


def test_what_is_not_there_is_an_error_with_the_nearest_name(tmp_path):
    a_folder(tmp_path / "photos")
    with pytest.raises(
        FileNotFoundError, match=r"There is no '.*photo'. Did you mean 'photos'\? Expected a folder, a file"
    ):
        data.open(tmp_path / "photo")
    with pytest.raises(FileNotFoundError, match=r"There is no 'digit'. Did you mean 'digits'\?"):
        data.open("digit")
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*photo' either"):
        data.open(tmp_path / "photo" / "cats")


def test_what_cannot_be_read_is_an_error_that_says_what_can(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(
        ValueError, match=r"a file of no kind that is read: expected .csv, .jsonl, .parquet or idx, or a folder"
    ):
        data.open(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="holds no image but 1 other files"):
        data.open(tmp_path)
    with pytest.raises(ValueError, match="not float"):
        data.open(3.5)
    with pytest.raises(ValueError, match="named by an empty text"):
        data.open("")


@pytest.mark.parametrize("address", ["https://example.org/data.zip", "hf://datasets/mnist", "s3://bucket/x"])
def test_addresses_are_not_fetched(address):
    with pytest.raises(ValueError, match=r"is an address\. Nothing is fetched"):
        data.open(address)


def test_two_kinds_in_one_folder_are_ambiguous(tmp_path):
    a_table(tmp_path)
    a_parquet(tmp_path)
    with pytest.raises(ValueError, match=r"could be read as parquet or as table. Name the file that is meant"):
        data.open(tmp_path)
    assert data.open(tmp_path / "metadata.csv").classes == ("cat", "dog")
    assert data.open(tmp_path / "train.parquet").classes == ("a", "b")


def test_settings_reach_the_kind_that_has_them(tmp_path):
    assert data.open(a_table(tmp_path / "table"), label="age").classes == ("3", "4")
    with pytest.raises(ValueError, match="is read as folder, which has no columns, so no column 'age'"):
        data.open(a_folder(tmp_path / "folder"), label="age")


# ----------------------------------------------------------------------------------------------------------- joined


def pair(labels, **more):
    images = np.arange(len(labels) * 12, dtype=np.uint8).reshape(len(labels), 2, 2, 3)
    return data.open({"images": images, "labels": labels, **more})


def test_a_second_data_set_becomes_the_test():
    first = pair(["a", "b", "c"], ids=["x", "y", "z"], tags={"sex": ["f", "m", "f"]})
    second = pair(["b", "a"], ids=["u", "v"], tags={"age": [1, 2]}).subset([1, 0])
    both = data.joined(first, second)
    assert both.ids == ("x", "y", "z", "v", "u")
    assert both.splits == (None, None, None, "test", "test")
    assert both.targets == ("a", "b", "c", "a", "b")
    assert both.classes == ("a", "b", "c")
    assert both.tags == {"sex": ("f", "m", "f", None, None), "age": (None, None, None, 2, 1)}
    for row, (origin, place) in enumerate([(first, 0), (first, 1), (first, 2), (second, 0), (second, 1)]):
        np.testing.assert_array_equal(both.pixels(row), origin.pixels(place))
        assert both.content(row) == origin.content(place)
    assert isinstance(pickle.loads(pickle.dumps(both)), Dataset)


def test_equal_ids_are_told_apart():
    assert data.joined(pair(["a", "b"]), pair(["a", "b"])).ids == ("0", "1", "test:0", "test:1")


def test_a_test_split_of_its_own_gives_way_and_is_named():
    first = pair(["a", "b", "a"], splits=["train", "test", "val"])
    both = data.joined(first, pair(["b"], ids=["other"]))
    assert both.ids == ("0", "2", "other")
    assert both.splits == ("train", "val", "test")
    assert both.problems[-1].code == "replaced-test"
    assert "its own test split, 1 images, is left out" in both.problems[-1].what


def test_a_class_that_was_never_learnt_is_refused_with_both_lists():
    with pytest.raises(ValueError, match=r"has the class 'emu', which arrays has not. arrays: a, b. arrays: a, emu"):
        data.joined(pair(["a", "b"]), pair(["a", "emu"]))
