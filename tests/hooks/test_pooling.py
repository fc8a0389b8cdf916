"""Max pooling channels last gives the same bits, and is put back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks
from seewhy.hooks.pooling import FEWEST_VALUES

POOLINGS: dict[str, dict[str, Any]] = {
    "overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    "side by side": {"kernel_size": 2},
    "dilated": {"kernel_size": 3, "stride": 1, "dilation": 2},
    "oblong and rounded up": {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True},
}


def with_ties(dtype: torch.dtype = torch.float32) -> Tensor:
    """Large enough to be laid out anew, and half zeros, so that windows have several greatest values."""
    torch.manual_seed(0)
    image = torch.randn(2, 32, 21, 19, dtype=dtype).relu()
    assert image.numel() >= FEWEST_VALUES
    return image


def pooled(pooling: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a sum in which every place weighs differently."""
    leaf = image.clone().requires_grad_()
    output = pooling(leaf)
    weights = torch.arange(output.numel(), dtype=output.dtype).view(output.shape)
    return output.detach(), torch.autograd.grad((output * weights).sum(), leaf)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", POOLINGS)
def test_output_and_gradient_are_bit_for_bit_what_they_were_also_where_values_tie(
    name: str, dtype: torch.dtype
) -> None:
    pooling, image = nn.MaxPool2d(**POOLINGS[name]), with_ties(dtype)
    image[0, 0, 0, 0] = torch.nan
    expected, slope = pooled(pooling, image)
    with hooks.pooling_sooner(pooling):
        assert "forward" in vars(pooling)
        found, gradient = pooled(pooling, image)
        with torch.no_grad():
            without_graph = pooling(image)
    for each in (found, without_graph):
        torch.testing.assert_close(each, expected, rtol=0, atol=0, equal_nan=True)
        assert each.is_contiguous()
    assert torch.equal(gradient, slope)


def test_a_pooling_is_put_back_also_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2))
    with pytest.raises(ZeroDivisionError), hooks.pooling_sooner(network):
        raise ZeroDivisionError
    assert "forward" not in vars(network[1])


def test_a_pooling_whose_forward_is_its_owners_or_that_gives_places_is_left_alone() -> None:
    own, with_places = nn.MaxPool2d(2), nn.MaxPool2d(2, return_indices=True)
    own.forward = mine = lambda x: x  # type: ignore[method-assign, assignment]
    with hooks.pooling_sooner(nn.Sequential(own, with_places)):
        assert own.forward is mine
        assert "forward" not in vars(with_places)
    assert own.forward is mine


def test_whoever_rewrites_max_pooling_meets_pytorchs_own() -> None:
    pooling, met = nn.MaxPool2d(2), list[str]()

    def noted(call: hooks.Call) -> Tensor:
        met.append(call.name)
        return call()

    with hooks.pooling_sooner(pooling), hooks.rewriting({"max_pool": noted}):
        assert torch.equal(pooling(with_ties()), functional.max_pool2d(with_ties(), 2))
    assert met
