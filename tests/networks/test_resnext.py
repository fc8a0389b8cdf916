"""ResNeXt for photos and for small images."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from seewhy.networks import resnext


def assert_equal_answers(peer, ours, *, side):
    image = torch.rand(1, 3, side, side - 3, dtype=torch.float64)
    expected = peer(image)
    assert expected.std() > 0.01
    assert torch.allclose(ours(image), expected, atol=1e-5, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("resnext50_32x4d", torchvision.models.get_model),
        ("resnext101_32x4d", timm.create_model),
        ("resnext101_32x8d", torchvision.models.get_model),
        ("resnext101_64x4d", torchvision.models.get_model),
    ],
)
def test_every_size_for_photos_answers_as_the_librarys_with_its_weights(equal_weights, name, library):
    with torch.device("meta"):
        peer, ours = library(name, num_classes=7), resnext.build(size=name, classes=7)
    assert_equal_answers(*equal_weights(peer, ours), side=64)


@pytest.mark.parametrize(("name", "groups", "base"), [("32x4d", 32, 4), ("8x64d", 8, 64), ("16x64d", 16, 64)])
def test_every_size_for_small_images_is_torchvisions_with_another_stem_and_three_stages(
    equal_weights, name, groups, base
):
    with torch.device("meta"):
        peer = ResNet(Bottleneck, [3, 3, 3, 1], groups=groups, width_per_group=base)
        peer.conv1, peer.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
        peer.layer4, peer.fc = nn.Identity(), nn.Linear(1024, 10)
        ours = resnext.build(size=f"resnext29_{name}", classes=10)
    assert_equal_answers(*equal_weights(peer, ours), side=12)


def test_every_norm_learns():
    for norm in ("batch", "group", "layer", "none"):
        network = resnext.build(size="resnext29_32x4d", blocks=(1, 1), cardinality=4, norm=norm, classes=2, init="he")
        network(torch.rand(2, 3, 9, 11)).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == (norm == "batch")
