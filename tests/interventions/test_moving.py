"""Where things go when an image is moved, mirrored, turned, scaled, cut or shuffled."""

from __future__ import annotations

import math

import pytest
import torch

from seewhy.interventions import Change
from seewhy.types import Batch, Boxes

IMAGE = torch.rand(4, 3, 21, 30, generator=torch.Generator().manual_seed(0))


def batch_of(image: torch.Tensor = IMAGE, box: tuple[float, ...] = (4.0, 5.0, 12.0, 9.0)) -> Batch:
    boxes = Boxes(torch.tensor([box]), ("thing",))
    return Batch(tuple("abcd"), {"image": image}, torch.zeros(4, dtype=torch.int64), boxes=(boxes,) * 4)


def after(name: str, strength: float | None = None, batch: Batch | None = None, **settings: object) -> Batch:
    return Change(name, strength, tuple(settings.items())).apply(batch or batch_of(), seed=0)


def test_a_translation_moves_whole_pixels_and_goes_on_as_in_a_mirror():
    moved = after("translate", 0.1, towards="down right")  # 3 pixels of 30
    image = moved.inputs["image"]
    assert torch.equal(image[:, :, 3:, 3:], IMAGE[:, :, :-3, :-3])
    assert torch.equal(image[:, :, :3, 3:], IMAGE[:, :, :3, :-3].flip(2))
    assert moved.boxes[0].corners.tolist() == [[7, 8, 15, 12]]
    out = after("translate", 0.5, towards="left")
    assert out.boxes[0].corners.tolist() == [[0, 5, 0, 9]]


def test_a_flip_is_its_own_inverse_and_the_box_goes_along():
    for along, corners in (("horizontal", [18, 5, 26, 9]), ("vertical", [4, 12, 12, 16])):
        once = after("flip", along=along)
        assert once.boxes[0].corners.tolist() == [corners]
        assert torch.equal(after("flip", batch=once, along=along).inputs["image"], IMAGE)


def test_a_quarter_turn_is_a_quarter_turn_one_way_or_the_other():
    square = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    turned = after("rotate", 90, batch_of(square)).inputs["image"]
    ways = {
        next((way for way in (1, -1) if torch.allclose(each, torch.rot90(image, way, (1, 2)), atol=1e-4)), 0)
        for each, image in zip(turned, square, strict=True)
    }
    assert 0 not in ways
    sides = after("rotate", 90, batch_of(square)).boxes[0].corners[0]
    assert (sides[2] - sides[0], sides[3] - sides[1]) == (pytest.approx(4, abs=1e-4), pytest.approx(8, abs=1e-4))


def test_a_plane_of_levels_is_scaled_about_its_middle():
    down, right = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    plane = torch.stack([down, right, down + right]) / 40
    scaled = after("scale", 0.25, batch_of(plane.expand(4, -1, -1, -1).contiguous())).inputs["image"]
    assert torch.allclose(scaled[0, 1], (10 + (right - 10) / 1.25) / 40, atol=1e-5)
    corners = after("scale", 0.25, batch_of(plane.expand(4, -1, -1, -1).contiguous())).boxes[0].corners
    assert torch.allclose(corners, torch.tensor([[2.5, 3.75, 12.5, 8.75]]))


def test_a_border_goes_and_what_is_inside_stays():
    for into in ("mirrored", "plain"):
        image = after("border_crop", 0.1, into=into).inputs["image"]
        assert torch.equal(image[:, :, 2:-2, 3:-3], IMAGE[:, :, 2:-2, 3:-3])
    other = IMAGE.clone()
    other[:, :, :2], other[:, :, :, -3:] = 1, 0
    for into in ("mirrored", "plain"):
        cut = (after("border_crop", 0.1, batch_of(image), into=into).inputs["image"] for image in (IMAGE, other))
        assert torch.equal(*cut)
    with pytest.raises(ValueError, match="has strength 0.5; it must lie between 0 and 0.5"):
        after("border_crop", 0.5)


def test_shuffled_cells_are_the_same_pixels_and_none_is_where_it_was():
    places = torch.arange(21 * 30).float().view(1, 1, 21, 30).expand(4, 3, -1, -1) / (21 * 30)
    shuffled = after("patch_shuffle", 4, batch_of(places.contiguous())).inputs["image"]
    assert torch.equal(shuffled.flatten(2).sort(2).values, places.flatten(2))
    assert (shuffled[:, :, :20, :28] != places[:, :, :20, :28]).all()  # 4 x 4 cells of 5 x 7 pixels
    assert torch.equal(shuffled[:, :, 20:], places[:, :, 20:])
    assert torch.equal(shuffled[:, :, :, 28:], places[:, :, :, 28:])
    cell = shuffled[0, 0, :5, :7] * 630
    assert torch.allclose(cell - cell[0, 0], places[0, 0, :5, :7] * 630, atol=1e-3)
    assert not torch.equal(shuffled[0], shuffled[1])


def test_no_strength_is_no_change():
    for name in ("translate", "flip", "rotate", "scale", "border_crop", "cover", "object", "mark_on", "mark_off"):
        assert torch.equal(after(name, 0).inputs["image"], IMAGE), name
    assert torch.equal(after("patch_shuffle", 1).inputs["image"], IMAGE)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("flip", {"along": "diagonal"}, "An image is flipped along 'horizontal' or 'vertical', not 'diagonal'"),
        ("translate", {"towards": "north"}, "There is no direction 'north'; there are: any, right"),
        ("mark_on", {"corner": "uper left"}, "There is no corner 'uper left'. Did you mean 'upper left'?"),
        ("mark_on", {"colour": "whit"}, "No mark is 'whit'. Did you mean 'white'?"),
        ("mark_on", {"size": 2.0}, "A square of 2 of the side, 0.03125 from the corner, does not fit"),
        ("cover", {"row": 4}, r"There is no cell \(4, None\) in 4 x 4 of them; they count from 0"),
        ("cover", {"fill": "blu"}, "No filling 'blu'. Did you mean 'blur'?"),
        ("border_crop", {"into": "gone"}, "A border is changed into 'mirrored', 'plain' or 'scaled', not 'gone'"),
    ],
)
def test_what_cannot_be_is_said(name, settings, words):
    with pytest.raises(ValueError, match=words):
        after(name, **settings)


def test_a_turn_of_a_wide_image_keeps_its_shapes():
    """A disc stays a disc: angles and lengths are those of pixels, whatever the sides are."""
    down, right = torch.meshgrid(torch.arange(21) - 10.0, torch.arange(30) - 14.5, indexing="ij")
    disc = (down.square() + right.square() < 49).float().expand(4, 3, -1, -1).contiguous()
    turned = after("rotate", 37, batch_of(disc)).inputs["image"]
    assert turned.sum() == pytest.approx(4 * 3 * math.pi * 49, rel=0.02)
    assert (turned - disc).abs().mean() < 0.02
