"""What if space and channels are looked at separately, all the way through?

    separable(x) = norm(conv1x1(conv3x3 of each channel by itself(x)))

An Inception module with as many branches as channels: "extreme Inception". No activation between the two halves, for
which the paper measured a gain. Chollet 2016, https://arxiv.org/abs/1610.02357, figure 5: an entry flow that halves
the map three times, a middle flow of eight equal blocks, an exit flow, each block with a shortcut. 22,855,952
parameters. For images of 299 pixels; any from 7 will do. `xception_small` is ours for images of about 32 pixels,
`stem="small"`: its first convolution keeps the resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts
from seewhy.networks._chain import Chain, Convolution, convolution, head, normalise, sequence

year = 2016
paper = "https://arxiv.org/abs/1610.02357"
channels = 3

#: The smallest image that leaves the first two convolutions, which a large stem does not pad, something to look at.
SMALLEST = {"large": 7, "small": 1}

sizes: dict[str, dict[str, Any]] = {"xception": {"middle": 8}, "xception_small": {"middle": 8, "stem": "small"}}
classes = {"xception": 1000, "xception_small": 10}
input_size = {"xception": 299, "xception_small": 32}


def build(
    *,
    size: str = "xception",
    classes: int = 1000,
    channels: int = 3,
    middle: int | None = None,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] = "none",
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
    dropout: float = 0.5,
) -> nn.Module:
    """The network with so many blocks in its middle flow; what is None is as the size has it."""
    chosen = _parts.chosen({"stem": "large", **sizes[size]}, middle=middle, stem=stem)
    kind: dict[str, Any] = {"norm": norm, "activation": activation}
    halve: dict[str, Any] = {"stride": 2, "padding": 0} if chosen["stem"] == "large" else {}
    conv: Convolution = partial(convolution, **kind)
    block: Callable[..., nn.Module] = partial(Block, **kind, attention=attention)
    flow: dict[str, nn.Module] = {}
    for number in range(1, chosen["middle"] + 1):
        flow[f"middle{number}"] = block(728, (728, 728, 728))
        if number % 2 == 0:
            flow |= _attention.relate(attention, 728, number, norm=norm)
    network = Chain(
        {
            "conv1": conv(channels, 32, 3, **halve),  # 32, 149, 149
            "conv2": conv(32, 64, 3, padding=0 if halve else 1),  # 64, 147, 147
            "entry1": block(64, (128, 128), stride=2, opens=False),  # 128, 74, 74
            "entry2": block(128, (256, 256), stride=2),  # 256, 37, 37
            "entry3": block(256, (728, 728), stride=2),  # 728, 19, 19
            **flow,
            "exit1": block(728, (728, 1024), stride=2),  # 1024, 10, 10
            "exit2": sequence({**separable(1024, 1536, norm=norm), "act": _parts.activate(activation)}),
            "exit3": sequence({**separable(1536, 2048, norm=norm), "act": _parts.activate(activation)}),
            **head(2048, classes, dropout=dropout),
        },
        smallest=SMALLEST[chosen["stem"]],
    )
    _parts.begin(network, init)
    return network


class Block(nn.Module):
    """Separable convolutions, each after an activation, the first only if the block `opens` with one; and a shortcut.

    With a stride the block ends in a pooling, and the shortcut is a convolution of 1x1.
    """

    def __init__(
        self,
        before: int,
        widths: tuple[int, ...],
        *,
        norm: str,
        attention: str,
        activation: str,
        stride: int = 1,
        opens: bool = True,
    ) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = convolution(before, widths[-1], 1, stride=stride, norm=norm, activation="none")
        layers: dict[str, nn.Module] = {}
        for number, width in enumerate(widths, start=1):
            if opens or number > 1:
                layers[f"act{number}"] = _parts.activate(activation)
            layers[f"separable{number}"] = sequence(separable(before, width, norm=norm))
            before = width
        if stride > 1:
            layers["pool"] = nn.MaxPool2d(3, stride, padding=1)
        self.body = sequence(layers)
        self.attention = _attention.refine(attention, widths[-1])

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        return self.attention(self.body(x)) + self.shortcut(x)


def separable(before: int, width: int, *, norm: str) -> dict[str, nn.Module]:
    """A 3x3 of each channel by itself, then a 1x1 of all."""
    return {
        "depthwise": nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        "pointwise": nn.Conv2d(before, width, 1, bias=norm == "none"),
        "norm": normalise(norm, width),
    }
