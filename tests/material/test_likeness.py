"""One picture stored otherwise is found, and different ones are not, by the rule that the page's head gives."""

import numpy as np
import pytest
from photographed import again, opened, photo, scan
from PIL import Image

from seewhy.material import likeness, scanning


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


# -------------------------------------------------------------------------------------------------------- the method


@pytest.fixture(scope="module")
def mixed():
    """A data set with some of everything."""
    originals = [photo(seed) for seed in range(30)]
    copies = [again(image, quality=70) for image in originals[:8]] + [
        again(image, quality=40) for image in originals[4:10]
    ]
    return opened([*originals, *copies, originals[0], originals[29]])


def test_few_large_and_many_small_steps_find_the_same(mixed, monkeypatch):
    expected = scan(mixed).near
    assert len(expected) == 10
    for name, value in (("TILE", (3, 5)), ("DENSE", 1), ("MANY", 1), ("CHUNK", 1)):
        monkeypatch.setattr(scanning if name == "CHUNK" else likeness, name, value)
        assert scan(mixed).near == expected


def shapes_of(images):
    small = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in images])
    return small, likeness.shapes_of(np.arange(len(small)), small, np.full(len(small), 1024.0))


def test_the_likeness_is_the_correlation_of_gradients():
    """A slow twin on images that hold only the frequencies that are kept, so that nothing is lost."""
    generator = np.random.default_rng(0)
    small = np.einsum("ku,nkl,lv->nuv", likeness.COSINES, generator.normal(size=(6, 16, 16)) * 40, likeness.COSINES)
    small = np.repeat((small + 128)[..., None], 3, 3)
    shapes = likeness.shapes_of(np.arange(6), small, np.full(6, 1024.0))
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


def test_a_mirrored_copy_is_near_and_a_picture_that_was_turned_over_is_not():
    originals = [photo(seed) for seed in range(12)]
    mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in originals[:3]]
    stored = again(originals[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=70)
    over = originals[4].transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    found = scan(opened([*originals, *mirrored, stored, over]))
    assert found.same == ()
    assert found.near == (("0", "12"), ("1", "13"), ("2", "14"), ("3", "15"))


def test_a_mirror_changes_the_signs_that_are_said_to_change():
    _, there = shapes_of([photo(seed) for seed in range(5)])
    _, back = shapes_of([photo(seed).transpose(Image.Transpose.FLIP_LEFT_RIGHT) for seed in range(5)])
    np.testing.assert_allclose(back.waves.astype(float), there.waves.astype(float) * likeness.MIRROR, atol=2e-3)
    differing = np.bitwise_count(back.signs ^ likeness._MIRRORED_SIGNS ^ there.signs).sum()
    assert differing <= 2  # of 640, where a frequency is nearly 0


def test_an_image_seen_in_fewer_pixels_counts_for_less():
    small = np.stack([np.asarray(photo(0, 32))] * 2)
    shapes = likeness.shapes_of(np.arange(2), small, np.array([64.0, 10_000.0]))
    assert shapes.places[0] == pytest.approx(shapes.places[1] / 16, rel=1e-4)
