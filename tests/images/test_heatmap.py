import numpy as np
import pytest

from seewhy.images import heatmap
from seewhy.types import Explanation


def noise(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_few_pixels_are_enlarged_as_squares_and_many_are_made_small():
    few = noise(8, 0)
    assert np.array_equal(heatmap.fitted(few, 96)[::12, ::12], few)
    assert max(heatmap.fitted(noise(300, 0), 96).shape) == 96


def test_heat_colours_where_it_is_and_leaves_the_rest_grey():
    heat = np.zeros((96, 96), np.float32)
    heat[20:30, 60:70] = 3.0
    drawn = heatmap.overlay(np.full((96, 96, 3), 90, np.uint8), heat, side=96, signed=False).astype(int)
    spread = drawn.max(2) - drawn.min(2)
    assert spread[25, 65] > 60
    assert spread[70:, :40].max() <= 1


def test_heat_for_and_against_differ_in_colour():
    heat = np.zeros((96, 96), np.float32)
    heat[:, :30], heat[:, 60:] = -1.0, 1.0
    drawn = heatmap.overlay(None, heat, side=96, signed=True).astype(int)
    against, neither, speaks_for = drawn[48, 10], drawn[48, 45], drawn[48, 80]
    assert against[2] > against[0] + 60
    assert speaks_for[0] > speaks_for[2] + 60
    assert np.ptp(neither) <= 1


@pytest.mark.parametrize("heat", [np.zeros((8, 8)), np.full((8, 8), np.nan), np.full((8, 8), np.inf)])
def test_heat_that_says_nothing_is_grey(heat):
    drawn = heatmap.overlay(noise(8, 0), heat.astype(np.float32), side=96, signed=False).astype(int)
    assert (drawn.max(2) - drawn.min(2)).max() <= 1


def test_heat_of_another_cut_is_drawn_without_the_image():
    wide = noise(96, 0)[:48]
    drawn = heatmap.overlay(wide, np.zeros((96, 96), np.float32), side=96, signed=False)
    assert drawn.shape == (96, 96, 3)
    assert drawn.std() == 0
    assert heatmap.same_shape(np.zeros((64, 96, 3), np.uint8), np.zeros((149, 224)))


def test_only_what_speaks_against_makes_a_method_signed():
    def of(heat: np.ndarray) -> Explanation:
        return Explanation("a", "q", "m", {"image": heat})

    assert not heatmap.is_signed([of(np.array([[0.0, 1.0]])), of(np.array([[-1e-9, 1.0]]))])
    assert heatmap.is_signed([of(np.array([[0.0, 1.0]])), of(np.array([[-0.2, 1.0]]))])
    assert not heatmap.is_signed([of(np.full((2, 2), np.nan))])


def test_more_heat_is_always_lighter():
    luminance = heatmap.colours(np.linspace(0, 1, 64), signed=False) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_the_common_grid_keeps_the_mean_and_equals_a_slow_twin():
    random = np.random.default_rng(0)
    for height, width in ((32, 48), (16, 16), (8, 8), (7, 30)):
        heat = random.random((height, width)).astype(np.float32)
        grid = heatmap.on_grid(heat)
        assert grid.mean() == pytest.approx(heat.mean(), rel=1e-6)
        fine = np.repeat(np.repeat(heat, 16, 0), 16, 1)  # each pixel 16 x 16: every cell is a whole number of them
        twin = fine.reshape(16, height, 16, width).mean((1, 3))
        assert grid == pytest.approx(twin, rel=1e-5)
