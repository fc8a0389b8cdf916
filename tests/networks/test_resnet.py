"""The plain and residual networks of 6n + 2 layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from seewhy.networks import resnet


def normalised(x, weights, name):
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    per_channel = [value[:, None, None] for value in (mean, variance, scale, shift)]
    return (x - per_channel[0]) / (per_channel[1] + 1e-5).sqrt() * per_channel[2] + per_channel[3]


def written_out(weights, image, *, blocks, residual):
    """The forward pass again, plainly."""
    x = normalised(functional.conv2d(image, weights["conv1.weight"], padding=1), weights, "norm1").relu()
    for stage in (1, 2, 3):
        for number in range(1, blocks + 1):
            block = f"stage{stage}.block{number}"
            stride = 2 if stage > 1 and number == 1 else 1
            y = functional.conv2d(x, weights[f"{block}.conv1.weight"], stride=stride, padding=1)
            y = normalised(y, weights, f"{block}.norm1").relu()
            y = functional.conv2d(y, weights[f"{block}.conv2.weight"], padding=1)
            y = normalised(y, weights, f"{block}.norm2")
            if residual:
                same = x[:, :, ::stride, ::stride]
                y[:, : same.shape[1]] += same
            x = y.relu()
    return x.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("residual", [True, False])
def test_it_computes_what_the_paper_writes(residual):
    torch.manual_seed(0)
    network = resnet.build(depth=14, width=4, residual=residual).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                value.uniform_(0.5, 1.5)
    image = torch.rand(2, 3, 17, 12, dtype=torch.float64)  # odd sides: the shortcut and the convolution must agree
    expected = written_out(network.state_dict(), image, blocks=2, residual=residual)
    assert torch.allclose(network.eval()(image), expected)


def test_plain_and_residual_have_equal_parameters_and_names():
    plain, residual = resnet.build(size="plain20").state_dict(), resnet.build(size="resnet20").state_dict()
    assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in residual.items()}


def test_the_depth_counts_the_layers_with_weights():
    for depth in (8, 20, 44):
        network = resnet.build(depth=depth)
        assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in network.modules()) == depth


def test_the_small_size_halves_the_resolution_at_once():
    image = torch.rand(1, 3, 32, 32)
    assert resnet.build(size="resnet_small").conv1(image).shape == (1, 32, 16, 16)
    assert resnet.build(size="resnet_tiny").conv1(image).shape == (1, 32, 32, 32)


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_every_norm_learns_from_any_image(norm):
    network = resnet.build(depth=8, norm=norm, classes=2)
    output = network(torch.rand(4, 3, 9, 11))
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == (norm == "batch")


def test_a_depth_that_no_such_network_has_is_refused():
    with pytest.raises(ValueError, match=r"6n \+ 2 layers, such as 8, 14, 20 or 56; depth is 18"):
        resnet.build(depth=18)


def test_a_width_that_does_not_fall_into_groups_is_refused():
    with pytest.raises(ValueError, match="normalises 8 channels together: width must be a multiple, not 12"):
        resnet.build(norm="group", width=12)


def test_weights_begin_and_layers_bend_as_they_were_asked_to():
    torch.manual_seed(0)
    network = resnet.build(depth=14, width=64, residual=False, norm="none", init="xavier", activation="tanh")
    weight = network.stage3.block2.conv1.weight
    assert weight.std().item() == pytest.approx((2 / (2 * 256 * 9)) ** 0.5, rel=0.01)
    assert {type(module) for name, module in network.named_modules() if "relu" in name} == {nn.Tanh}
