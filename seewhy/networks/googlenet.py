"""What if every layer could choose how far to look: at one pixel, at three by three, at five by five?

    inception(x) = [1x1 | 1x1 -> 3x3 | 1x1 -> 5x5 | pool 3x3 -> 1x1], joined along the channels

The 1x1 convolutions before the wide ones keep the cost down: 22 layers have a ninth of AlexNet's parameters. Szegedy
and others 2014, https://arxiv.org/abs/1409.4842, table 1, whose names the layers have: 3a, 3b, 4a to 4e, 5a, 5b.

* `googlenet`: the paper's, with local response normalisation (LRN), 6,998,552 parameters, 13,378,280 with both
  auxiliary heads;
* `googlenet_bn`: as in torchvision, with batch normalisation; its 5x5 are 3x3, a slip of the TensorFlow original that
  stayed because the weights fit it;
* `bn_inception`: the network in which batch normalisation was introduced, Ioffe and Szegedy 2015,
  https://arxiv.org/abs/1502.03167, figure 5, with two 3x3 in place of a 5x5. The figure's 576 channels of 4c do not
  add up; with its 128 after pooling they are 608, as in every implementation. No auxiliary heads.
  The poolings of 3c and 4e pad evenly, which works for maps of any size; Caffe's pad below and on the right.

* `se_bn_inception`: the last with squeeze-excitation behind each module, Hu and others 2017;
* `googlenet_small`: ours for images of about 32 pixels, `stem="small"`: one 3x3 that keeps the resolution in place of
  all that comes before 3a, and batch normalisation.

`auxiliary=True` adds the two heads after 4a and 4d that the paper trains with 0.3 of the loss each. Calling the network
leaves them out; `network.with_auxiliary(image)` gives their logits too. They pool to 4x4 whatever the image's size.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import nn

from seewhy.networks import _parts
from seewhy.networks._chain import Branches, Chain, Convolution, attentive, convolution, head, sequence, tower

year = {"googlenet": 2014, "googlenet_bn": 2014, "bn_inception": 2015, "se_bn_inception": 2017, "googlenet_small": 2014}
paper = {
    "googlenet": "https://arxiv.org/abs/1409.4842",
    "googlenet_bn": "https://arxiv.org/abs/1409.4842",
    "bn_inception": "https://arxiv.org/abs/1502.03167",
    "se_bn_inception": "https://arxiv.org/abs/1709.01507",
    "googlenet_small": "https://arxiv.org/abs/1409.4842",
}
channels = 3

sizes: dict[str, dict[str, Any]] = {
    "googlenet": {"wide": "5x5", "norm": "none", "dropout": 0.4},
    "googlenet_bn": {"wide": "3x3", "norm": "batch", "dropout": 0.2},
    "bn_inception": {"wide": "double3x3", "norm": "batch", "dropout": 0.0},
    "se_bn_inception": {"wide": "double3x3", "norm": "batch", "dropout": 0.0, "attention": "se"},
    "googlenet_small": {"wide": "5x5", "norm": "batch", "dropout": 0.2, "stem": "small"},
}
classes = {name: 10 if settings.get("stem") == "small" else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if settings.get("stem") == "small" else 224 for name, settings in sizes.items()}

#: Table 1 of the paper: 1x1, reduction and width of the 3x3, reduction and width of the 5x5, 1x1 after pooling.
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

#: The same of BN-Inception; 3c and 4e halve the map: no 1x1, nothing after pooling.
WIDTHS_BN = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


def build(
    *,
    size: str = "googlenet",
    classes: int = 1000,
    channels: int = 3,
    wide: Literal["5x5", "3x3", "double3x3"] | None = None,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] | None = None,
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
    dropout: float | None = None,
    auxiliary: bool = False,
) -> nn.Module:
    """A network for images of any size; what is None is as the size has it. `wide` is the branch that looks furthest.

    Under `norm="none"` GoogLeNet has the LRN of the paper. BN-Inception is the one with `wide="double3x3"`.
    """
    usual = {"stem": "large", "attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, wide=wide, stem=stem, norm=norm, attention=attention, dropout=dropout)
    kind, twice = {"norm": chosen["norm"], "activation": activation}, chosen["wide"] == "double3x3"
    if twice and auxiliary:
        raise ValueError("BN-Inception has no auxiliary heads; googlenet and googlenet_bn have")
    conv: Convolution = partial(convolution, **kind) if twice else partial(convolution, **kind, eps=1e-3)
    if chosen["stem"] == "small":
        layers: dict[str, nn.Module] = {"conv1": conv(channels, 192, 3)}  # 192, 32, 32
    else:
        layers = _stem(conv, channels, respond=chosen["norm"] == "none" and not twice)
    modules = _bn_inception(conv) if twice else _googlenet(conv, wide=int(chosen["wide"][0]))
    layers |= attentive(modules, 192, chosen["attention"], norm=chosen["norm"], middle="4")
    layers |= head(1024, classes, dropout=chosen["dropout"])
    heads = None
    if auxiliary:
        heads = {"4a": _auxiliary(conv, 512, classes, activation), "4d": _auxiliary(conv, 528, classes, activation)}
    network = Chain(layers, auxiliary=heads)
    _parts.begin(network, init)
    return network


def _stem(conv: Convolution, channels: int, *, respond: bool) -> dict[str, nn.Module]:
    """From the image to 192 channels at an eighth of the resolution."""
    return {
        "conv1": conv(channels, 64, 7, stride=2),  # 64, 112, 112
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),  # 64, 56, 56
        **({"lrn1": nn.LocalResponseNorm(5)} if respond else {}),
        "conv2": conv(64, 64, 1),
        "conv3": conv(64, 192, 3),  # 192, 56, 56
        **({"lrn2": nn.LocalResponseNorm(5)} if respond else {}),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),  # 192, 28, 28
    }


def _googlenet(conv: Convolution, *, wide: int) -> dict[str, nn.Module]:
    """From 192 channels to 1024 at a quarter of the resolution."""
    layers: dict[str, nn.Module] = {}
    before = 192
    for name, (one, reduced, three, squeezed, five, pooled) in WIDTHS.items():
        layers[name] = Branches(
            {
                "1x1": conv(before, one, 1),
                "3x3": tower(conv, before, (reduced, 1), (three, 3)),
                "5x5": tower(conv, before, (squeezed, 1), (five, wide)),
                "pool": sequence({"pool": nn.MaxPool2d(3, 1, padding=1), "conv": conv(before, pooled, 1)}),
            }
        )
        before = one + three + five + pooled
        if name == "3b":
            layers["pool3"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 480, 14, 14
        elif name == "4e":  # 2x2 in torchvision, 3x3 in the paper's table
            layers["pool4"] = nn.MaxPool2d(3 if wide == 5 else 2, 2, ceil_mode=True)  # 832, 7, 7
    return layers


def _bn_inception(conv: Convolution) -> dict[str, nn.Module]:
    """The same, with two convolutions in the branch that looks furthest, and modules that halve the map themselves."""
    layers: dict[str, nn.Module] = {}
    before = 192
    for name, (one, reduced, three, squeezed, five, pooled) in WIDTHS_BN.items():
        halving = {"stride": 1 if one else 2}  # 3c: 576, 14, 14; 4e: 1056, 7, 7
        branches: dict[str, nn.Module] = {
            "3x3": tower(conv, before, (reduced, 1), (three, 3), last=halving),
            "double3x3": tower(conv, before, (squeezed, 1), (five, 3), (five, 3), last=halving),
        }
        if one:
            pool = nn.MaxPool2d(3, 1, padding=1) if name == "5b" else nn.AvgPool2d(3, 1, padding=1)
            after = sequence({"pool": pool, "conv": conv(before, pooled, 1)})
            branches = {"1x1": conv(before, one, 1), **branches, "pool": after}
        else:
            branches["pool"] = nn.MaxPool2d(3, 2, padding=1)
        layers[name] = Branches(branches)
        before = one + three + five + (pooled if one else before)
    return layers


def _auxiliary(conv: Convolution, before: int, classes: int, activation: str) -> nn.Module:
    """A head on the way, so that the early layers are told sooner what they are for."""
    return sequence(
        {
            "pool": nn.AdaptiveAvgPool2d(4),  # before, 4, 4
            "conv": conv(before, 128, 1),
            "flatten": nn.Flatten(),
            "linear": nn.Linear(2048, 1024),
            "act": _parts.activate(activation),
            "dropout": nn.Dropout(0.7),
            "head": nn.Linear(1024, classes),
        }
    )
