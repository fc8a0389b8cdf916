"""How does the network that adds to its input look for photos, with a thousand classes to tell apart?

    stem: conv 7x7/2 -> norm -> relu -> pool/2, then four stages of blocks, then the mean over the places and a head
    basic block        x + [3x3, 3x3]                    18 and 34 layers with weights
    bottleneck block   x + [1x1, 3x3, 1x1 four times as wide]     50, 101 and 152 layers

He, Zhang, Ren and Sun 2015, https://arxiv.org/abs/1512.03385, table 1. Where a stage changes width or resolution, a
convolution of 1 x 1 brings the input into shape (the paper's option B). Three forms, with equal counts of parameters
but for the normalisations (25.6 million with 50 layers):

* `resnet50_v1`: as published; the first 1 x 1 of a bottleneck takes each second pixel and so leaves out three of four.
* `resnet50`: what everyone means by it, "v1.5": the 3 x 3 has the stride. Half a point better, a little slower.
* `preresnet50`: normalisation and ReLU stand before each convolution, so nothing but sums lies between the first block
  and the last norm. He et al. 2016, https://arxiv.org/abs/1603.05027.

`se_resnet50`, `cbam_resnet50` and `nonlocal_resnet50` are the middle form with one of the kinds of attention of
`_attention.py` in each block (28.1, 28.1 and 32.9 million), and any size has them as `attention`.

`stem="small"` is a convolution of 3 x 3 without pooling, for images of about 32 pixels. norm="group" is Wu and He 2018,
https://arxiv.org/abs/1803.08494; with `zero_last` each block begins as the identity, as they and others have it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts

classes = 1000
channels = 3
input_size = 224

#: By layers with weights: how many blocks each stage has, and whether they are bottlenecks.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
sizes: dict[str, dict[str, Any]] = {
    **{f"resnet{depth}": {"depth": depth} for depth in DEPTHS},
    **{f"resnet{depth}_v1": {"depth": depth, "form": "v1"} for depth in (50, 101, 152)},
    **{f"preresnet{depth}": {"depth": depth, "form": "pre"} for depth in DEPTHS},
    **{f"se_resnet{depth}": {"depth": depth, "attention": "se"} for depth in (50, 101, 152)},
    **{f"cbam_resnet{depth}": {"depth": depth, "attention": "cbam"} for depth in (18, 34, 50, 101)},
    "nonlocal_resnet50": {"depth": 50, "attention": "nonlocal"},
}
#: Year and paper of what is not of 2015.
LATER = {"pre": (2016, "https://arxiv.org/abs/1603.05027"), **_attention.PUBLISHED}
origins = {
    name: LATER.get(settings.get("attention", settings.get("form", "")), (2015, "https://arxiv.org/abs/1512.03385"))
    for name, settings in sizes.items()
}
year = {name: origin[0] for name, origin in origins.items()}
paper = {name: origin[1] for name, origin in origins.items()}


def build(
    *,
    size: str = "resnet50",
    classes: int = 1000,
    channels: int = 3,
    depth: int | None = None,
    form: Literal["v1", "v1.5", "pre"] | None = None,
    width: int = 64,
    stem: Literal["large", "small"] = "large",
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    zero_last: bool = False,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A residual network for images of any size; what is None is as the size has it.

    `width` is the number of filters of the stem; `zero_last` makes the last scale of each block begin at 0. `init` None
    draws the convolutions as the authors do, by their outputs.
    """
    usual = {"form": "v1.5", "attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, depth=depth, form=form, attention=attention)
    if chosen["depth"] not in DEPTHS:
        raise ValueError(f"These networks have {', '.join(map(str, DEPTHS))} layers; depth is {chosen['depth']}")
    if zero_last and (norm == "none" or chosen["form"] == "pre"):
        raise ValueError("zero_last needs a norm at the end of each block, which norm='none' and form='pre' have not")
    blocks, bottleneck = DEPTHS[chosen["depth"]]
    network = ResNet(
        blocks=blocks,
        width=width,
        bottleneck=bottleneck,
        form=chosen["form"],
        small_stem=stem == "small",
        norm=norm,
        attention=chosen["attention"],
        activation=activation,
        channels=channels,
        classes=classes,
    )
    _parts.begin(network, init)
    for name, module in network.named_modules():
        if zero_last and isinstance(module, Block):
            nn.init.zeros_(network.get_parameter(f"{name}.norm{module.convolutions}.weight"))
    return network


class ResNet(nn.Module):
    """A stem, four stages of blocks, each but the first at half the resolution, the mean over the places, a head."""

    stage1: nn.Module
    stage2: nn.Module
    stage3: nn.Module
    stage4: nn.Module

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        width: int,
        bottleneck: bool,
        form: str,
        small_stem: bool,
        norm: str,
        attention: str,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small_stem else (7, 2)
        pre = form == "pre"
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=norm == "none")
        # With form="pre" the first block normalises what the stem puts out, the last layers what the last block does.
        self.norm1 = nn.Identity() if pre else _parts.normalise(norm, width)
        self.act1 = nn.Identity() if pre else _parts.activate(activation, fresh=True)
        self.pool1 = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        kind: type[Block] = PreBlock if pre else Block
        before = width
        for place, count in enumerate(blocks, start=1):
            inner = width * 2 ** (place - 1)
            after = inner * 4 if bottleneck else inner
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, count + 1):
                stage[f"block{number}"] = kind(
                    before,
                    after,
                    steps=_steps(inner, after, bottleneck, stride=2 if place > 1 and number == 1 else 1, form=form),
                    norm=norm,
                    attention=attention,
                    activation=activation,
                )
                before = after
                if place in (2, 3) and number % 2 == 0:
                    stage |= _attention.relate(attention, after, number, norm=norm)
            self.add_module(f"stage{place}", nn.Sequential(stage))
        self.norm5 = _parts.normalise(norm, before) if pre else nn.Identity()
        self.act5 = _parts.activate(activation, fresh=norm != "none") if pre else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(before, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.pool1(self.act1(self.norm1(self.conv1(image))))  # batch, width, height/4, width/4
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))  # batch, 8 or 32 width, height/32, width/32
        return self.head(self.flatten(self.pool(self.act5(self.norm5(x)))))


