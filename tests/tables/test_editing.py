"""A network that reads one corner: the change that is found lies there, one cell is enough, and pixels stay pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seewhy import hooks
from seewhy.tables import _editing
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Preprocessing, finished

SIDE, CORNER = 24, 8
TASK = Classify(("dark", "light"), Preprocessing((SIDE, SIDE)))


class ReadsCorner(nn.Module):
    """Light where the mean of the upper right corner is above one half; nothing else matters."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-8.0], [8.0]]))
            self.head.bias.copy_(torch.tensor([4.0, -4.0]))

    def forward(self, image):
        return self.head(image[:, :, :CORNER, -CORNER:].mean((1, 2, 3))[:, None])


def images(*corners: float) -> torch.Tensor:
    """Grey noise, with corners of these levels; all of 256 levels."""
    noise = torch.rand(len(corners), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for row, level in enumerate(corners):
        noise[row, :, :CORNER, -CORNER:] = level
    return noise.mul(255).round().div(255)


def wanting(*targets: int, corners: tuple[float, ...]) -> Batch:
    """Images with those corners, which are to be answered so."""
    return Batch(tuple(map(str, range(len(targets)))), {"image": images(*corners)}, torch.tensor(targets))


BATCH = wanting(1, 0, corners=(0.2, 0.8))


def swapped(batch, donors, **how):
    network = ReadsCorner()
    with hooks.frozen(network):
        return finished(_editing.swapped(network, batch, donors, TASK.logodds_true, **how))


def test_one_cell_is_swapped_and_it_is_the_right_one():
    found = swapped(BATCH, images(0.8, 0.2), cells=3)
    assert found.cells == ((2,), (2,))
    assert found.found.all()
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[:CORNER, -CORNER:] = True
    assert torch.equal((found.images != BATCH.inputs["image"]).any(1), inside.expand(2, -1, -1))
    assert (found.pixels(BATCH.inputs["image"]) == 1 / 9).all()


def test_a_corner_of_four_cells_takes_as_many_as_it_needs_and_none_outside():
    found = swapped(BATCH, images(0.7, 0.3), cells=6)  # from .2 to more than .5: three quarters of the corner and more
    assert all(set(cells) <= {4, 5, 10, 11} for cells in found.cells)
    assert [len(cells) for cells in found.cells] == [3, 3]
    assert found.passes == 2 * (1 + 36 + 35 + 34 + 2)  # the image, three steps, and two cells put back in vain


def test_a_cell_that_has_lost_its_use_is_put_back():
    class Pairs(nn.Module):
        """Light by cell 0 a little; by cells 1 and 2 together for certain: greedy takes 0 first, and does not need it."""

        def forward(self, image):
            first, second, third = (image[:, 0, 0, column] for column in range(3))
            light = 0.4 * first + 0.3 * second + 0.3 * third + second * third - 0.75
            return torch.stack([torch.zeros_like(light), light], 1)

    batch = Batch(("a",), {"image": torch.zeros(1, 3, 3, 3)}, torch.tensor([1]))
    found = finished(_editing.swapped(Pairs(), batch, torch.ones(1, 3, 3, 3), TASK.logodds_true, cells=3))
    assert set(found.cells[0]) == {1, 2}
    assert found.found.all()


def test_a_donor_that_does_not_help_is_not_called_a_counterfactual():
    found = swapped(BATCH, images(0.1, 0.9), cells=3)
    assert not found.found.any()
    assert all(len(cells) == 9 for cells in found.cells)


def test_an_image_that_is_answered_so_already_needs_no_cell():
    found = swapped(wanting(0, corners=(0.2,)), images(0.9), cells=3)
    assert found.cells == ((),)
    assert torch.equal(found.images, images(0.2))


def test_a_free_edit_lies_in_the_corner_and_keeps_to_256_levels():
    network = ReadsCorner().train()
    before = BATCH.inputs["image"]
    with hooks.frozen(network):
        found = finished(_editing.edited(network, BATCH, TASK.logodds_true, steps=60))
    assert network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert found.found.all()
    assert network(found.images).argmax(1).tolist() == [1, 0]
    assert torch.equal(found.images, found.images.mul(255).round().div(255))
    assert found.images.min() >= 0 and found.images.max() <= 1  # noqa: PT018
    change = (found.images - before).abs().sum(1)
    near = slice(0, CORNER + 3), slice(SIDE - CORNER - 3, SIDE)  # the mask is coarse: it reaches a little beyond
    assert change[:, near[0], near[1]].sum() == change.sum()
    assert (found.pixels(before) < 0.2).all()
    assert (found.distance(before) > 0).all()
    assert torch.equal(before, wanting(1, 0, corners=(0.2, 0.8)).inputs["image"])


def test_where_no_slope_leads_there_nothing_is_found_and_the_image_stays():
    class Steps(ReadsCorner):
        def forward(self, image):
            return super().forward((image > 0.5).float())

    batch = wanting(1, corners=(0.2,))
    with hooks.frozen(network := Steps()):
        found = finished(_editing.edited(network, batch, TASK.logodds_true, steps=5))
    assert not found.found.any()
    assert torch.equal(found.images, batch.inputs["image"])


@pytest.mark.parametrize(("height", "width", "cells"), [(24, 24, 3), (7, 5, 3), (4, 9, 6)])
def test_each_pixel_lies_in_just_one_cell(height, width, cells):
    grid = _editing._cells(cells, height, width)
    assert grid.shape == (cells**2, height, width)
    assert (grid.sum(0) == 1).all()
