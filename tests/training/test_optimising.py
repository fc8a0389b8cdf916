"""Rates over time and depth, and the average of the weights, as their papers say."""

import itertools

import pytest
import torch
from torch import nn

from seewhy import networks
from seewhy.training.optimising import SIZES, Average, blocks, grown, optimizer, scheduled, set_rate


def make_network():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(144, 8),
        nn.Linear(8, 2),
    )


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_rates_rise_then_never_rise_again(schedule):
    rates = [scheduled(step / 100, schedule, warm_up=0.1) for step in range(100)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) <= 1
    assert rates[-1] < 0.05 or schedule == "constant"


def test_sides_grow_in_even_steps_to_the_full_one():
    sides = [grown(step / 100, start=0.4) for step in range(100)]
    assert [round(side, 6) for side, _ in itertools.groupby(sides)] == [0.4, 0.6, 0.8, 1.0]
    assert sides.count(1.0) == 100 / SIZES
    assert grown(1.0, start=0.4) == 1.0


@pytest.mark.parametrize("name", ["resnet20", "vit_tiny", "densenet_cifar", "lenet", "mobilenet"])
def test_blocks_hold_each_parameter_once_from_the_image_to_the_answer(name):
    if name not in networks.names():
        name = next(other for other in networks.names() if other.startswith(name.partition("_")[0]))
    network = networks.find(name, classes=3).module
    found = blocks(network)
    assert sorted(id(entry) for block in found for entry in block) == sorted(map(id, network.parameters()))
    assert any(entry is next(network.parameters()) for entry in found[0])
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    assert any(entry is head.weight for entry in found[-1])
    assert all(any(entry.ndim > 1 for entry in block) for block in found[1:])
    assert len(found) > 3


def test_a_residual_block_is_one_block():
    network = networks.find("resnet20", classes=3).module
    assert len(blocks(network)) == 1 + 9 + 1  # the first convolution, three stages of three, the answer


def test_each_block_learns_at_a_share_of_the_next_ones_rate():
    network = make_network()
    first, middle, last = network[0][0].weight, network[2].weight, network[3].weight
    made = optimizer(network, "sgd", learning_rate=1.0, weight_decay=0.1, layer_decay=0.5)
    set_rate(made, 0.8)
    rates = {id(entry): group["lr"] for group in made.param_groups for entry in group["params"]}
    decays = {id(entry): group["weight_decay"] for group in made.param_groups for entry in group["params"]}
    assert [rates[id(entry)] for entry in (first, middle, last)] == [0.2, 0.4, 0.8]
    assert rates[id(network[0][1].weight)] == 0.2  # a normalisation goes with its convolution
    assert decays[id(first)] == 0.1
    assert decays[id(network[3].bias)] == decays[id(network[0][1].weight)] == 0.0
    assert len(rates) == len(list(network.parameters()))


def test_the_average_begins_at_the_first_weights_and_follows_batch_normalisation():
    network = make_network()
    average = Average(network, 0.9)
    nn.init.constant_(network[3].weight, 5.0)
    average.update(0)
    assert torch.equal(average.network[3].weight, network[3].weight)
    nn.init.constant_(network[3].weight, 6.0)
    network[0][1].running_mean.fill_(1.0)
    network[0][1].num_batches_tracked.fill_(7)
    average.update(90)
    assert average.network[3].weight.unique().item() == pytest.approx(5.1)
    assert average.network[0][1].running_mean.unique().item() == pytest.approx(0.1)
    assert average.network[0][1].num_batches_tracked == 7
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
