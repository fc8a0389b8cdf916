"""How much of the image a place of a layer can see, against closed forms and against what really moves it."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from seewhy import networks, shelf
from seewhy.networks import _receptive


def fields(network, *shape):
    given = next(iter(inspect.signature(network.forward).parameters))
    with torch.device("meta"):
        return _receptive.fields(network.eval(), {given: torch.zeros(1, *shape)})


def published(name, **settings):
    family, size = networks.names()[name]
    with torch.device("meta"):
        return shelf.load("networks", family).build(size=size, **settings)


@pytest.mark.parametrize(
    ("name", "side", "wanted"),
    [  # Araujo, Norris and Sim 2019, table 1, where the network is theirs; else by hand
        ("alexnet", 224, {"conv1": 11, "pool1": 19, "conv2": 51, "pool5": 195}),
        ("vgg16", 224, {"pool1": 6, "pool2": 16, "pool3": 44, "pool4": 100, "pool5": 212}),
        ("resnet18", 224, {"pool1": 11, "stage1": 43, "stage2": 99, "stage3": 211, "stage4": 435}),
        ("resnet50", 224, {"stage4": 427}),
        ("resnet50_v1", 224, {"stage4": 483}),
        ("inception_v3", 299, {"7c": 1311}),
        ("inception_v4", 299, {"7d": 2071}),
        ("inception_resnet_v2", 299, {"conv7b": 3039}),
        ("mobilenet_w100", 224, {"layer13": 315}),
        ("lenet5", 32, {"conv1": 5, "pool1": 6, "conv2": 14, "pool2": 16, "flatten": 16}),
    ],
)
def test_the_field_is_that_of_the_closed_form(name, side, wanted):
    network = published(name, channels=1 if name == "lenet5" else 3)
    found = fields(network, 1 if name == "lenet5" else 3, side, side)
    assert {layer: found[layer] for layer in wanted} == {layer: (size, size) for layer, size in wanted.items()}
    assert found["head"] is None


@pytest.mark.parametrize(
    ("name", "settings", "layer"),
    [
        ("resnet20", {"depth": 8, "stem": "half"}, "stage3"),
        ("preresnet18", {"width": 4, "stem": "small"}, "stage3"),
        ("densenet40_k12", {"blocks": (2, 2)}, "block2"),
        ("mobilenet_w25", {}, "layer5"),
    ],
)
def test_pixels_within_the_field_move_a_place_and_no_others(name, settings, layer):
    family, size = networks.names()[name]
    # Positive weights, and slopes that are never 0: no pixel's part is hidden or cancelled.
    network = shelf.load("networks", family).build(size=size, **settings, activation="leaky").double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.abs_()
    seen = {}
    network.get_submodule(layer).register_forward_hook(lambda module, given, output: seen.update(made=output))
    image = torch.rand(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    found = _receptive.fields(network, {"image": image})[layer]
    network(image)
    rows, columns = seen["made"].shape[-2:]
    (gradient,) = torch.autograd.grad(seen["made"][..., rows // 2, columns // 2].sum(), image)
    moving = gradient[0].abs().sum(0) > 0
    assert int(moving.sum()) == found[0] * found[1]
    assert moving.any(1).sum() == found[0] < 96
    assert moving.any(0).sum() == found[1] < 96


class Steps(nn.Module):
    """What a test wants to follow."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions
        self.last = nn.Identity()

    def forward(self, image):
        x = image
        for function in self.functions:
            x = function(x)
        return self.last(x)


def through(*functions, channels=4):
    return fields(Steps(*functions), channels, 24, 24)["last"]


def test_where_branches_meet_all_that_they_see_is_seen():
    left, right = functional.pad, lambda x: functional.pad(x, (0, 4))[..., 4:]  # what lies four columns to the right
    assert through(lambda x: x + right(x)) == (1, 5)
    assert through(lambda x: torch.cat([functional.avg_pool2d(x, 3, 1, 1), right(x)], 1)) == (3, 6)
    assert through(lambda x: left(x, (0, 0, 2, 0))[:, :, :-2] + x) == (3, 1)


def test_strides_dilation_and_every_second_pixel_count():
    kernel = torch.zeros(4, 4, 3, 3, device="meta")
    assert through(lambda x: functional.conv2d(x, kernel, dilation=2)) == (5, 5)
    assert through(lambda x: x[:, :, ::2, ::2], lambda x: functional.conv2d(x, kernel)) == (5, 5)
    assert through(lambda x: functional.max_pool2d(x, 2), lambda x: functional.max_pool2d(x, 2)) == (4, 4)
    assert through(lambda x: functional.max_pool2d(x, 3, 1, 0, 2)) == (5, 5)
    assert through(lambda x: functional.adaptive_avg_pool2d(x, 8)) == (3, 3)
    assert through(lambda x: functional.adaptive_avg_pool2d(x, 7)) is None  # windows of different sizes
    assert through(lambda x: functional.conv2d(x, torch.zeros(4, 4, 1, 7, device="meta"))) == (1, 7)


def test_channels_may_be_mixed_moved_and_normalised():
    mixed = torch.zeros(4, 4, device="meta")
    shuffle = lambda x: x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)  # noqa: E731
    assert through(shuffle, lambda x: functional.avg_pool2d(x, 3, 1)) == (3, 3)
    assert through(lambda x: functional.linear(x.permute(0, 2, 3, 1), mixed).permute(0, 3, 1, 2)) == (1, 1)
    assert through(lambda x: functional.avg_pool2d(x, 2).flatten(2).transpose(1, 2) @ mixed) == (2, 2)
    assert through(lambda x: x.mean(1, keepdim=True)) == (1, 1)
    assert through(lambda x: functional.layer_norm(x.permute(0, 2, 3, 1), (4,))) == (1, 1)
    assert through(lambda x: functional.local_response_norm(x, 3)) == (1, 1)


def test_what_mixes_all_places_sees_the_whole_image():
    tokens = lambda x: x.flatten(2).transpose(1, 2)  # noqa: E731
    for mix in (
        lambda x: x.mean((2, 3)),
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda x: functional.group_norm(x, 2),
        lambda x: x.flatten(1) @ torch.zeros(4 * 24 * 24, 2, device="meta"),
        lambda x: tokens(x).transpose(1, 2) @ tokens(x),
        lambda x: functional.scaled_dot_product_attention(*(tokens(x),) * 3),
        lambda x: x.softmax(3),
        lambda x: x.cumsum(3),
        lambda x: x.roll(5, 3),  # what is not known counts as seeing everything
    ):
        assert through(mix) is None


def test_a_layer_that_does_not_depend_on_the_image_has_no_field():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.beside = nn.Linear(2, 2, device="meta")
            self.conv = nn.Conv2d(3, 2, 3, device="meta")

        def forward(self, image):
            return self.conv(image) + self.beside(torch.zeros(2, device="meta")).sum()

    assert fields(Constant(), 3, 8, 8) == {"conv": (3, 3)}
