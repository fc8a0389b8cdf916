"""DenseNet for photos and for small images."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from seewhy.networks import densenet

#: The three sizes without and with bottleneck: layers with weights, growth, millions of parameters in the paper.
SMALL = [
    ("densenet40_k12", 40, 12, 1.0),
    ("densenet100_k12", 100, 12, 7.0),
    ("densenet100_k24", 100, 24, 27.2),
    ("densenet_bc100_k12", 100, 12, 0.8),
    ("densenet_bc250_k24", 250, 24, 15.3),
    ("densenet_bc190_k40", 190, 40, 25.6),
]


@pytest.mark.parametrize("depth", [121, 161, 169, 201])
def test_every_size_for_photos_answers_as_torchvisions_with_its_weights(equal_weights, depth):
    with torch.device("meta"):
        peer = torchvision.models.get_model(f"densenet{depth}", weights=None, num_classes=7)
        ours = densenet.build(size=f"densenet{depth}", classes=7)
    peer, ours = equal_weights(peer, ours)
    image = torch.rand(1, 3, 64, 45, dtype=torch.float64)
    assert peer(image).std() > 0.01
    assert torch.allclose(ours(image), peer(image), atol=1e-5, rtol=1e-9)


def test_264_layers_are_torchvisions_with_more_of_them(equal_weights):
    with torch.device("meta"):
        peer = torchvision.models.DenseNet(growth_rate=32, block_config=(6, 12, 64, 48), num_classes=7)
        ours = densenet.build(size="densenet264", classes=7)
    peer, ours = equal_weights(peer, ours)
    image = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    assert torch.allclose(ours(image), peer(image), atol=1e-5, rtol=1e-9)


def bent(x, w, name):
    mean, variance, scale, shift = (
        w[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).relu()


@pytest.mark.parametrize(("bottleneck", "compression"), [(False, 1.0), (True, 0.5)])
def test_the_form_for_small_images_is_the_papers_written_out(equal_weights, bottleneck, compression):
    settings = {"blocks": (2, 3, 2), "growth": 6, "first": 12, "bottleneck": bottleneck, "compression": compression}
    with torch.device("meta"):
        twins = [densenet.build(size="densenet40_k12", classes=5, **settings) for _ in range(2)]
    network, _ = equal_weights(*twins)
    w = network.state_dict()
    image = torch.rand(2, 3, 16, 12, dtype=torch.float64)
    x = functional.conv2d(image, w["stem.conv.weight"], padding=1)
    for place, count in enumerate((2, 3, 2), start=1):
        for number in range(1, count + 1):
            layer, new = f"block{place}.layer{number}", x
            new = bent(new, w, f"{layer}.norm1")
            if bottleneck:
                new = bent(functional.conv2d(new, w[f"{layer}.conv1.weight"]), w, f"{layer}.norm2")
            x = torch.cat([x, functional.conv2d(new, w[f"{layer}.conv2.weight"], padding=1)], 1)
        if place < 3:
            between = f"transition{place}"
            x = functional.conv2d(bent(x, w, f"{between}.norm"), w[f"{between}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    expected = bent(x, w, "norm").mean((2, 3)) @ w["head.weight"].T + w["head.bias"]
    assert torch.allclose(network(image), expected)


@pytest.mark.parametrize(("name", "depth", "growth", "millions"), SMALL)
def test_the_small_sizes_have_the_layers_and_the_parameters_of_the_papers_table(name, depth, growth, millions):
    with torch.device("meta"):
        network = densenet.build(size=name, classes=10)
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth
    assert network.block2.layer1.conv2.out_channels == growth
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == millions


def test_dropout_follows_each_convolution_of_the_blocks():
    network = densenet.build(size="densenet40_k12", blocks=(2, 2), dropout=0.2)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.2] * 5


def test_every_norm_learns():
    for norm in ("batch", "group", "layer", "none"):
        network = densenet.build(size="densenet_bc100_k12", blocks=(2, 2), norm=norm, classes=2, init="he")
        network(torch.rand(2, 3, 9, 11)).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == (norm == "batch")