def _steps(inner: int, after: int, bottleneck: bool, *, stride: int, form: str) -> list[tuple[int, int, int]]:
    """The convolutions of a block: filters, side of the kernel, stride."""
    if not bottleneck:
        return [(inner, 3, stride), (after, 3, 1)]
    if form == "v1":
        return [(inner, 1, stride), (inner, 3, 1), (after, 1, 1)]
    return [(inner, 1, 1), (inner, 3, stride), (after, 1, 1)]


class Block(nn.Module):
    """relu(x + norm(conv(… relu(norm(conv(x)))))): the last ReLU comes after the sum."""

    conv1: nn.Module
    norm1: nn.Module
    act1: nn.Module
    conv2: nn.Module
    norm2: nn.Module
    act2: nn.Module
    conv3: nn.Module  # these three in bottlenecks only
    norm3: nn.Module
    act3: nn.Module

    def __init__(
        self, before: int, after: int, *, steps: list[tuple[int, int, int]], norm: str, attention: str, activation: str
    ) -> None:
        super().__init__()
        self.convolutions = len(steps)
        stride, width = 1, before
        for number, (filters, kernel, step) in enumerate(steps, start=1):
            self.add_module(f"conv{number}", _conv(width, filters, kernel, step, norm))
            self.add_module(f"norm{number}", _parts.normalise(norm, self.normalised(width, filters)))
            self.add_module(f"act{number}", _parts.activate(activation, fresh=norm != "none"))
            width, stride = filters, stride * step
        self.attention = _attention.refine(attention, after)
        self.shortcut: nn.Module | None = None
        if stride > 1 or before != after:
            self.shortcut = self.projection(before, after, stride, norm)

    @staticmethod
    def normalised(before: int, after: int) -> int:
        """How many channels the norm beside a convolution from `before` to `after` channels sees."""
        return after

    @staticmethod
    def projection(before: int, after: int, stride: int, norm: str) -> nn.Module:
        parts = {"conv": _conv(before, after, 1, stride, norm), "norm": _parts.normalise(norm, after)}
        return nn.Sequential(OrderedDict(parts))

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        same = x if self.shortcut is None else self.shortcut(x)
        x = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        if self.convolutions == 2:
            return self.act2(same + self.attention(x))
        return self.act3(same + self.attention(self.norm3(self.conv3(self.act2(x)))))


class PreBlock(Block):
    """x + conv(relu(norm(… conv(relu(norm(x)))))); a projection sees the normalised input too."""

    @staticmethod
    def normalised(before: int, after: int) -> int:
        return before

    @staticmethod
    def projection(before: int, after: int, stride: int, norm: str) -> nn.Module:
        return _conv(before, after, 1, stride, norm)

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        bent = self.act1(self.norm1(x))
        same = x if self.shortcut is None else self.shortcut(bent)
        x = self.conv2(self.act2(self.norm2(self.conv1(bent))))
        return same + self.attention(x if self.convolutions == 2 else self.conv3(self.act3(self.norm3(x))))


def _conv(before: int, after: int, kernel: int, stride: int, norm: str) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=norm == "none")
