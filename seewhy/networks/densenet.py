"""What if every layer can read what every layer before it has found?

    layer(x) = [x, conv3x3(relu(norm(x)))]                               the new channels stand behind the old ones
    layer(x) = [x, conv3x3(relu(norm(conv1x1(relu(norm(x))))))]          with a bottleneck

Huang, Liu, van der Maaten and Weinberger 2016, https://arxiv.org/abs/1608.06993. Each layer adds `growth` channels; a
block of such layers keeps the resolution, and a transition between blocks (norm, relu, 1 x 1, mean pooling) halves it.
A bottleneck has 4 x growth channels; `compression` is the share of the channels that a transition lets through.

* For small images three equal blocks: `densenet40_k12`, `densenet100_k12`, `densenet100_k24` (1.0, 7.0 and 27.2 million
  parameters), and with bottleneck and compression of a half `densenet_bc100_k12`, `densenet_bc250_k24`,
  `densenet_bc190_k40` (0.8, 15.3 and 25.6 million).
* For photos a stem of 7 x 7, four blocks, bottleneck and compression: 121, 161, 169, 201 and 264 layers with weights.

`attention` stands behind each block. `dropout` after each convolution but the first: the paper takes 0.2 where images
are not augmented.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts

year = 2016
paper = "https://arxiv.org/abs/1608.06993"
channels = 3


def _plain(depth: int, growth: int) -> dict[str, Any]:
    """Three equal blocks; stem, two transitions and head are the other four layers."""
    return {"blocks": ((depth - 4) // 3,) * 3, "growth": growth, "first": 16, "compression": 1.0, "stem": "small"}


def _bc(depth: int, growth: int) -> dict[str, Any]:
    """The same with two convolutions a layer."""
    blocks = ((depth - 4) // 6,) * 3
    return {"blocks": blocks, "growth": growth, "first": 2 * growth, "bottleneck": True, "stem": "small"}


def _photos(growth: int, *blocks: int) -> dict[str, Any]:
    return {"blocks": blocks, "growth": growth, "first": 2 * growth, "bottleneck": True, "stem": "large"}


sizes: dict[str, dict[str, Any]] = {
    "densenet40_k12": _plain(40, 12),
    "densenet100_k12": _plain(100, 12),
    "densenet100_k24": _plain(100, 24),
    "densenet_bc100_k12": _bc(100, 12),
    "densenet_bc250_k24": _bc(250, 24),
    "densenet_bc190_k40": _bc(190, 40),
    "densenet121": _photos(32, 6, 12, 24, 16),
    "densenet161": _photos(48, 6, 12, 36, 24),
    "densenet169": _photos(32, 6, 12, 32, 32),
    "densenet201": _photos(32, 6, 12, 48, 32),
    "densenet264": _photos(32, 6, 12, 64, 48),
}
classes = {name: 10 if settings["stem"] == "small" else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if settings["stem"] == "small" else 224 for name, settings in sizes.items()}


def build(
    *,
    size: str = "densenet121",
    classes: int = 1000,
    channels: int = 3,
    blocks: tuple[int, ...] | None = None,
    growth: int | None = None,
    first: int | None = None,
    bottleneck: bool | None = None,
    compression: float | None = None,
    stem: Literal["large", "small"] | None = None,
    dropout: float = 0.0,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] = "none",
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A DenseNet for images of any size; what is None is as the size has it.

    `blocks` has the number of layers of each block, `first` is the number of filters of the stem.
    """
    chosen = _parts.chosen(
        {"bottleneck": False, "compression": 0.5, **sizes[size]},
        blocks=blocks,
        growth=growth,
        first=first,
        bottleneck=bottleneck,
        compression=compression,
        stem=stem,
    )
    network = DenseNet(
        blocks=chosen["blocks"],
        growth=chosen["growth"],
        first=chosen["first"],
        bottleneck=chosen["bottleneck"],
        compression=chosen["compression"],
        large_stem=chosen["stem"] == "large",
        dropout=dropout,
        norm=norm,
        attention=attention,
        activation=activation,
        channels=channels,
        classes=classes,
    )
    _parts.begin(network, init)
    nn.init.zeros_(network.head.bias)
    return network


class DenseNet(nn.Module):
    """A stem, blocks with transitions between them, a last norm, the mean over the places, a linear head."""

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        growth: int,
        first: int,
        bottleneck: bool,
        compression: float,
        large_stem: bool,
        dropout: float,
        norm: str,
        attention: str,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if large_stem:
            parts["conv"] = nn.Conv2d(channels, first, 7, stride=2, padding=3, bias=norm == "none")
            parts["norm"] = _parts.normalise(norm, first)
            parts["act"] = _parts.activate(activation, fresh=norm != "none")
            parts["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            parts["conv"] = nn.Conv2d(channels, first, 3, padding=1, bias=norm == "none")
        self.stem = nn.Sequential(parts)
        width = first
        for place, count in enumerate(blocks, start=1):
            if place > 1:
                after = int(width * compression)
                self.add_module(
                    f"transition{place - 1}",
                    _transition(width, after, dropout=dropout, norm=norm, activation=activation),
                )
                width = after
            block: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, count + 1):
                block[f"layer{number}"] = Layer(
                    width, growth, bottleneck=bottleneck, dropout=dropout, norm=norm, activation=activation
                )
                width += growth
            block |= _attention.behind(attention, width, norm=norm, middle=place in (2, 3))
            self.add_module(f"block{place}", nn.Sequential(block))
        self.between = [f"transition{place}" for place in range(1, len(blocks))]
        self.norm = _parts.normalise(norm, width)
        self.act = _parts.activate(activation, fresh=norm != "none")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(width, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.get_submodule("block1")(self.stem(image))
        for place, transition in enumerate(self.between, start=2):
            x = self.get_submodule(f"block{place}")(self.get_submodule(transition)(x))
        return self.head(self.flatten(self.pool(self.act(self.norm(x)))))


class Layer(nn.Module):
    """All that was found so far, and `growth` channels more."""

    def __init__(
        self, before: int, growth: int, *, bottleneck: bool, dropout: float, norm: str, activation: str
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.norm1 = _parts.normalise(norm, before)
        self.act1 = _parts.activate(activation, fresh=norm != "none")
        self.conv1 = nn.Conv2d(before, 4 * growth, 1, bias=bias) if bottleneck else nn.Identity()
        self.norm2 = _parts.normalise(norm, 4 * growth) if bottleneck else nn.Identity()
        self.act2 = _parts.activate(activation, fresh=norm != "none") if bottleneck else nn.Identity()
        self.conv2 = nn.Conv2d(4 * growth if bottleneck else before, growth, 3, padding=1, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after height width"]:
        new = self.conv1(self.act1(self.norm1(x)))  # batch, before or 4 growth, height, width
        new = self.drop(self.conv2(self.act2(self.norm2(new))))  # batch, growth, height, width
        return torch.cat([x, new], 1)


def _transition(before: int, after: int, *, dropout: float, norm: str, activation: str) -> nn.Module:
    """From block to block, at half the resolution."""
    return nn.Sequential(
        OrderedDict(
            norm=_parts.normalise(norm, before),
            act=_parts.activate(activation, fresh=norm != "none"),
            conv=nn.Conv2d(before, after, 1, bias=norm == "none"),
            drop=nn.Dropout(dropout),
            pool=nn.AvgPool2d(2),
        )
    )
