"""A sub-folder a class is read as it lies there, whatever its files are called."""

import json
import os
import sys

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from seewhy.data import folder
from seewhy.types import Problem


def put(root, *paths, colour="red"):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), colour).save(file)
    return root


def codes(dataset):
    return sorted((problem.code, problem.where) for problem in dataset.problems)


def test_a_sub_folder_is_a_class_and_an_id_its_path(tmp_path):
    dataset = folder.open(put(tmp_path / "pets", "dog/2.png", "dog/10.jpg", "cat/deep/er/1.PNG"))
    assert dataset.name == "pets"
    assert dataset.ids == ("cat/deep/er/1.PNG", "dog/2.png", "dog/10.jpg")
    assert dataset.targets == ("cat", "dog", "dog")
    assert dataset.classes == ("cat", "dog")
    assert dataset.splits == ()
    assert dataset.problems == ()
    np.testing.assert_array_equal(dataset.pixels(1)[0, 0], [255, 0, 0])


def test_numbered_classes_stand_in_the_order_of_their_numbers(tmp_path):
    dataset = folder.open(put(tmp_path, "10/a.png", "2/a.png", "1/a.png", "b/a.png", "A/a.png"))
    assert dataset.classes == ("1", "2", "10", "A", "b")


def test_hostile_class_names_come_back_unharmed(tmp_path):
    names = [
        "=1+1",
        "<script>alert(1)<",
        "😀",
        "x" * 200,
        "con",
        "a,b;c",
        "'; DROP TABLE",
        "%2e%2e",
        "a\nb",
        "back\\slash",
    ]
    dataset = folder.open(put(tmp_path, *(f"{name}/1.png" for name in names)))
    assert set(dataset.classes) == set(names)
    assert [dataset.pixels(row).shape for row in range(len(names))] == [(3, 4, 3)] * len(names)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not text")
