"""What does a network gain if wide convolutions are made of narrow ones?

Inception v3 looks as far as GoogLeNet and further for less: a 7x7 becomes a 1x7 and a 7x1, and the map is halved by
strided convolutions beside a pooling. Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2015,
https://arxiv.org/abs/1512.00567. Inception v4 is the same made uniform, under a deeper stem. Szegedy, Ioffe, Vanhoucke
and Alemi 2016, https://arxiv.org/abs/1602.07261, figures 3 to 9.

The layers have TensorFlow's names, Conv2d_1a and Mixed_5b, in short: conv1a, 5b. Both networks are for images of 299
pixels a side and take any from 75, for what halves the map is not padded. 23,834,568 and 42,679,816 parameters.

`inception_v3_small` and `inception_v4_small` are ours for images of about 32 pixels, `stem="small"`: three convolutions
of 3x3 that keep the resolution in place of the stem, so that the modules see maps of 32, 15 and 7 pixels a side.

`auxiliary=True` gives Inception v3 its auxiliary head after 6e: 27,161,264 parameters. Calling the network leaves it
out; `network.with_auxiliary(image)` gives its logits too.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import nn

from seewhy.networks import _parts
from seewhy.networks._chain import Branches, Chain, Convolution, attentive, convolution, head, sequence, tower
from seewhy.networks._inception import HALVE, SMALLEST, first, small_stem
from seewhy.networks._inception import stem as large_stem

channels = 3

sizes: dict[str, dict[str, Any]] = {
    "inception_v3": {"dropout": 0.5},
    "inception_v4": {"dropout": 0.2},
    "inception_v3_small": {"dropout": 0.5, "stem": "small"},
    "inception_v4_small": {"dropout": 0.2, "stem": "small"},
}
classes = {name: 10 if "stem" in settings else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if "stem" in settings else 299 for name, settings in sizes.items()}
year = {name: 2015 if "v3" in name else 2016 for name in sizes}
paper = {name: f"https://arxiv.org/abs/{'1512.00567' if 'v3' in name else '1602.07261'}" for name in sizes}


def build(
    *,
    size: str = "inception_v3",
    classes: int = 1000,
    channels: int = 3,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] = "none",
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
    dropout: float | None = None,
    auxiliary: bool = False,
) -> nn.Module:
    """A network for images of at least 75 pixels a side, behind a small stem 7; what is None is as the size has it."""
    chosen = _parts.chosen({"stem": "large", **sizes[size]}, stem=stem, dropout=dropout)
    third, small = size.startswith("inception_v3"), chosen["stem"] == "small"
    if auxiliary and (small or not third):
        raise ValueError("Inception v4 has no auxiliary head, and no small stem has; inception_v3 has one")
    conv = partial(convolution, norm=norm, activation=activation, eps=1e-3)
    before = 192 if third else 384
    if small:
        layers = small_stem(conv, channels, before)
    else:
        layers = large_stem(conv, channels) if third else _stem_v4(conv, channels)
    layers |= attentive(_v3(conv) if third else _v4(conv), before, attention, norm=norm, middle="6")
    layers |= head(2048 if third else 1536, classes, dropout=chosen["dropout"])
    heads = {"6e": _auxiliary(conv, 768, classes)} if auxiliary else None
    network = Chain(layers, auxiliary=heads, smallest=SMALLEST[chosen["stem"]])
    _parts.begin(network, init)
    return network


# ------------------------------------------------------------------------------------------------- Inception v3


def _v3(conv: Convolution) -> dict[str, nn.Module]:
    return {
        "5b": _squares(conv, 192, 32),  # 256, 35, 35
        "5c": _squares(conv, 256, 64),  # 288, 35, 35
        "5d": _squares(conv, 288, 64),
        "6a": Branches(
            {
                "3x3": conv(288, 384, 3, **HALVE),
                "double3x3": tower(conv, 288, (64, 1), (96, 3), (96, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 768, 17, 17
        "6b": _crosses(conv, 768, 128),
        "6c": _crosses(conv, 768, 160),
        "6d": _crosses(conv, 768, 160),
        "6e": _crosses(conv, 768, 192),
        "7a": Branches(
            {
                "3x3": tower(conv, 768, (192, 1), (320, 3), last=HALVE),
                "7x7": tower(conv, 768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 1280, 8, 8
        "7b": _fans(conv, 1280),  # 2048, 8, 8
        "7c": _fans(conv, 2048),
    }


def _squares(conv: Convolution, before: int, pooled: int) -> nn.Module:
    """Figure 5 of the paper, with one 5x5 left."""
    return Branches(
        {
            "1x1": conv(before, 64, 1),
            "5x5": tower(conv, before, (48, 1), (64, 5)),
            "double3x3": tower(conv, before, (64, 1), (96, 3), (96, 3)),
            "pool": sequence({"pool": nn.AvgPool2d(3, 1, padding=1), "conv": conv(before, pooled, 1)}),
        }
    )


def _crosses(conv: Convolution, before: int, inner: int) -> nn.Module:
    """Figure 6: each 7x7 a 1x7 and a 7x1."""
    flat, tall = (1, 7), (7, 1)
    return Branches(
        {
            "1x1": conv(before, 192, 1),
            "7x7": tower(conv, before, (inner, 1), (inner, flat), (192, tall)),
            "double7x7": tower(conv, before, (inner, 1), (inner, tall), (inner, flat), (inner, tall), (192, flat)),
            "pool": sequence({"pool": nn.AvgPool2d(3, 1, padding=1), "conv": conv(before, 192, 1)}),
        }
    )


def _fans(conv: Convolution, before: int) -> nn.Module:
    """Figure 7: the 3x3 become a 1x3 and a 3x1 side by side."""
    return Branches(
        {
            "1x1": conv(before, 320, 1),
            "3x3": tower(conv, before, (384, 1), then={"fan": _fan(conv, 384, 384)}),
            "double3x3": tower(conv, before, (448, 1), (384, 3), then={"fan": _fan(conv, 384, 384)}),
            "pool": sequence({"pool": nn.AvgPool2d(3, 1, padding=1), "conv": conv(before, 192, 1)}),
        }
    )


def _fan(conv: Convolution, before: int, width: int) -> nn.Module:
    return Branches({"1x3": conv(before, width, (1, 3)), "3x1": conv(before, width, (3, 1))})


def _auxiliary(conv: Convolution, before: int, classes: int) -> nn.Module:
    return sequence(
        {
            "mean": nn.AvgPool2d(5, 3),  # 768, 5, 5
            "conv1": conv(before, 128, 1),
            "conv2": conv(128, 768, 5, padding=0),  # 768, 1, 1
            **head(768, classes),
        }
    )


# ------------------------------------------------------------------------------------------------- Inception v4


def _stem_v4(conv: Convolution, channels: int) -> dict[str, nn.Module]:
    """Figure 3."""
    return {
        **first(conv, channels),
        "3a": Branches({"pool": nn.MaxPool2d(3, 2), "3x3": conv(64, 96, 3, **HALVE)}),  # 160, 73, 73
        "4a": Branches(
            {
                "3x3": tower(conv, 160, (64, 1), (96, 3), last={"padding": 0}),
                "7x7": tower(conv, 160, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3), last={"padding": 0}),
            }
        ),  # 192, 71, 71
        "5a": Branches({"3x3": conv(192, 192, 3, **HALVE), "pool": nn.MaxPool2d(3, 2)}),  # 384, 35, 35
    }


def _v4(conv: Convolution) -> dict[str, nn.Module]:
    return {
        **{f"5{letter}": _a(conv) for letter in "bcde"},
        "6a": Branches(
            {
                "3x3": conv(384, 384, 3, **HALVE),
                "double3x3": tower(conv, 384, (192, 1), (224, 3), (256, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 1024, 17, 17
        **{f"6{letter}": _b(conv) for letter in "bcdefgh"},
        "7a": Branches(
            {
                "3x3": tower(conv, 1024, (192, 1), (192, 3), last=HALVE),
                "7x7": tower(conv, 1024, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 1536, 8, 8
        **{f"7{letter}": _c(conv) for letter in "bcd"},
    }


def _a(conv: Convolution) -> nn.Module:
    """Figure 4 of the paper of v4."""
    return Branches(
        {
            "1x1": conv(384, 96, 1),
            "3x3": tower(conv, 384, (64, 1), (96, 3)),
            "double3x3": tower(conv, 384, (64, 1), (96, 3), (96, 3)),
            "pool": _pooled(conv, 384, 96),
        }
    )


def _b(conv: Convolution) -> nn.Module:
    """Figure 5."""
    flat, tall = (1, 7), (7, 1)
    return Branches(
        {
            "1x1": conv(1024, 384, 1),
            "7x7": tower(conv, 1024, (192, 1), (224, flat), (256, tall)),
            "double7x7": tower(conv, 1024, (192, 1), (192, tall), (224, flat), (224, tall), (256, flat)),
            "pool": _pooled(conv, 1024, 128),
        }
    )


def _c(conv: Convolution) -> nn.Module:
    """Figure 6."""
    return Branches(
        {
            "1x1": conv(1536, 256, 1),
            "3x3": tower(conv, 1536, (384, 1), then={"fan": _fan(conv, 384, 256)}),
            "double3x3": tower(conv, 1536, (384, 1), (448, (3, 1)), (512, (1, 3)), then={"fan": _fan(conv, 512, 256)}),
            "pool": _pooled(conv, 1536, 256),
        }
    )


def _pooled(conv: Convolution, before: int, width: int) -> nn.Module:
    """A mean that does not count what lies outside, unlike that of v3."""
    return sequence({"pool": nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), "conv": conv(before, width, 1)})
