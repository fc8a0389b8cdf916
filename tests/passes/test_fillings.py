"""What stands where an image is covered."""

from __future__ import annotations

import pytest
import torch

from seewhy.passes.fillings import Covering, blurred, drawn_over, inpainted

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


@pytest.mark.parametrize(("side", "levels"), [(24, 0.05), (96, 4)])
def test_a_hole_is_drawn_over_as_the_linear_system_says(side: int, levels: float) -> None:
    """Against the system solved by elimination: each hidden pixel the weighted mean of its neighbours."""
    down, right = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    image = torch.stack([down.square(), right.sin(), (3 * down * right).cos()])[None] / 2 + 0.2
    hidden = (down.square() + right.square() < 0.15)[None]
    places = hidden[0].nonzero().tolist()
    number = {tuple(place): row for row, place in enumerate(places)}
    matrix = torch.eye(len(places), dtype=torch.float64)
    known = torch.zeros(len(places), 3, dtype=torch.float64)
    for row, (y, x) in enumerate(places):
        for dy, dx in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b):
            weight = (1 if dy and dx else 2) / 12
            if (y + dy, x + dx) in number:
                matrix[row, number[y + dy, x + dx]] -= weight
            else:
                known[row] += weight * image[0, :, y + dy, x + dx].double()
    exact = torch.linalg.solve(matrix, known)
    found = drawn_over(image, hidden)[0, :, hidden[0]].T
    assert (found - exact).abs().max() * 255 < levels
    assert torch.equal(drawn_over(image, hidden)[0, :, ~hidden[0]], image[0, :, ~hidden[0]])
