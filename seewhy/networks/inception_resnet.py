"""Do Inception's branches learn sooner if they only have to say what to add?

    block(x) = relu(x + scale * conv1x1([branches of x]))

The last convolution has neither normalisation nor activation and brings the branches to the width of x. What is added
is made smaller, by 0.1 to 0.2, for otherwise wide networks die early in training. Szegedy, Ioffe, Vanhoucke and Alemi
2016, https://arxiv.org/abs/1602.07261.

* `inception_resnet_v1`: figures 10 to 14, about as dear as Inception v3; 5, 10 and 5 blocks;
* `inception_resnet_v2`: as its authors published its weights, and so as in timm: the stem of Inception v3 and a
  module 5b in place of figure 3, 10, 20 and 10 blocks in place of 5, 10 and 5. 55,843,464 parameters;
* `se_inception_resnet_v2`: with squeeze-excitation in each block, Hu and others 2017;
* `inception_resnet_v1_small`: ours for images of about 32 pixels, `stem="small"`: three 3x3 that keep the resolution.

In both the last block of all adds without scale and ends without ReLU, as in the authors' code. The layers have the
names of that code, Mixed_5b in short 5b; the blocks of a stage are 35.block1, 35.block2 …, 17.block1 … and 8.block1 …,
after the side of the map for images of 299 pixels. Any side from 75 will do, behind a small stem from 7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts
from seewhy.networks._chain import Branches, Chain, Convolution, convolution, head, sequence, tower
from seewhy.networks._inception import HALVE, SMALLEST, small_stem
from seewhy.networks._inception import stem as large_stem

channels = 3

sizes: dict[str, dict[str, Any]] = {
    "inception_resnet_v1": {"blocks": (5, 10, 5)},
    "inception_resnet_v2": {"blocks": (10, 20, 10)},
    "se_inception_resnet_v2": {"blocks": (10, 20, 10), "attention": "se"},
    "inception_resnet_v1_small": {"blocks": (5, 10, 5), "stem": "small"},
}
classes = {name: 10 if "stem" in settings else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if "stem" in settings else 299 for name, settings in sizes.items()}
year = {name: 2017 if name.startswith("se") else 2016 for name in sizes}
paper = {name: f"https://arxiv.org/abs/{'1709.01507' if name.startswith('se') else '1602.07261'}" for name in sizes}

#: The scale of what the blocks add, by the side of their map.
SCALES = {35: 0.17, 17: 0.10, 8: 0.20}


def build(
    *,
    size: str = "inception_resnet_v2",
    classes: int = 1000,
    channels: int = 3,
    blocks: tuple[int, int, int] | None = None,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
    dropout: float = 0.2,
) -> nn.Module:
    """A network for images of at least 75 pixels a side, or 7 behind a small stem; what is None is as the size has it.

    `blocks` has a number for each of the three stages.
    """
    usual = {"stem": "large", "attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, blocks=blocks, stem=stem, attention=attention)
    conv = partial(convolution, norm=norm, activation=activation, eps=1e-3)
    stage = partial(_stage, conv, norm=norm, attention=chosen["attention"], activation=activation)
    small, counts = chosen["stem"] == "small", tuple(chosen["blocks"])
    if "v1" in size:
        layers, width = {**_stem_v1(conv, channels, small=small), **_v1(conv, stage, counts)}, 1792
    else:
        begun = small_stem(conv, channels, 192) if small else large_stem(conv, channels)
        layers, width = {**begun, **_v2(conv, stage, counts)}, 1536
    network = Chain({**layers, **head(width, classes, dropout=dropout)}, smallest=SMALLEST[chosen["stem"]])
    _parts.begin(network, init)
    return network


class Residual(nn.Module):
    """Branches, a convolution of 1x1 to the width of the input, and the input added."""

    def __init__(
        self, branches: nn.Module, joined: int, width: int, *, scale: float, attention: str, activation: str
    ) -> None:
        super().__init__()
        self.scale = scale
        self.branches = branches
        self.up = nn.Conv2d(joined, width, 1)
        self.attention = _attention.refine(attention, width)
        self.act = _parts.activate(activation, fresh=True)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        return self.act(x + self.scale * self.attention(self.up(self.branches(x))))


#: Residual blocks of a stage: `stage(width, side, count, one=…, steps=…)`.
Stage = Callable[..., nn.Module]


def _stem_v1(conv: Convolution, channels: int, *, small: bool) -> dict[str, nn.Module]:
    """256 channels; a convolution halves the map the third time."""
    if small:
        return small_stem(conv, channels, 256)
    return {**large_stem(conv, channels, pool=False), "conv4b": conv(192, 256, 3, **HALVE)}  # 256, 35, 35


def _v1(conv: Convolution, residual: Stage, blocks: tuple[int, ...]) -> dict[str, nn.Module]:
    return {
        "35": residual(256, 35, blocks[0], one=32, steps=[[(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]]),
        "6a": Branches(
            {
                "3x3": conv(256, 384, 3, **HALVE),
                "double3x3": tower(conv, 256, (192, 1), (192, 3), (256, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 896, 17, 17
        "17": residual(896, 17, blocks[1], one=128, steps=[[(128, 1), (128, (1, 7)), (128, (7, 1))]]),
        "7a": _halved(conv, 896, (256, 384), (256, 256), (256, 256, 256)),  # 1792, 8, 8
        "8": residual(1792, 8, blocks[2], one=192, steps=[[(192, 1), (192, (1, 3)), (192, (3, 1))]], ends=True),
    }


def _v2(conv: Convolution, residual: Stage, blocks: tuple[int, ...]) -> dict[str, nn.Module]:
    mean = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    return {
        "5b": Branches(
            {
                "1x1": conv(192, 96, 1),
                "5x5": tower(conv, 192, (48, 1), (64, 5)),
                "double3x3": tower(conv, 192, (64, 1), (96, 3), (96, 3)),
                "pool": sequence({"pool": mean, "conv": conv(192, 64, 1)}),
            }
        ),  # 320, 35, 35
        "35": residual(320, 35, blocks[0], one=32, steps=[[(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]),
        "6a": Branches(
            {
                "3x3": conv(320, 384, 3, **HALVE),
                "double3x3": tower(conv, 320, (256, 1), (256, 3), (384, 3), last=HALVE),
                "pool": nn.MaxPool2d(3, 2),
            }
        ),  # 1088, 17, 17
        "17": residual(1088, 17, blocks[1], one=192, steps=[[(128, 1), (160, (1, 7)), (192, (7, 1))]]),
        "7a": _halved(conv, 1088, (256, 384), (256, 288), (256, 288, 320)),  # 2080, 8, 8
        "8": residual(2080, 8, blocks[2], one=192, steps=[[(192, 1), (224, (1, 3)), (256, (3, 1))]], ends=True),
        "conv7b": conv(2080, 1536, 1),  # 1536, 8, 8
    }


def _stage(
    conv: Convolution,
    width: int,
    side: int,
    count: int,
    *,
    one: int,
    steps: list[list[tuple[Any, ...]]],
    norm: str,
    attention: str,
    activation: str,
    ends: bool = False,
) -> nn.Module:
    """Residual blocks: beside a 1x1 of width `one`, a tower for each of the steps, the last of which names it."""
    joined = one + sum(tower[-1][0] for tower in steps)
    names = {35: ("3x3", "double3x3"), 17: ("7x7",), 8: ("3x3",)}[side]
    layers: dict[str, nn.Module] = {}
    for number in range(1, count + 1):
        towers = {name: tower(conv, width, *each) for name, each in zip(names, steps, strict=True)}
        plain = ends and number == count  # what comes next may need what is below zero
        layers[f"block{number}"] = Residual(
            Branches({"1x1": conv(width, one, 1), **towers}),
            joined,
            width,
            scale=1.0 if plain else SCALES[side],
            attention=attention,
            activation="none" if plain else activation,
        )
        if side == 17 and number % 2 == 0:
            layers |= _attention.relate(attention, width, number, norm=norm)
    return sequence(layers)


def _halved(
    conv: Convolution, before: int, first: tuple[int, int], second: tuple[int, int], third: tuple[int, int, int]
) -> nn.Module:
    """From 17 x 17 to 8 x 8: three towers beside a pooling."""
    return Branches(
        {
            "3x3a": tower(conv, before, (first[0], 1), (first[1], 3), last=HALVE),
            "3x3b": tower(conv, before, (second[0], 1), (second[1], 3), last=HALVE),
            "double3x3": tower(conv, before, (third[0], 1), (third[1], 3), (third[2], 3), last=HALVE),
            "pool": nn.MaxPool2d(3, 2),
        }
    )
