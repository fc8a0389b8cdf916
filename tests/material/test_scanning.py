"""The scan finds what was planted, in pictures that are photos, drawings or noise, and nothing ends it."""

import os
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from photographed import again, finish, opened, photo, scan
from PIL import Image

from seewhy import data
from seewhy.material import scanning
from seewhy.types import Problem, Progress

REAL = Path(os.environ.get("SEEWHY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


# ----------------------------------------------------------------------------------------------------- broken files


@pytest.fixture
def damaged(tmp_path):
    """Two good images, and one of each kind of damage."""
    folder = tmp_path / "cat"
    folder.mkdir()
    photo(1).save(folder / "good.png")
    photo(2).save(folder / "good.jpg")
    whole = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not an image at all")
    (folder / "empty.png").write_bytes(b"")
    bomb = bytearray((folder / "good.png").read_bytes())
    bomb[16:24] = b"\0\0\xc0\0\0\0\xc0\0"  # 49,152 x 49,152 in the header, and its checksum
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "hidden.txt").write_text("notes")
    return tmp_path


def test_every_damage_is_named_and_ends_nothing(damaged):
    found = scan(data.open(damaged))
    codes = {problem.where: problem.code for problem in found.problems}
    assert codes == {
        "cat/bomb.png": "too-large",
        "cat/hidden.txt": "not-an-image",
        "cat/cut.jpg": "broken-image",
        "cat/text.jpg": "not-an-image",
        "cat/empty.png": "empty-file",
    }
    text = next(problem for problem in found.problems if problem.where == "cat/text.jpg")
    assert text.size == 19
    assert "'cat/text.jpg' is not an image" in text.what


def test_the_table_of_files_has_a_row_an_example(damaged):
    dataset = data.open(damaged)
    files = scan(dataset).files
    assert files.schema == scanning.FILE_COLUMNS
    rows = {row["id"]: row for row in files.to_pylist()}
    assert tuple(rows) == dataset.ids
    good, empty = rows["cat/good.png"], rows["cat/empty.png"]
    assert (good["width"], good["height"], good["target"], good["split"]) == (64, 64, "cat", None)
    assert good["bytes"] == (damaged / "cat" / "good.png").stat().st_size
    assert len(good["sha256"]) == 64
    assert (empty["width"], empty["height"], empty["bytes"]) == (None, None, 0)


def test_only_what_decodes_and_has_a_label_is_usable(damaged):
    photo(3).save(damaged / "stray.png")
    dataset = data.open(damaged)
    assert scanning.usable(dataset, scan(dataset)).ids == ("cat/good.jpg", "cat/good.png")


@dataclass(frozen=True)
class Moody:
    """A source of someone else's that raises whatever it likes."""

    def content(self, row):
        if row == 1:
            raise KeyError("no such thing")
        return bytes([row])

    def pixels(self, row):
        if row == 2:
            raise RuntimeError
        return np.zeros((4, 4, 3), np.uint8) if row != 3 else np.zeros((4, 4), np.uint8)

    def mask(self, row):
        return None


def test_whatever_a_source_raises_is_a_problem_of_its_row():
    dataset = replace(opened([photo(0)] * 5, ids=list("abcde")), source=Moody())
    found = scan(dataset)
    assert [(problem.where, problem.code) for problem in found.problems] == [(row, "broken-image") for row in "bcd"]
    assert [problem.what for problem in found.problems][:2] == ["'no such thing'", "RuntimeError"]
    assert found.same == (("a", "e"),)


def test_problems_of_the_opening_come_first():
    dataset = replace(opened([photo(0)] * 2), problems=(Problem("empty-class", "emu", "no image"),))
    assert scan(dataset).problems == dataset.problems


# ------------------------------------------------------------------------------------------------- labels and classes


def test_classes_too_small_to_learn_and_labels_that_are_not_there_are_named():
    dataset = opened([photo(seed) for seed in range(6)], ["a", "a", "a", "b", None, float("nan")], ids=list("uvwxyz"))
    dataset = replace(dataset, classes=("a", "b", "c", "d"))
    found = {problem.code: problem for problem in scan(dataset).problems}
    assert found["no-label"].where == "y"
    assert found["no-label"].what == "2 images, of which this is the first, have no label, so nothing is learnt from it"
    assert (found["one-image-class"].where, found["no-image-class"].where) == ("b", "c")
    assert found["no-image-class"].what == "no image can be used of 'c', 'd'"
    assert len(found) == 3


def test_a_class_of_broken_images_alone_has_none(damaged):
    (damaged / "dog").mkdir()
    (damaged / "dog" / "1.png").write_bytes(b"")
    assert [problem.where for problem in scan(data.open(damaged)).problems if problem.code == "no-image-class"] == [
        "dog"
    ]


def test_a_class_of_one_split_is_named_where_the_data_come_split():
    images = [photo(seed) for seed in range(7)]
    splits = ["train", "train", "test", "train", "train", "test", "test"]
    found = scan(opened(images, list("aaabbcc"), splits=splits)).problems
    assert [(problem.code, problem.where) for problem in found] == [("one-split-class", "b")]
    assert found[0].what == "all images are in one split, of 'b', 'c'"


def test_one_picture_with_two_labels_is_named():
    twin = photo(1)
    found = scan(opened([twin, photo(2), twin, photo(3), twin], list("abbac")))
    assert [(problem.code, problem.where) for problem in found.problems if problem.code == "two-labels"] == [
        ("two-labels", "0")
    ]
    assert found.problems[-1].what == "the same image as '2', '4', yet labelled 'a' and 'b' and 'c'"


def test_duplicates_are_counted_by_the_splits_and_classes_they_touch():
    images = [photo(seed) for seed in (1, 1, 1, 2, 2, 3, 4, 5)] + [again(photo(3), quality=70)]
    splits = ["train", "train", "test", "train", "train", "train", "test", "test", "test"]
    found = scanning.duplicates(scan(opened(images, list("aabccabba"), splits=splits)))
    assert sorted(found, key=str) == sorted(
        [
            {"kind": "same", "splits": ("test", "train"), "classes": ("a", "b"), "groups": 1, "images": 3},
            {"kind": "same", "splits": ("train",), "classes": ("c",), "groups": 1, "images": 2},
            {"kind": "near", "splits": ("test", "train"), "classes": ("a",), "groups": 1, "images": 2},
        ],
        key=str,
    )


def test_nothing_to_scan_is_no_error():
    dataset = opened([photo(0)]).subset([])
    found = scan(dataset)
    assert (len(found.files), found.same, found.near) == (0, (), ())
    assert len(scanning.usable(dataset, found)) == 0


# ------------------------------------------------------------------------------------------------ duplicates planted


def test_equal_files_and_equal_pixels_are_the_same(tmp_path):
    for name, kind in (("a/1.png", "PNG"), ("a/2.png", "PNG"), ("b/3.bmp", "BMP"), ("b/4.tif", "TIFF")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo(7).save(tmp_path / name, kind)
    photo(8).save(tmp_path / "a" / "other.png")
    photo(7).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a" / "turned.png")
    found = scan(data.open(tmp_path))
    assert found.same == (("a/1.png", "a/2.png", "b/3.bmp", "b/4.tif"),)
    assert found.near == ()


def test_equal_bytes_of_another_shape_are_another_image():
    flat = np.zeros((4, 6, 3), np.uint8)
    assert scan(opened([flat, flat.reshape(6, 4, 3), flat])).same == (("0", "2"),)


def test_images_of_8_x_8_are_the_same_or_they_are_not():
    base = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    nearly = base.copy()
    nearly[0, 0] ^= 1
    found = scan(opened([base, nearly, base]))
    assert (found.same, found.near) == ((("0", "2"),), ())


def test_no_two_of_the_digits_are_one():
    found = scan(data.open("digits"))
    assert (found.same, found.near, found.problems) == ((), (), ())


# -------------------------------------------------------------------------------------------------------- the method


@pytest.fixture(scope="module")
def mixed():
    """A data set with some of everything."""
    originals = [photo(seed) for seed in range(30)]
    copies = [again(image, quality=70) for image in originals[:8]] + [
        again(image, quality=40) for image in originals[4:10]
    ]
    return opened([*originals, *copies, originals[0], originals[29]])


def test_threads_change_nothing(mixed):
    one, four = scan(mixed, 1), scan(mixed, 4)
    assert (one.same, one.near, one.problems) == (four.same, four.near, four.problems)
    assert one.files.equals(four.files)


def test_the_number_of_children_and_how_much_they_are_handed_change_nothing(damaged, monkeypatch):
    for number in range(9):
        photo(100 + number % 5).save(damaged / "cat" / f"more {number}.png")
    dataset = data.open(damaged)
    expected = scan(dataset, 1)
    monkeypatch.setattr(scanning, "EACH_CHILD", 1)
    for chunk, size in ((1, 10), (5, 20_000)):
        monkeypatch.setattr(scanning, "CHUNK", chunk)
        monkeypatch.setattr(scanning, "BYTES", size)
        found = scan(dataset, 3)
        assert found.files.equals(expected.files)
        assert (found.problems, found.same, found.near, found.quarantine) == (
            expected.problems, expected.same, expected.near, expected.quarantine,
        )  # fmt: skip
    assert len(expected.same) == 4


def test_the_order_of_the_files_changes_no_group(mixed):
    content = {id: mixed.content(row) for row, id in enumerate(mixed.ids)}
    there, back = scan(mixed), scan(mixed.subset(range(len(mixed))[::-1]))
    assert {frozenset(group) for group in there.same} == {frozenset(group) for group in back.same}
    near = [{frozenset(map(content.get, group)) for group in found.near} for found in (there, back)]
    assert near[0] == near[1]


def test_progress_runs_to_its_end(mixed):
    told, _ = finish(scanning.scan(mixed, threads=2))
    assert all(isinstance(progress, Progress) for progress in told)
    for stage in ("scan", "compare"):
        done = [progress.done for progress in told if progress.stage == stage]
        assert done == sorted(done)
    assert [progress.done for progress in told if progress.stage == "scan"][-1] == len(mixed)


def test_a_scan_that_is_given_up_leaves_no_thread(mixed):
    before = threading.active_count()
    progress = scanning.scan(mixed, threads=3)
    next(progress)
    progress.close()
    assert threading.active_count() == before


# ------------------------------------------------------------------------------------------------------- real data


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "brain_mri").is_dir(), reason="the brain MRI slices are not here")
def test_slices_of_one_head_are_found():
    dataset = data.open(REAL / "brain_mri" / "train.parquet")
    found = scan(dataset)
    assert sum(map(len, found.same)) == 176
    targets = dict(zip(dataset.ids, dataset.targets, strict=True))
    assert all(len({targets[id] for id in group}) == 1 for group in (*found.same, *found.near))
    assert 900 < sum(map(len, found.near)) < 1300
    assert max(map(len, found.near)) < 20


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="MNIST is not here")
def test_different_ones_of_mnist_are_not_chained():
    found = scan(data.open(REAL / "mnist" / "test.parquet"))
    assert found.same == ()
    assert sum(map(len, found.near)) < 20
