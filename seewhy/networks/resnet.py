"""What if each block of layers only has to learn what to add to its input?

    block(x) = relu(x + norm(conv3x3(relu(norm(conv3x3(x))))))

He, Zhang, Ren and Sun 2015, https://arxiv.org/abs/1512.03385, section 4.2: the networks for small images. Three stages
of n blocks with 16, 32 and 64 filters, the second and third at half the resolution of the one before, 6n + 2 layers
with weights. The shortcuts have none (the paper's option A: every second pixel, new channels zero), so that `plain20`,
the same network without shortcuts, has exactly as many parameters as `resnet20`: 0.27 million, as the paper says.

The paper's sizes take hours to train without a GPU. Two of ours, 8 layers of twice the width, take minutes:

* `resnet_tiny`, for images of up to about 16 pixels, such as 8 x 8 digits;
* `resnet_small`, for images of about 16 to 64 pixels: its first convolution, of 5 x 5, halves the resolution at once,
  for on a CPU wide layers on small maps are quick and narrow ones on large maps are not.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.networks import _attention, _parts

year = 2015
paper = "https://arxiv.org/abs/1512.03385"
classes = 10
channels = 3

sizes: dict[str, dict[str, Any]] = {
    **{f"resnet{depth}": {"depth": depth} for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}": {"depth": depth, "residual": False} for depth in (20, 32, 44, 56, 110)},
    "resnet_small": {"depth": 8, "width": 32, "stem": "half"},
    "resnet_tiny": {"depth": 8, "width": 32},
}
input_size = {name: 8 if name == "resnet_tiny" else 32 for name in sizes}

#: How many channels are normalised together under norm="group".
GROUP = 8


def build(
    *,
    size: str = "resnet20",
    classes: int = 10,
    channels: int = 3,
    depth: int | None = None,
    width: int | None = None,
    residual: bool | None = None,
    stem: Literal["full", "half"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] = "none",
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A network of 6n + 2 layers for images of any size; what is None is as the size has it.

    `width` is the number of filters of the first stage; `stem` says whether the first convolution keeps the resolution.
    `init` None draws the convolutions as the authors do, by their outputs.
    """
    usual = {"width": 16, "residual": True, "stem": "full", **sizes[size]}
    chosen = _parts.chosen(usual, depth=depth, width=width, residual=residual, stem=stem)
    blocks, rest = divmod(chosen["depth"] - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"These networks have 6n + 2 layers, such as 8, 14, 20 or 56; depth is {chosen['depth']}")
    if norm == "group" and chosen["width"] % GROUP:
        raise ValueError(
            f"norm='group' normalises {GROUP} channels together: width must be a multiple, not {chosen['width']}"
        )
    network = ResNet(
        blocks=(blocks,) * 3,
        widths=(chosen["width"], 2 * chosen["width"], 4 * chosen["width"]),
        residual=chosen["residual"],
        halve=chosen["stem"] == "half",
        norm=norm,
        attention=attention,
        activation=activation,
        channels=channels,
        classes=classes,
    )
    _parts.begin(network, init)
    return network


class ResNet(nn.Module):
    """A stem, stages of blocks, each but the first at half the resolution, the mean over the places, a linear head."""

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        residual: bool,
        halve: bool,
        norm: str,
        attention: str,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        kernel, stride = (5, 2) if halve else (3, 1)
        self.conv1 = nn.Conv2d(channels, widths[0], kernel, stride, padding=kernel // 2, bias=norm == "none")
        self.norm1 = _norm(norm, widths[0])
        self.relu = _parts.activate(activation, fresh=True)
        before = widths[0]
        for place, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, count + 1):
                stride = 2 if place > 1 and number == 1 else 1
                stage[f"block{number}"] = Block(
                    before,
                    width,
                    stride=stride,
                    residual=residual,
                    norm=norm,
                    attention=attention,
                    activation=activation,
                )
                before = width
                if place in (2, 3) and number % 2 == 0:
                    stage |= _attention.relate(attention, width, number, norm=norm)
            self.add_module(f"stage{place}", nn.Sequential(stage))
        self.stages = tuple(f"stage{place}" for place in range(1, len(blocks) + 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(before, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.relu(self.norm1(self.conv1(image)))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)  # the last: batch, 4 width, height/4, width/4 (half that with stem="half")
        return self.head(self.flatten(self.pool(x)))


class Block(nn.Module):
    """Two convolutions of 3 x 3, and what came in added to what they make of it, unless `residual` is off."""

    def __init__(
        self, before: int, width: int, *, stride: int, residual: bool, norm: str, attention: str, activation: str
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=bias)
        self.norm1 = _norm(norm, width)
        self.relu1 = _parts.activate(activation, fresh=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm2 = _norm(norm, width)
        self.attention = _attention.refine(attention, width)
        self.shortcut = Shortcut(width - before, stride) if residual else None
        self.relu2 = _parts.activate(activation, fresh=True)

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        added = self.attention(self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x))))))
        return self.relu2(added if self.shortcut is None else added + self.shortcut(x))


class Shortcut(nn.Module):
    """The input itself; where the block halves the map, every second pixel of it, with zeros for the new channels."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels)) if self.new_channels else x


def _norm(name: str, channels: int) -> nn.Module:
    """Normalisation of a map of so many channels."""
    return _parts.normalise(name, channels, groups=channels // GROUP)
