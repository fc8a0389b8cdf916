"""The steps that are read from a network compute what the network does; what no sheet has is refused by name."""

import pytest
import torch
from sheeted import MEAN, STD, images, in_double, levels_of, model_of, small_net
from torch import nn
from torch.nn import functional

from seewhy import networks
from seewhy.sheets import graph, operations, steps


def steps_of(model):
    return graph.steps_of(model.network, model.preprocessing.size, model.name)


def off_by(body, side=12, **others):
    """How far the logits of the steps are from the network's, both in double precision, for three images."""
    model = model_of(body, side=side, **others)
    levels = torch.cat([levels_of(image) for image in images(3, side)])
    read = steps_of(model)
    with torch.no_grad():
        wanted = in_double(model)(levels / 255)
    return (steps.run(read, levels)[read[-1].name].flatten(1) - wanted).abs().max().item()


class Everywhere(nn.Module):
    """A function of the image that no module has, and three logits."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, image):
        return self.function(image, *self.layers).flatten(1)[:, :3]


CONVOLUTIONS = {
    "stride": nn.Conv2d(3, 4, 3, stride=2),
    "stride and padding each way": nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2)),
    "more padding than kernel": nn.Conv2d(3, 4, 3, padding=3),
    "dilation": nn.Conv2d(3, 4, 3, dilation=2, padding=2),
    "groups": nn.Conv2d(3, 6, 3, groups=3),
    "same, of an even kernel": nn.Conv2d(3, 4, 4, padding="same"),
    "valid, without a bias": nn.Conv2d(3, 4, 3, padding="valid", bias=False),
    "reflecting edges": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "edges that meet": nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
    "of one pixel": nn.Conv2d(3, 4, 1),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_kind_of_convolution_is_read(layer):
    assert off_by(nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(layer.out_channels, 3))) < 1e-12


POOLS = {
    "max": nn.MaxPool2d(3, 2, padding=1),
    "max with holes": nn.MaxPool2d(2, 1, padding=1, dilation=3),
    "max to the last pixel": nn.MaxPool2d(5, 4, ceil_mode=True),
    "average": nn.AvgPool2d(3, 2),
    "average over the padding": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "average without the padding": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "average by a number of its own": nn.AvgPool2d(3, 2, divisor_override=5),
    "adaptive average": nn.AdaptiveAvgPool2d((5, 7)),
    "adaptive max": nn.AdaptiveMaxPool2d(5),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_every_kind_of_pooling_is_read(pool):
    side = pool(torch.rand(1, 3, 12, 12)).shape[1:]
    assert off_by(nn.Sequential(pool, nn.Flatten(), nn.Linear(side.numel(), 3))) < 1e-12


FUNCTIONS = {
    "relu": functional.relu,
    "leaky relu": lambda x: functional.leaky_relu(x, 0.2),
    "relu6": lambda x: functional.relu6(4 * x),
    "clamp": lambda x: functional.hardtanh(x, -0.3, 0.4),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "elu": functional.elu,
    "a sum": lambda x: x + torch.relu(x),
    "constants": lambda x: (2 - x / 4) * 3 + 1,
    "a constant a channel": lambda x: x * torch.tensor([1.0, 2.0, 3.0])[:, None, None] - 1,
    "parts joined in another order": lambda x: torch.cat([x[:, 2:], torch.relu(x), x[:, :1]], 1),
    "a shuffle of channels": lambda x: functional.channel_shuffle(torch.cat([x, x], 1), 3),
    "every second pixel, with zeros for new channels": lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 4)),
    "transposed and turned": lambda x: x.transpose(2, 3).flip(2),
    "larger": lambda x: functional.interpolate(x, scale_factor=2),
    "the mean over a map": lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1),
    "softmax": lambda x: x.mean((2, 3)).softmax(1),
    "log softmax": lambda x: x.mean((2, 3)).log_softmax(-1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_function_is_read(function):
    assert off_by(Everywhere(function)) < 1e-12


@pytest.mark.parametrize("name", ["lenet5", "resnet_small", "mobilenet"])
def test_networks_of_the_shelf_are_read(name):
    side = 64 if name == "mobilenet" else 32
    settings = {"depth": 8, "width": 4} if name.startswith("resnet") else {}
    module = networks.find(name, classes=3, pretrained=False, **settings).module
    assert off_by(module, side=side) < 1e-9


def test_batch_normalisation_is_folded_into_what_stands_before_it():
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    assert off_by(body) < 1e-12
    read = steps_of(model_of(body, side=12))
    assert [step.word for step in read] == ["normalise", "conv", "relu", "scale", "pool", "linear"]
    assert [step.folded for step in read if isinstance(step, steps.Convolve)] == ["1"]


def test_a_convolution_that_something_else_looks_at_is_not_folded():
    def both(image, conv, norm):
        x = conv(image)
        return norm(x) + x

    body = Everywhere(both, nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    assert off_by(body) < 1e-12
    assert [step.word for step in steps_of(model_of(body, side=12))] == ["normalise", "conv", "scale", "add", "move"]


def test_a_fold_that_is_off_is_an_error(monkeypatch):
    monkeypatch.setattr(operations, "TOLERANCE", -1.0)
    body = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="1 cannot be folded into 0: values would be off by"):
        steps_of(model_of(body, side=12))


def test_a_convolution_over_many_maps_is_a_chain_that_computes_the_same(monkeypatch):
    body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    monkeypatch.setattr(graph, "MOST", 2)
    assert off_by(body) < 1e-12
    read = steps_of(model_of(body, side=12))
    assert [step.name for step in read if step.word == "conv"] == [
        "0 over maps 0 to 1", "0", "1 over maps 0 to 1", "1 over maps 2 to 3", "1",
    ]  # fmt: skip


def test_what_no_sheet_has_is_refused_by_its_name_and_place():
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with pytest.raises(
        ValueError, match="no formula for group_norm in '1' and gelu in '2' of mine. It has: convolution"
    ):
        steps_of(model_of(body, side=12))


class Unclear(nn.Module):
    def forward(self, image):
        return image.mean((2, 3)) if image.sum() > 3 else image.amax((2, 3))


REFUSED = {
    "a graph that depends on the image": (Unclear(), "The graph of mine cannot be read: "),
    "a product of two values": (Everywhere(lambda x: x * torch.relu(x)), "no formula for mul in "),
    "a padding that is not 0": (Everywhere(lambda x: functional.pad(x, (1, 1), value=2.0)), "no formula for pad in"),
    "a transposed convolution": (
        nn.Sequential(nn.ConvTranspose2d(3, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "conv_transpose2d in '0'",
    ),
    "attention": (networks.find("vit_mini", classes=3, pretrained=False, depth=1).module, "A sheet has no formula for"),
}


@pytest.mark.parametrize(("body", "says"), REFUSED.values(), ids=REFUSED)
def test_every_refusal_says_what_it_is_about(body, says):
    side = 32 if says.startswith("A sheet") else 12
    with pytest.raises(graph.Refused, match=says):
        steps_of(model_of(body, side=side))


def test_views_are_refused_and_merged_classes_are_a_step():
    model = model_of(small_net(), side=10)
    with pytest.raises(graph.Refused, match="mean over several views of an image .views are 'flip'."):
        steps_of(model.seeing("flip"))
    merged = model.subset({"both": ["one", "three"], "two": "two"})
    read = steps_of(merged)
    levels = levels_of(images(1)[0])
    with torch.no_grad():
        wanted = in_double(merged)(levels / 255)
    assert torch.allclose(steps.run(read, levels)["merge"].flatten(1), wanted, atol=1e-12, rtol=0)


def test_a_step_that_is_switched_off_does_what_it_says():
    model = model_of(small_net())
    read = steps_of(model)
    levels = levels_of(images(1)[0])
    body = in_double(model).body
    x = (levels / 255 - torch.tensor(MEAN).double()[:, None, None]) / torch.tensor(STD).double()[:, None, None]
    cases = {
        "normalise": body(levels / 255),
        "1": body[2:](body[0](x)),
        "2": body[3:](body[1](body[0](x))[:, :, ::2, ::2]),
        "0": body[1:](torch.zeros_like(body[0](x))),
        "9": torch.zeros(1, 3).double(),
    }
    for name, wanted in cases.items():
        found = steps.run(read, levels, off=[name])[read[-1].name].flatten(1)
        assert torch.allclose(found, wanted, atol=1e-6, rtol=0), name  # the network's MEAN and STD are single
        assert (found - steps.run(read, levels)[read[-1].name].flatten(1)).abs().max() > 1e-3, name


def test_a_filter_that_is_switched_off_gives_zeros():
    model = model_of(small_net())
    read = steps_of(model)
    levels = levels_of(images(1)[0])
    network = in_double(model)
    network.body[3].register_forward_hook(lambda module, given, made: made * (torch.arange(4) != 2)[:, None, None])
    with torch.no_grad():
        wanted = network(levels / 255)
    found = steps.run(read, levels, filters_off=[("3", 2)])[read[-1].name].flatten(1)
    assert torch.allclose(found, wanted, atol=1e-12, rtol=0)


def test_what_a_unit_sees_is_all_that_it_depends_on():
    """Against gradients: outside of what is said to be seen they are 0, and the part's edges are reached."""
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 2, 3, dilation=2),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    body(torch.rand(1, 3, 24, 24))
    model = model_of(body, side=24)
    read = steps_of(model)
    levels = levels_of(images(1, 24)[0]).requires_grad_()
    unit = steps.Region((1,), range(1, 2), range(0, 1))
    seen = steps.seen(read, "2", unit)["image"]
    steps.run(read, levels)["2"][0, 1, 1, 0].backward()
    rows, columns = (levels.grad[0].abs().sum((0, axis)) for axis in (2, 1))
    assert rows.nonzero()[0] >= seen.rows[0]
    assert rows.nonzero()[-1] <= seen.rows[-1]
    assert columns.nonzero()[-1] <= seen.columns[-1]
    assert seen.rows[-1] - seen.rows[0] + 1 <= 4 * 4 + 2 * 2 + 2 + 1
    assert seen.channels == (0, 1, 2)
