"""Can the 1x1 convolutions be split into groups, if the groups hear of each other?

    unit(x) = relu(x + norm(group1x1(norm(depthwise3x3(shuffle(relu(norm(group1x1(x)))))))))

In networks of depthwise convolutions nearly all the cost is in the 1x1. In groups they cost a part of it, and shuffling
the channels between two of them lets each group see all of the others. Zhang, Zhou, Lin and Sun 2017,
https://arxiv.org/abs/1707.01083, table 1: for 1, 2, 3, 4 and 8 groups as many channels as 140 million multiply-adds
allow, at 1.5, 2, 0.5 and 0.25 times the width. `shufflenet_g3_w100` has 3 groups and the width of the table.

The paper does not say how widths are rounded where they do not fall into groups. Here a unit's inner width, a quarter
of its output's, is rounded down to a multiple of the groups, and that of the first convolution up.

`se_shufflenet_g3_w100` has squeeze-excitation in each unit, Hu and others 2017. `shufflenet_small` is ours for images
of about 32 pixels, `stem="small"`: its first convolution keeps the resolution, and no pooling follows.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, cat, nn

from seewhy.networks import _attention, _parts
from seewhy.networks._chain import Chain, convolution, head, sequence

year = 2017
channels = 3

#: Channels of the first stage by the number of groups; those of the second and third are twice and four times as many.
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}

#: Units of each stage, the first of which halves the map.
UNITS = (4, 8, 4)

#: Filters of the first convolution by the width in percent, as its authors have them: 24 at 150 too, for the paper's
#: 292 million multiply-adds with 3 groups.
FIRST = {25: 6, 50: 12, 100: 24, 150: 24, 200: 48}

sizes: dict[str, dict[str, Any]] = {
    **{
        f"shufflenet_g{groups}_w{percent}": {"groups": groups, "width": percent / 100, "first": first}
        for groups in CHANNELS
        for percent, first in FIRST.items()
    },
    "se_shufflenet_g3_w100": {"groups": 3, "width": 1.0, "first": 24, "attention": "se"},
    "shufflenet_small": {"groups": 3, "width": 1.0, "first": 24, "stem": "small"},
}
classes = {name: 10 if "stem" in settings else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if "stem" in settings else 224 for name, settings in sizes.items()}
paper = {name: f"https://arxiv.org/abs/{'1709.01507' if name.startswith('se') else '1707.01083'}" for name in sizes}


def build(
    *,
    size: str = "shufflenet_g3_w100",
    classes: int = 1000,
    channels: int = 3,
    groups: int | None = None,
    width: float | None = None,
    first: int | None = None,
    stem: Literal["large", "small"] | None = None,
    shuffle: bool = True,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
) -> nn.Module:
    """A network for images of any size; what is None is as the size has it. Without `shuffle` groups stay apart.

    `width` multiplies the channels of the stages, `first` is how many the first convolution has.
    """
    usual = {"stem": "large", "attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, groups=groups, width=width, first=first, stem=stem, attention=attention)
    split, factor = chosen["groups"], chosen["width"]
    if split not in CHANNELS:
        raise ValueError(f"ShuffleNet has 1, 2, 3, 4 or 8 groups, not {split}")
    wide = int(CHANNELS[split] * factor)
    if wide % split or wide // 4 < split:
        raise ValueError(
            f"With a width of {factor} the {wide} channels of the first stage do not fall into {split} groups"
        )
    before = math.ceil(chosen["first"] / split) * split
    kind: dict[str, Any] = {"norm": norm, "activation": activation}
    if chosen["stem"] == "small":
        layers: dict[str, nn.Module] = {"conv1": convolution(channels, before, 3, **kind)}  # 24, 32, 32
    else:
        layers = {
            "conv1": convolution(channels, before, 3, stride=2, **kind),  # 24, 112, 112
            "pool1": nn.MaxPool2d(3, 2, padding=1),  # 24, 56, 56
        }
    unit = partial(Unit, groups=split, shuffle=shuffle, attention=chosen["attention"], **kind)
    for place, count in enumerate(UNITS, start=2):  # the paper counts from stage 2
        units: dict[str, nn.Module] = {"unit1": unit(before=before, after=wide, halve=True, whole=place == 2)}
        for number in range(2, count + 1):
            units[f"unit{number}"] = unit(before=wide, after=wide)
            if place == 3 and number % 2 == 0:
                units |= _attention.relate(chosen["attention"], wide, number, norm=norm)
        layers[f"stage{place}"] = sequence(units)  # 240, 28, 28; then 480, 14, 14; then 960, 7, 7
        before, wide = wide, 2 * wide
    network = Chain({**layers, **head(before, classes)})
    _parts.begin(network, init)
    return network


class Unit(nn.Module):
    """Figure 2 of the paper: b, or c if it is to `halve` the map, where the input is pooled and joined, not added.

    `whole` leaves the first convolution in one group: what enters stage 2 has too few channels for several.
    """

    def __init__(
        self,
        before: int,
        after: int,
        *,
        groups: int,
        shuffle: bool,
        norm: str,
        attention: str,
        activation: str,
        halve: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__()
        inner = after // 4 // groups * groups
        added = after - before if halve else after
        kind: dict[str, Any] = {"norm": norm, "activation": "none"}
        self.halve = halve
        self.reduce = convolution(before, inner, 1, groups=1 if whole else groups, norm=norm, activation=activation)
        self.shuffle = Shuffle(groups) if shuffle else nn.Identity()
        self.depthwise = convolution(inner, inner, 3, stride=2 if halve else 1, groups=inner, **kind)
        self.expand = convolution(inner, added, 1, groups=groups, **kind)
        self.attention = _attention.refine(attention, added)
        self.pool = nn.AvgPool2d(3, 2, padding=1) if halve else nn.Identity()
        self.act = _parts.activate(activation, fresh=True)

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        y = self.attention(self.expand(self.depthwise(self.shuffle(self.reduce(x)))))
        return self.act(cat([self.pool(x), y], dim=1) if self.halve else x + y)


class Shuffle(nn.Module):
    """The channels of each group dealt out to all groups in turn."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        batch, channels, height, width = x.shape
        grouped = x.view(batch, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(batch, channels, height, width)
