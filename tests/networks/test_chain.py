"""Named layers one after another and side by side."""

import pytest
import torch
from torch import nn

from seewhy.networks import _chain


def test_a_chain_runs_its_layers_in_order_and_its_head_is_the_last_linear_layer():
    head = nn.Linear(4, 2)
    network = _chain.Chain({"twice": Times(2), "flat": nn.Flatten(), "head": head}, auxiliary={"flat": nn.Linear(4, 2)})
    image = torch.rand(5, 1, 2, 2)
    main, heads = network.with_auxiliary(image)
    assert torch.equal(main, head(2 * image.flatten(1)))
    assert torch.equal(main, network(image=image))
    assert torch.equal(heads["flat"], network.auxiliary["flat"](2 * image.flatten(1)))
    assert [module for module in network.modules() if isinstance(module, nn.Linear)][-1] is head


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_branches_join_their_channels_in_order():
    x = torch.ones(1, 2, 3, 3)
    joined = _chain.Branches({"a": Times(1), "b": Times(5)})(x)
    assert joined[0, :, 0, 0].tolist() == [1, 1, 5, 5]


@pytest.mark.parametrize("kernel", [1, 3, 5, (1, 7), (7, 1)])
def test_a_convolution_keeps_the_size_of_its_map_unless_it_is_told_otherwise(kernel):
    x = torch.ones(2, 4, 9, 8)
    assert _chain.convolution(4, 6, kernel)(x).shape == (2, 6, 9, 8)
    assert _chain.convolution(4, 6, 3, padding=0, stride=2)(x).shape == (2, 6, 4, 3)


def test_without_normalisation_a_convolution_has_a_bias_and_with_it_none():
    assert _chain.convolution(4, 6, 3, norm="none").conv.bias is not None
    assert not hasattr(_chain.convolution(4, 6, 3, norm="none"), "norm")
    assert _chain.convolution(4, 6, 3).conv.bias is None


@pytest.mark.parametrize(("width", "groups"), [(6, 1), (16, 2), (48, 6), (728, 28), (1024, 32)])
def test_groups_are_of_eight_channels_or_more(width, groups):
    assert _chain.normalise("group", width).num_groups == groups


def test_a_tower_names_its_convolutions_and_gives_the_last_its_settings():
    tower = _chain.tower(_chain.convolution, 3, (4, 1), (5, 3), last={"stride": 2}, then={"end": nn.Flatten()})
    assert list(dict(tower.named_children())) == ["conv1", "conv2", "end"]
    assert (tower.conv1.conv.stride, tower.conv2.conv.stride) == ((1, 1), (2, 2))
    assert tower.conv2.conv.in_channels == 4
