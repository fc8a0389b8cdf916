"""Max pooling and first convolutions give the same numbers, and are put back."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks
from seewhy.hooks.sooner import ENTRIES_AT_ONCE, FEWEST_VALUES, INSTEAD, LEAST_VALUES, max_pool2d

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
    with hooks.sooner(pooling):
        assert "forward" in vars(pooling)
        found, gradient = pooled(pooling, image)
        with torch.no_grad():
            without_graph = pooling(image)
    for each in (found, without_graph):
        torch.testing.assert_close(each, expected, rtol=0, atol=0, equal_nan=True)
        assert each.is_contiguous()
    assert torch.equal(gradient, slope)


@pytest.mark.parametrize("name", POOLINGS)
def test_max_pooling_is_sooner_too_where_functions_of_other_kinds_are_rewritten(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooling, image, met = nn.MaxPool2d(**POOLINGS[name]), with_ties(), list[Tensor]()
    expected = pooled(pooling, image)

    def counted(x: Tensor, *rest: Any, **named: Any) -> Tensor:
        met.append(x)
        return max_pool2d(x, *rest, **named)

    monkeypatch.setitem(INSTEAD, functional.max_pool2d, counted)
    with hooks.sooner(pooling), hooks.rewriting({"activation": lambda call: call()}):
        found = pooled(pooling, image)
        _, places = functional.max_pool2d(image, 2, return_indices=True)
    assert len(met) == 1  # the other gives places and is another function
    assert places.dtype == torch.int64
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_pooling_is_put_back_also_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2))
    with pytest.raises(ZeroDivisionError), hooks.sooner(network):
        raise ZeroDivisionError
    assert "forward" not in vars(network[1])


def test_a_pooling_whose_forward_is_its_owners_or_that_gives_places_is_left_alone() -> None:
    own, with_places = nn.MaxPool2d(2), nn.MaxPool2d(2, return_indices=True)
    own.forward = mine = lambda x: x  # type: ignore[method-assign, assignment]
    with hooks.sooner(nn.Sequential(own, with_places)):
        assert own.forward is mine
        assert "forward" not in vars(with_places)
    assert own.forward is mine


def test_whoever_rewrites_max_pooling_meets_pytorchs_own() -> None:
    pooling, met = nn.MaxPool2d(2), list[str]()

    def noted(call: hooks.Call) -> Tensor:
        met.append(call.name)
        return call()

    with hooks.sooner(pooling), hooks.rewriting({"max_pool": noted}):
        assert torch.equal(pooling(with_ties()), functional.max_pool2d(with_ties(), 2))
    assert met


# ------------------------------------------------------------------------------------------------ first convolutions

CONVOLUTIONS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "a residual network's": ({"kernel_size": 7, "stride": 2, "padding": 3, "bias": False}, (2, 3, 90, 81)),
    "patches": ({"kernel_size": 16, "stride": 16}, (1, 3, 64, 48)),
    "many images, in pieces": ({"kernel_size": 3, "padding": 1}, (7, 3, 96, 96)),
    "of one channel": ({"kernel_size": 5, "padding": 2}, (3, 1, 28, 28)),
    "dilated": ({"kernel_size": 3, "dilation": 3, "padding": 2}, (1, 3, 90, 90)),
    "oblong": ({"kernel_size": (3, 5), "stride": (2, 3), "padding": (0, 4), "dilation": (2, 1)}, (2, 4, 71, 83)),
}


def convolution(name: str) -> tuple[nn.Conv2d, Tensor]:
    torch.manual_seed(0)
    settings, shape = CONVOLUTIONS[name]
    return nn.Conv2d(shape[1], 8, **settings).requires_grad_(False), torch.randn(shape)


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_first_convolutions_output_is_bit_for_bit_what_it_was_and_its_gradient_to_rounding(
    name: str, rewritten: bool
) -> None:
    layer, image = convolution(name)
    expected, slope = pooled(layer, image)
    exact = pooled(layer.double(), image.double())[1]
    layer.float()
    rules = hooks.rewriting({"activation": lambda call: call()}) if rewritten else nullcontext()
    with hooks.sooner(layer), rules:
        leaf = image.clone().requires_grad_()
        by_definition = "Convolved" in type(layer(leaf).grad_fn).__name__
        found, gradient = pooled(layer, image)
        with torch.no_grad():
            assert torch.equal(layer(image), expected)
    assert by_definition
    assert torch.equal(found, expected)
    assert (gradient - exact).abs().max() <= 1e-5 * exact.abs().max()
    assert (gradient - exact).abs().max() <= 4 * (slope - exact).abs().max() + 1e-7 * exact.abs().max()


def test_columns_of_many_images_are_summed_in_pieces() -> None:
    settings, shape = CONVOLUTIONS["many images, in pieces"]
    assert shape[0] * 3 * settings["kernel_size"] ** 2 * shape[2] * shape[3] > 1.5 * ENTRIES_AT_ONCE


@pytest.mark.parametrize(
    ("change", "image"),
    [
        (lambda layer: layer.double(), torch.randn(1, 3, 96, 96, dtype=torch.float64)),
        (lambda layer: layer.requires_grad_(), torch.randn(1, 3, 96, 96)),
        (lambda layer: layer, torch.randn(1, 3, 16, 16)),
    ],
    ids=["in double precision", "that learns", "of a small image"],
)
def test_a_convolution_is_left_to_pytorch(change: Any, image: Tensor) -> None:
    layer = change(nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False))
    assert image.numel() < LEAST_VALUES or image.dtype == torch.float64 or layer.weight.requires_grad
    expected = pooled(layer, image)
    with hooks.sooner(layer):
        found = pooled(layer, image)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 8, 5, groups=2), (1, 4, 90, 90)),
        (nn.Conv2d(16, 16, 3, groups=16, padding="same"), (2, 16, 50, 50)),
        (nn.Conv2d(3, 8, 5), (3, 96, 96)),
        (nn.MaxPool2d(2), (32, 40, 40)),
    ],
    ids=["in groups", "each channel by itself", "of one image without a batch", "pooled likewise"],
)
def test_what_pytorchs_functions_take_is_taken_where_functions_are_rewritten(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    layer.requires_grad_(False)
    image = torch.randn(shape)
    expected = pooled(layer, image)
    with hooks.rewriting({"activation": lambda call: call()}):
        found = pooled(layer, image)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(5, 8, 3),
        nn.Conv3d(3, 8, 3),
        nn.ConvTranspose2d(3, 8, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_convolutions_keep_their_forward(layer: nn.Module) -> None:
    with hooks.sooner(layer):
        assert "forward" not in vars(layer)