def test_names_that_are_no_text_become_text_that_is_unique(tmp_path):
    for name in (b"caf\xe9", b"caf\xc3\xa9", rb"caf\udce9"):
        (tmp_path / os.fsdecode(name)).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / os.fsdecode(name) / "\udcff.png")
    dataset = folder.open(tmp_path)
    assert sorted(dataset.classes) == sorted([r"caf\udce9", "café", r"caf\\udce9"])
    assert len(set(dataset.ids)) == 3
    json.dumps(dataset.ids).encode("utf-8")
    pa.array(dataset.ids + dataset.classes)
    assert dataset.pixels(2).shape == (2, 2, 3)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "Testing"), ("TRAIN", "dev", "test")]
)
def test_splits_may_stand_above_the_classes(tmp_path, names):
    train, val, test = names
    dataset = folder.open(
        put(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{val}/cat/1.png", f"{test}/cat/1.png")
    )
    assert dict(zip(dataset.ids, dataset.splits, strict=True)) == {
        f"{train}/cat/1.png": "train",
        f"{train}/dog/1.png": "train",
        f"{val}/cat/1.png": "val",
        f"{test}/cat/1.png": "test",
    }
    assert dataset.classes == ("cat", "dog")  # that the test has no dog moves nothing


def test_a_class_may_be_called_train(tmp_path):
    dataset = folder.open(put(tmp_path, "train/1.png", "bus/1.png", "train/steam/1.png"))
    assert dataset.classes == ("bus", "train")
    assert dataset.splits == ()


def test_splits_beside_classes_are_ambiguous(tmp_path):
    put(tmp_path, "train/cat/1.png", "test/cat/1.png", "zebra/1.png")
    with pytest.raises(ValueError, match=r"has the splits 'test', 'train' and beside them 'zebra'.*class or a split\?"):
        folder.open(tmp_path)


def test_images_beside_the_classes_have_no_label(tmp_path):
    dataset = folder.open(put(tmp_path, "cat/1.png", "stray.png"))
    assert dict(zip(dataset.ids, dataset.targets, strict=True)) == {"cat/1.png": "cat", "stray.png": None}
    split = folder.open(put(tmp_path / "kaggle", "train/cat/1.png", "test/1.png"))
    assert dict(zip(split.ids, split.targets, strict=True)) == {"train/cat/1.png": "cat", "test/1.png": None}
    assert split.splits == ("test", "train")


def test_what_is_no_image_is_named_and_hidden_things_are_no_class(tmp_path):
    put(tmp_path, "cat/1.png", ".ipynb_checkpoints/1.png", "__MACOSX/cat/._1.png", "cat/._1.png", "@eaDir/1.png")
    (tmp_path / "cat" / "notes.txt").write_text("four")
    (tmp_path / "Thumbs.db").write_bytes(b"123")
    dataset = folder.open(tmp_path)
    assert dataset.ids == ("cat/1.png",)
    assert dataset.classes == ("cat",)
    assert {where for code, where in codes(dataset) if code == "hidden"} == {
        ".ipynb_checkpoints",
        "__MACOSX",
        "cat/._1.png",
        "@eaDir",
        "Thumbs.db",
    }
    assert Problem("not-an-image", "cat/notes.txt", "its ending is not that of an image", 4) in dataset.problems


def test_an_empty_class_is_named_and_is_no_class(tmp_path):
    put(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "emu" / "inside").mkdir(parents=True)
    dataset = folder.open(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert codes(dataset) == [("empty-class", "emu")]


def test_a_class_that_is_empty_in_one_split_is_named_there(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    (tmp_path / "test" / "dog").mkdir()
    dataset = folder.open(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert codes(dataset) == [("empty-class", "test/dog")]


def test_classes_that_look_alike_are_named(tmp_path):
    dataset = folder.open(put(tmp_path, "cat/1.png", "Cat /1.png", "caf\u00e9/1.png", "cafe\u0301/1.png", "dog/1.png"))
    assert len(dataset.classes) == 5
    assert [problem.code for problem in dataset.problems] == ["alike-classes"] * 2
    assert any("look alike but count as 2" in problem.what for problem in dataset.problems)


def test_a_folder_around_the_classes_is_pointed_out(tmp_path):
    dataset = folder.open(put(tmp_path, "photos/cat/1.png", "photos/dog/1.png"))
    assert dataset.classes == ("photos",)
    (problem,) = dataset.problems
    assert problem.code == "one-class"
    assert str(tmp_path / "photos") in problem.what


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_once_and_circles_end(tmp_path):
    put(tmp_path / "elsewhere", "1.png")
    put(tmp_path / "photos", "cat/1.png")
    root = tmp_path / "photos"
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "home").symlink_to(tmp_path)
    (root / "again").symlink_to(root / "cat")
    (root / "self").symlink_to(root / "self")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "cat" / "pipe.png")
    dataset = folder.open(root)
    assert dataset.ids == ("cat/1.png", "dog/1.png")
    assert codes(dataset) == [
        ("linked-twice", "again"),
        ("linked-twice", "cat/home"),
        ("linked-twice", "cat/up"),
        ("no-file", "cat/gone.png"),
        ("no-file", "cat/pipe.png"),
        ("no-file", "self"),
    ]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ([], "holds no image but nothing"),
        (
            ["notes.txt"],
            r"holds no image but 1 other files or folders, such as 'notes.txt'. Expected one sub-folder a class",
        ),
        (["a/b/"], "holds no image but only empty folders, such as 'a'"),
        (["1.png", "2.png"], r"holds 2 images, such as '1.png', but none in a sub-folder.*metadata.csv"),
    ],
)
def test_a_folder_without_classes_is_refused_in_words(tmp_path, paths, words):
    for path in paths:
        if path.endswith("/"):
            (tmp_path / path).mkdir(parents=True)
        elif path.endswith(".png"):
            put(tmp_path, path)
        else:
            (tmp_path / path).write_text("text")
    with pytest.raises(ValueError, match=words):
        folder.open(tmp_path)


def test_a_file_that_goes_missing_is_an_error_in_words(tmp_path):
    dataset = folder.open(put(tmp_path, "cat/1.png"))
    (tmp_path / "cat" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"'cat/1.png' cannot be read: No such file"):
        dataset.pixels(0)
