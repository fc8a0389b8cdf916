"""The scan finds what was planted, in pictures that are photos, drawings or noise, and nothing ends it."""

import io
import os
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from seewhy import data, scanning
from seewhy.types import Problem, Progress

REAL = Path(os.environ.get("SEEWHY_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def finish(progress):
    """All that a scan tells, and its result."""
    told = []
    while True:
        try:
            told.append(next(progress))
        except StopIteration as end:
            return told, end.value


def scan(dataset, threads=2):
    return finish(scanning.scan(dataset, threads=threads))[1]


def photo(seed, side=64):
    """Soft shapes with edges, as photos have; no two seeds are alike."""
    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.normal(size=(side, side, 3)), (3, 3, 0.5))
    grey = gaussian_filter(generator.normal(size=(side, side, 1)), (5, 5, 0))
    pixels = field / field.std() * 25 + grey / grey.std() * 45 + 128
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def again(image, kind="JPEG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return Image.open(buffer).convert("RGB")


def opened(images, labels=None, **more):
    return data.open({"images": list(images), "labels": list(labels or ["a"] * len(images)), **more})


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
    dataset = replace(opened([photo(0)]), problems=(Problem("empty-class", "emu", "no image"),))
    assert scan(dataset).problems == dataset.problems


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


@pytest.mark.parametrize("side", [28, 64, 200])
def test_one_picture_stored_otherwise_is_near_and_different_ones_are_not(side):
    originals = [photo(seed, side) for seed in range(40)]
    bright = Image.fromarray((np.asarray(originals[2]) * 0.8 + 20).astype(np.uint8))
    noise = np.random.default_rng(0).normal(0, 4, (side, side, 3))
    noisy = Image.fromarray(np.clip(np.asarray(originals[3]) + noise, 0, 255).astype(np.uint8))
    small = originals[4].resize((side * 4 // 5,) * 2, Image.Resampling.BILINEAR)
    copies = [again(originals[0], quality=60), again(originals[1], quality=90), bright, noisy, small]
    found = scan(opened([*originals, *copies]))
    assert found.same == ()
    assert found.near == tuple((str(row), str(40 + row)) for row in range(5))


def test_near_ones_are_grouped_through_others_and_copies_are_counted_once():
    series = [photo(0)]
    for step in range(1, 4):
        series.append(again(series[-1].resize((64 - step, 64 - step)), quality=80))
    found = scan(opened([*series, photo(9), series[0]]))
    assert found.same == (("0", "5"),)
    assert found.near == (("0", "1", "2", "3"),)


def test_another_colour_is_another_picture():
    shape = np.asarray(photo(0).convert("L")).astype(float)
    red, green = (
        np.clip(shape[:, :, None] * weights, 0, 255).astype(np.uint8) for weights in ((1, 0.2, 0.2), (0.4, 0.9, 0.2))
    )
    assert scan(opened([red, green])).near == ()


def test_images_without_edges_are_never_near():
    flat = [np.full((40, 40, 3), value, np.uint8) for value in (0, 1, 2, 128, 255)]
    assert scan(opened(flat)).near == ()


def test_simple_drawings_are_not_chained():
    """One square each, a little further on each time: neighbours are alike, yet every one is its own drawing."""
    drawings = []
    for place in range(30):
        canvas = np.zeros((32, 32, 3), np.uint8)
        canvas[10:20, 1 + place // 2 : 11 + place // 2] = 255 - place
        drawings.append(canvas)
    assert max(map(len, scan(opened(drawings)).near), default=0) <= 2


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


def test_the_order_of_the_files_changes_no_group(mixed):
    content = {id: mixed.content(row) for row, id in enumerate(mixed.ids)}
    there, back = scan(mixed), scan(mixed.subset(range(len(mixed))[::-1]))
    assert {frozenset(group) for group in there.same} == {frozenset(group) for group in back.same}
    near = [{frozenset(map(content.get, group)) for group in found.near} for found in (there, back)]
    assert near[0] == near[1]


def test_few_large_and_many_small_steps_find_the_same(mixed, monkeypatch):
    expected = scan(mixed).near
    assert len(expected) == 10
    for name, value in (("TILE", (3, 5)), ("DENSE", 1), ("MANY", 1), ("CHUNK", 1)):
        monkeypatch.setattr(scanning, name, value)
        assert scan(mixed).near == expected


def shapes_of(images):
    small = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in images])
    return small, scanning._shapes(np.arange(len(small)), small, np.full(len(small), 1024.0))


def test_the_likeness_is_the_correlation_of_gradients():
    """A slow twin on images that hold only the frequencies that are kept, so that nothing is lost."""
    generator = np.random.default_rng(0)
    small = np.einsum("ku,nkl,lv->nuv", scanning.COSINES, generator.normal(size=(6, 16, 16)) * 40, scanning.COSINES)
    small = np.repeat((small + 128)[..., None], 3, 3)
    shapes = scanning._shapes(np.arange(6), small, np.full(6, 1024.0))
    grey = small[..., 0]
    for first in range(6):
        for second in range(6):
            gradients = [
                np.concatenate([np.diff(grey[row], axis=axis).ravel() for axis in (0, 1)]) for row in (first, second)
            ]
            expected = gradients[0] @ gradients[1] / np.linalg.norm(gradients[0]) / np.linalg.norm(gradients[1])
            found = shapes.waves[first].astype(float) @ shapes.waves[second].astype(float)
            assert found == pytest.approx(expected, abs=2e-3)


def test_near_pairs_are_those_that_the_formula_names(mixed):
    """A slow twin: every pair, one after the other, as the page's head defines it, without the search by signs."""
    _, shapes = shapes_of([Image.fromarray(mixed.pixels(row)) for row in range(44)])
    expected = set()
    for first in range(44):
        for second in range(first):
            r = float(shapes.waves[first].astype(float) @ shapes.waves[second].astype(float))
            places = min(shapes.places[first], shapes.places[second])
            hue = np.abs(shapes.hues[first] - shapes.hues[second]).max()
            if r >= 0.7 and np.arctanh(min(r, 0.9999999)) * np.sqrt(places) >= 22 and hue <= 24:
                expected |= {first, second}
    assert expected == {int(id) for group in scan(mixed).near for id in group}


def test_an_image_seen_in_fewer_pixels_counts_for_less():
    small = np.stack([np.asarray(photo(0, 32))] * 2)
    shapes = scanning._shapes(np.arange(2), small, np.array([64.0, 10_000.0]))
    assert shapes.places[0] == pytest.approx(shapes.places[1] / 16, rel=1e-4)


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
