"""What if a block is widened not by more filters that all see everything, but by more groups that see a part each?

    block(x) = relu(x + [1x1, 3x3 in `cardinality` groups, 1x1])

Xie, Girshick, Dollár, Tu and He 2016, https://arxiv.org/abs/1611.05431: at equal cost, more groups are better than a
deeper or a wider network. A group of the first stage has `base` channels, twice as many in each stage that follows, and
each stage puts out 256, 512, 1024, 2048 channels. `resnext50_32x4d` reads: 50 layers with weights, 32 groups of 4.
The 3 x 3 has the stride; where width or resolution change, a 1 x 1 with norm brings the input into shape.

`resnext29_…` are the networks for small images: a stem of 3 x 3 without pooling and three stages of three blocks.
16x64d and 8x64d are the paper's, 68.1 and 34.4 million parameters; 32x4d, of 4.8 million, is a common small one.

`se_…` and `cbam_…` have one of the kinds of attention of `_attention.py` in each block, and any size has them as
`attention`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts

channels = 3

#: The sizes of the paper for photos.
PHOTOS: dict[str, dict[str, Any]] = {
    "resnext50_32x4d": {"blocks": (3, 4, 6, 3), "cardinality": 32, "base": 4, "stem": "large"},
    "resnext101_32x4d": {"blocks": (3, 4, 23, 3), "cardinality": 32, "base": 4, "stem": "large"},
    "resnext101_32x8d": {"blocks": (3, 4, 23, 3), "cardinality": 32, "base": 8, "stem": "large"},
    "resnext101_64x4d": {"blocks": (3, 4, 23, 3), "cardinality": 64, "base": 4, "stem": "large"},
}
sizes: dict[str, dict[str, Any]] = {
    **PHOTOS,
    "resnext29_32x4d": {"blocks": (3, 3, 3), "cardinality": 32, "base": 4, "stem": "small"},
    "resnext29_8x64d": {"blocks": (3, 3, 3), "cardinality": 8, "base": 64, "stem": "small"},
    "resnext29_16x64d": {"blocks": (3, 3, 3), "cardinality": 16, "base": 64, "stem": "small"},
    **{
        f"{kind}_{name}": {**PHOTOS[name], "attention": kind}
        for kind in ("se", "cbam")
        for name in ("resnext50_32x4d", "resnext101_32x4d")
    },
}
origins = {
    name: _attention.PUBLISHED.get(settings.get("attention", ""), (2016, "https://arxiv.org/abs/1611.05431"))
    for name, settings in sizes.items()
}
year = {name: origin[0] for name, origin in origins.items()}
paper = {name: origin[1] for name, origin in origins.items()}
classes = {name: 10 if settings["stem"] == "small" else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if settings["stem"] == "small" else 224 for name, settings in sizes.items()}


def build(
    *,
    size: str = "resnext50_32x4d",
    classes: int = 1000,
    channels: int = 3,
    blocks: tuple[int, ...] | None = None,
    cardinality: int | None = None,
    base: int | None = None,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A ResNeXt for images of any size; what is None is as the size has it. `blocks` has a number for each stage."""
    usual = {"attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, blocks=blocks, cardinality=cardinality, base=base, stem=stem, attention=attention)
    network = ResNeXt(
        blocks=chosen["blocks"],
        cardinality=chosen["cardinality"],
        base=chosen["base"],
        small_stem=chosen["stem"] == "small",
        norm=norm,
        attention=chosen["attention"],
        activation=activation,
        channels=channels,
        classes=classes,
    )
    _parts.begin(network, init)
    return network


class ResNeXt(nn.Module):
    """A stem, stages of blocks, each but the first at half the resolution, the mean over the places, a linear head."""

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        cardinality: int,
        base: int,
        small_stem: bool,
        norm: str,
        attention: str,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small_stem else (7, 2)
        self.conv1 = nn.Conv2d(channels, 64, kernel, stride, padding=kernel // 2, bias=norm == "none")
        self.norm1 = _parts.normalise(norm, 64)
        self.act1 = _parts.activate(activation, fresh=True)
        self.pool1 = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        before = 64
        for place, count in enumerate(blocks, start=1):
            wider = 2 ** (place - 1)
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, count + 1):
                stage[f"block{number}"] = Block(
                    before,
                    256 * wider,
                    inner=cardinality * base * wider,
                    groups=cardinality,
                    stride=2 if place > 1 and number == 1 else 1,
                    norm=norm,
                    attention=attention,
                    activation=activation,
                )
                before = 256 * wider
                if place in (2, 3) and number % 2 == 0:
                    stage |= _attention.relate(attention, before, number, norm=norm)
            self.add_module(f"stage{place}", nn.Sequential(stage))
        self.stages = tuple(f"stage{place}" for place in range(1, len(blocks) + 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(before, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.pool1(self.act1(self.norm1(self.conv1(image))))  # batch, 64, height/4, width/4 (small stem: all of it)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)  # the last: batch, 2048 or 1024, height/32, width/32 (small stem: /4)
        return self.head(self.flatten(self.pool(x)))


class Block(nn.Module):
    """Narrow by 1 x 1, look around by 3 x 3 in groups, widen by 1 x 1, and add what came in."""

    def __init__(
        self,
        before: int,
        after: int,
        *,
        inner: int,
        groups: int,
        stride: int,
        norm: str,
        attention: str,
        activation: str,
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(before, inner, 1, bias=bias)
        self.norm1 = _parts.normalise(norm, inner)
        self.act1 = _parts.activate(activation, fresh=True)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=bias)
        self.norm2 = _parts.normalise(norm, inner)
        self.act2 = _parts.activate(activation, fresh=True)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=bias)
        self.norm3 = _parts.normalise(norm, after)
        self.attention = _attention.refine(attention, after)
        self.shortcut: nn.Module | None = None
        if stride > 1 or before != after:
            parts = {"conv": nn.Conv2d(before, after, 1, stride, bias=bias), "norm": _parts.normalise(norm, after)}
            self.shortcut = nn.Sequential(OrderedDict(parts))
        self.act3 = _parts.activate(activation, fresh=True)

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        added = self.act1(self.norm1(self.conv1(x)))  # batch, inner, height, width
        added = self.act2(self.norm2(self.conv2(added)))  # batch, inner, height_after, width_after
        added = self.attention(self.norm3(self.conv3(added)))
        return self.act3(added + (x if self.shortcut is None else self.shortcut(x)))
