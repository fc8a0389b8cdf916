"""The residual networks for photos."""

import re

import pytest
import timm
import torch
import torchvision
from torch import nn

from seewhy.networks import resnet_imagenet
from seewhy.networks._count import Counting

IMAGE = torch.rand(1, 3, 65, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def without_memory(peer, **settings):
    with torch.device("meta"):
        return peer(), resnet_imagenet.build(classes=7, **settings)


def assert_equal_answers(peer, ours):
    expected, found = peer(IMAGE), ours(IMAGE)
    assert expected.std() > 0.01  # the answers tell something
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-9)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_every_size_answers_as_torchvisions_with_its_weights(equal_weights, name):
    peer, ours = without_memory(lambda: torchvision.models.get_model(name, weights=None, num_classes=7), size=name)
    assert_equal_answers(*equal_weights(peer, ours))


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_first_form_has_the_stride_in_the_first_convolution(equal_weights, depth):
    def published():
        peer = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=7)
        for stage in (peer.layer2, peer.layer3, peer.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
        return peer

    assert_equal_answers(*equal_weights(*without_memory(published, size=f"resnet{depth}_v1")))


def timms_name(name):
    """What we call a weight of timm's pre-activation networks."""
    name = re.sub(r"stages\.(\d)\.blocks\.(\d+)", lambda at: f"stage{int(at[1]) + 1}.block{int(at[2]) + 1}", name)
    name = name.replace("downsample.conv", "shortcut").replace("stem.conv", "conv1").replace("head.fc", "head")
    return re.sub(r"^norm\.", "norm5.", name)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_every_preactivation_size_answers_as_timms_with_its_weights(equal_weights, depth):
    peer, ours = without_memory(lambda: timm.create_model(f"resnetv2_{depth}", num_classes=7), size=f"preresnet{depth}")
    assert_equal_answers(*equal_weights(peer, ours, rename=timms_name))


def test_groups_normalise_as_timms_do(equal_weights):
    peer, ours = without_memory(lambda: timm.create_model("resnet50_gn", num_classes=7), size="resnet50", norm="group")
    assert_equal_answers(*equal_weights(peer, ours))


def test_the_small_stem_keeps_the_resolution(equal_weights):
    def small():
        peer = torchvision.models.resnet18(weights=None, num_classes=7)
        peer.conv1, peer.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
        return peer

    assert_equal_answers(*equal_weights(*without_memory(small, size="resnet18", stem="small")))


def test_the_depth_counts_the_layers_with_weights_but_for_the_shortcuts():
    for name in resnet_imagenet.sizes:
        with torch.device("meta"), Counting():  # which builds quickly
            network = resnet_imagenet.build(size=name)
        counted = [
            place
            for place, module in network.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Linear)) and not re.search("shortcut|attention|nonlocal", place)
        ]
        assert len(counted) == int(re.search(r"\d+", name)[0])


def test_with_its_last_scales_at_zero_each_block_begins_as_the_identity():
    block = resnet_imagenet.build(size="resnet50", width=4, zero_last=True, classes=2).stage2.block2
    image = torch.rand(2, 32, 6, 6)
    assert torch.equal(block(image), image)
    with pytest.raises(ValueError, match="zero_last needs a norm at the end of each block"):
        resnet_imagenet.build(size="preresnet18", width=4, zero_last=True)


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("form", ["v1", "v1.5", "pre"])
def test_every_norm_learns_in_every_form(norm, form):
    network = resnet_imagenet.build(size="resnet50", form=form, norm=norm, width=4, classes=2, init="he")
    network(torch.rand(2, 3, 33, 47)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == (norm == "batch")


def test_a_depth_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="These networks have 18, 34, 50, 101, 152 layers; depth is 20"):
        resnet_imagenet.build(depth=20)
