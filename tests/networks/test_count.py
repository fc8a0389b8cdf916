"""Multiply-adds, counted as PyTorch's own counter counts them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seewhy import networks, shelf
from seewhy.networks._count import Counting, multiply_adds


@pytest.mark.parametrize(
    "name", ["lenet5_1998", "googlenet", "vit_mini", "resnext29_32x4d", "shufflenet_g3_w50", "preresnet18", "lite0"]
)
def test_they_are_those_of_pytorchs_counter(name):
    family, size = networks.names()[name]
    module = shelf.load("networks", family)
    with torch.device("meta"):
        network, image = module.build(size=size, channels=1).eval(), torch.zeros(1, 1, 32, 32)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(image)
    assert multiply_adds(network, image) == counted.get_total_flops() // 2


def test_a_network_that_is_built_while_counting_is_the_same_one():
    with torch.device("meta"):
        family = shelf.load("networks", "resnet")
        plain = family.build()
        with Counting() as counting:
            counted = family.build()
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    assert {name: value.shape for name, value in counted.state_dict().items()} == shapes
    assert counting.multiply_adds == 0
