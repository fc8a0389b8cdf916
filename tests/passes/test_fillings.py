"""What stands where an image is covered."""

from __future__ import annotations

import pytest
import torch

from seewhy.passes.fillings import Covering, blurred, inpainted

IMAGE = torch.rand(2, 3, 12, 17, generator=torch.Generator().manual_seed(0))


def hole() -> torch.Tensor:
    covered = torch.zeros(1, 1, 12, 17)
    covered[..., 3:8, 4:10] = 1
    return covered


@pytest.mark.parametrize("fill", ["black", "mean", "blur", "inpaint"])
def test_what_is_not_covered_stays_and_what_is_covered_says_nothing_of_itself(fill: str) -> None:
    covered = hole()
    found = Covering(IMAGE, fill, detail=4).cover(covered)
    assert found.shape == (1, *IMAGE.shape)
    outside = (covered == 0).expand_as(IMAGE)
    assert torch.equal(found[0][outside], IMAGE[outside])
    if fill == "inpaint":
        other = torch.where(outside, IMAGE, torch.rand_like(IMAGE))
        assert torch.allclose(Covering(other, fill, detail=4).cover(covered), found)
        assert found.amin() >= IMAGE.amin()
        assert found.amax() <= IMAGE.amax()


def test_a_hole_in_one_colour_and_beside_an_edge_is_drawn_as_its_surroundings() -> None:
    even = torch.full((1, 3, 12, 17), 0.3)
    assert torch.allclose(inpainted(even * (1 - hole()), 1 - hole()), even, atol=1e-6)
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 1
    visible = torch.ones_like(edge)
    visible[..., 6:10, 1:4] = visible[..., 6:10, 12:15] = 0
    filling = inpainted(edge * visible, visible)
    assert filling[0, 0, 8, 2] < 0.1
    assert filling[0, 0, 8, 13] > 0.9


def test_where_nothing_is_visible_there_is_black_and_where_half_is_half_stays() -> None:
    assert not inpainted(IMAGE, torch.zeros(2, 1, 12, 17)).any()
    half = Covering(IMAGE, "black", detail=4).cover(torch.full((1, 1, 12, 17), 0.5))
    assert torch.allclose(half[0], IMAGE / 2)
    assert torch.equal(Covering(IMAGE, "blur", detail=4).filling, blurred(IMAGE, sigma=2))


def test_no_such_filling_is_said_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="No filling 'inpant'. Did you mean 'inpaint'"):
        Covering(IMAGE, "inpant", detail=4)
