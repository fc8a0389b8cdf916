"""Images cut into cells and into superpixels."""

from __future__ import annotations

import pytest
import torch

from seewhy.passes.segments import Segments, cells


def test_a_grid_has_cells_of_equal_size_where_it_can() -> None:
    grid = Segments(2, 3).of(torch.zeros(5, 3, 4, 9))
    assert grid.shape == (1, 4, 9)
    assert grid.flatten().bincount().tolist() == [6] * 6
    assert grid[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert cells(7, 7, 10, 10).unique().tolist() == list(range(49))


def test_superpixels_follow_an_edge_that_the_grid_crosses() -> None:
    image = torch.zeros(1, 3, 24, 24)
    image[:, :, :, 10:] = 1  # the grid's cells end at 8 and 16
    found = Segments(3, 3, "superpixels").of(image)[0]
    left, right = (set(part.unique().tolist()) for part in (found[:, :10], found[:, 10:]))
    assert not left & right
    grid = Segments(3, 3).of(image)[0]
    assert set(grid[:, :10].unique().tolist()) & set(grid[:, 10:].unique().tolist())


def test_superpixels_of_an_even_image_and_of_great_compactness_are_the_grid() -> None:
    noise = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    grid = Segments(5, 5).of(noise).expand(2, -1, -1)
    assert torch.equal(Segments(5, 5, "superpixels").of(torch.full_like(noise, 0.4)), grid)
    assert torch.equal(Segments(5, 5, "superpixels", compactness=100.0).of(noise), grid)
    assert not torch.equal(Segments(5, 5, "superpixels").of(noise), grid)


def test_superpixels_stay_near_their_cell_and_know_nothing_of_other_images() -> None:
    noise = torch.rand(3, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    way = Segments(4, 5, "superpixels", compactness=0.01)
    found = way.of(noise)
    down, across = torch.arange(20) * 4 // 20, torch.arange(30) * 5 // 30
    assert ((found // 5 - down[:, None]).abs() <= 1).all()
    assert ((found % 5 - across).abs() <= 1).all()
    assert torch.equal(way.of(noise[[2]]), found[[2]])


def test_one_segment_is_too_few() -> None:
    with pytest.raises(ValueError, match="1 x 1 segments are too few; there must be two or more"):
        Segments(1, 1)
