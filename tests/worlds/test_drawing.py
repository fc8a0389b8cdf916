"""What is drawn is where it should be, as large as it should be, and nothing of it is cut off."""

import math

import numpy as np
import pytest

from seewhy.worlds import drawing

SIDE = 64


def poses(count=40, side=SIDE):
    """Random places within what a world uses: x, y, radius, turn."""
    random = np.random.default_rng(0).uniform(-1, 1, (count, 4))
    radius = drawing.RADIUS * side
    return random * [drawing.SHIFT * side, drawing.SHIFT * side, drawing.STRETCH * radius, drawing.TURN] + [
        side / 2,
        side / 2,
        radius,
        0,
    ]


@pytest.mark.parametrize("name", drawing.SHAPES)
def test_every_shape_has_the_area_of_a_disc(name):
    place = poses()
    covered = drawing.coverage(SIDE, np.full(len(place), drawing.SHAPES.index(name)), place)
    np.testing.assert_allclose(covered.sum((1, 2)), math.pi * place[:, 2] ** 2, rtol=0.015)


def inside(name, x, y, place):
    """Whether points lie in the shape, written again: turned back, then by its plainest definition."""
    middle_x, middle_y, radius, turn = place
    point = ((x - middle_x) + 1j * (y - middle_y)) * np.exp(-1j * turn)
    right, below = point.real / radius, point.imag / radius
    area = math.pi
    if name == "disc":
        return right**2 + below**2 <= 1
    if name == "square":
        return np.maximum(abs(right), abs(below)) <= math.sqrt(area) / 2
    if name == "cross":  # five squares with the area of the disc
        edge = math.sqrt(area / 5)
        long, short = 1.5 * edge, 0.5 * edge
        return ((abs(right) <= long) & (abs(below) <= short)) | ((abs(right) <= short) & (abs(below) <= long))
    edge = math.sqrt(4 * area / math.sqrt(3))
    height = edge * math.sqrt(3) / 2
    from_top = below + 2 * height / 3
    return (from_top >= 0) & (from_top <= height) & (abs(right) <= from_top / math.sqrt(3))


@pytest.mark.parametrize("name", drawing.SHAPES)
def test_coverage_is_the_share_of_the_pixel_that_lies_in_the_shape(name):
    place = poses(6)
    covered = drawing.coverage(SIDE, np.full(len(place), drawing.SHAPES.index(name)), place)
    fine = (np.arange(SIDE * 8) + 0.5) / 8
    for row, one in enumerate(place):
        points = inside(name, fine[None, :], fine[:, None], one)
        share = points.reshape(SIDE, 8, SIDE, 8).mean((1, 3))
        assert np.abs(covered[row] - share).mean() < 0.003
        assert (covered[row][share == 1] > 0.5).all()
        assert (covered[row][share == 0] < 0.5).all()


@pytest.mark.parametrize("side", [24, 32, 100])
def test_no_shape_reaches_the_border_or_the_mark_however_it_lies(side):
    radius = drawing.RADIUS * side
    reach = [drawing.SHIFT * side, drawing.SHIFT * side, drawing.STRETCH * radius, drawing.TURN]
    ends = np.array(np.meshgrid(*[[-1, 0, 1]] * 4)).reshape(4, -1).T
    place = ends * reach + [side / 2, side / 2, radius, 0]
    rows, columns = drawing.mark_at(side)
    for number in range(len(drawing.SHAPES)):
        covered = drawing.coverage(side, np.full(len(place), number), place)
        assert covered[:, rows, columns].max() == 0
        covered[:, drawing.EDGE : -drawing.EDGE, drawing.EDGE : -drawing.EDGE] = 0
        assert covered.max() == 0


def test_a_box_lies_closely_around_its_shape():
    place = poses()
    for number in range(len(drawing.SHAPES)):
        shape = np.full(len(place), number)
        for (left, top, right, bottom), covered in zip(
            drawing.boxes(shape, place), drawing.coverage(SIDE, shape, place), strict=True
        ):
            down, across = np.nonzero(covered >= 0.5)
            np.testing.assert_allclose(
                [left, top, right, bottom], [across.min(), down.min(), across.max() + 1, down.max() + 1], atol=1.6
            )


def test_colours_of_a_kind_are_equally_bright():
    for table in (drawing.COLOURS, drawing.BACKGROUNDS):
        luma = [0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in table.values()]
        assert max(luma) - min(luma) < 8


def test_nothing_is_cut_off_at_the_most_clutter_and_grain():
    most = drawing.MOST_CLUTTER * math.sqrt(2 * drawing.WAVES)  # all waves at their crest
    tint = np.array(list(drawing.TINTS.values()))
    for table, extra in ((drawing.COLOURS, 0), (drawing.BACKGROUNDS, most)):
        levels = np.array(list(table.values()))[:, None] + tint
        assert levels.max() + extra + drawing.MOST_GRAIN < 255
        assert levels.min() - extra - drawing.MOST_GRAIN > 0
