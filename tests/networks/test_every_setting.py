"""The settings that families share do in each of them what they say."""

import inspect

import pytest
import torch
from torch import nn

from seewhy import shelf
from seewhy.networks import _parts
from seewhy.networks._count import Counting

BUILDS = {family: shelf.load("networks", family).build for family in shelf.members("networks")}


def with_setting(name):
    return [family for family, build in BUILDS.items() if name in inspect.signature(build).parameters]


def without_memory(family, **settings):
    with torch.device("meta"), Counting():  # which builds quickly
        return BUILDS[family](classes=3, **settings)


def kinds(network, *of):
    return sum(isinstance(module, of) for module in network.modules())


@pytest.mark.parametrize("family", with_setting("norm"))
def test_norm_exchanges_every_normalisation(family):
    found = {norm: without_memory(family, norm=norm) for norm in ("batch", "group", "layer", "none")}
    count = kinds(found["batch"], nn.BatchNorm2d)
    assert count > 5
    for norm, network in found.items():
        groups = [module.num_groups for module in network.modules() if isinstance(module, nn.GroupNorm)]
        assert kinds(network, nn.BatchNorm2d) == (count if norm == "batch" else 0)
        assert len(groups) == (count if norm in ("group", "layer") else 0)
        assert norm != "layer" or set(groups) == {1}
        assert norm != "group" or max(groups) > 1
    # What no norm shifts needs a bias of its own.
    bare = [module for module in found["none"].modules() if isinstance(module, nn.Conv2d) and module.bias is None]
    assert all(module.groups == module.in_channels for module in bare)  # of Xception, whose pointwise halves have one


@pytest.mark.parametrize("family", with_setting("activation"))
def test_activation_exchanges_every_activation(family):
    auxiliary = {"auxiliary": True} if "auxiliary" in inspect.signature(BUILDS[family]).parameters else {}
    known = set(_parts.ACTIVATIONS.values()) - {nn.Identity}
    chosen = "relu" if family == "lenet" else "silu"  # LeNet's are those of its time, and ReLU
    network = without_memory(family, activation=chosen, **auxiliary)
    found = {type(module) for module in network.modules()} & known
    assert found == {_parts.ACTIVATIONS[chosen]}


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("resnet", {"depth": 8}),
        ("resnet_imagenet", {"size": "resnet18", "width": 4, "stem": "small"}),
        ("resnet_imagenet", {"size": "preresnet18", "width": 4, "stem": "small"}),
        ("resnext", {"size": "resnext29_32x4d", "blocks": (1, 1)}),
        ("densenet", {"size": "densenet40_k12", "blocks": (2, 2)}),
        ("shufflenet", {"size": "shufflenet_g3_w25"}),
        ("inception_resnet", {"size": "inception_resnet_v1_small", "blocks": (1, 1, 1)}),
        ("xception", {"size": "xception_small", "middle": 1}),
    ],
)
def test_what_is_bent_in_its_place_is_nobody_elses_input(family, settings, norm):
    network = BUILDS[family](classes=3, norm=norm, **settings).eval()
    image = torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        found = network(image)
        for module in network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        assert torch.equal(network(image), found)


@pytest.mark.parametrize("family", with_setting("init"))
def test_init_draws_every_convolution_and_linear_layer(family):
    sizes = shelf.load("networks", family).sizes
    size = next((name for name in sizes if name.endswith(("small", "mini", "cifar", "k12", "29_32x4d"))), None)
    narrow = {"hidden": 16} if family == "alexnet" else {}
    network = BUILDS[family](**({"size": size} if size else {}), classes=3, init="normal", **narrow)
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert all(module.bias is None or not module.bias.any() for module in layers)
    drawn = [module.weight.std().item() for module in layers if module.weight.numel() > 2000]
    assert len(drawn) > 1
    assert all(std == pytest.approx(0.01, rel=0.1) for std in drawn)


def test_each_way_to_begin_has_the_spread_of_its_paper():
    for layer, before, after in ((nn.Conv2d(40, 60, 3), 360, 540), (nn.Linear(300, 100), 300, 100)):
        for how, std in {
            "xavier": (2 / (before + after)) ** 0.5,
            "he": (2 / before) ** 0.5,
            "lecun": before**-0.5,
            "normal": 0.01,
        }.items():
            _parts.begin(layer, how)
            assert layer.weight.std().item() == pytest.approx(std, rel=0.03), how
            assert not layer.bias.any()
    conv = nn.Conv2d(40, 60, 3)
    _parts.begin(conv, None)
    assert conv.weight.std().item() == pytest.approx((2 / 540) ** 0.5, rel=0.03)


def test_partial_connections_begin_in_one_way_only():
    with pytest.raises(ValueError, match="`init` is for connections='full'"):
        BUILDS["lenet"](size="lenet5_1998", init="he")
