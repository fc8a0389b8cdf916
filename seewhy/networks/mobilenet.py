"""How little computation does a network for photographs need?

    layer(x) = act(norm(conv1x1(act(norm(conv3x3 of each channel by itself(x))))))

Thirteen such layers, in which a convolution of 3x3 costs an eighth to a ninth of what it did, and one number that
makes all of them narrower. Howard and others 2017, https://arxiv.org/abs/1704.04861, table 1. `mobilenet_w100` has the
paper's widths and 4,231,976 parameters, `mobilenet_w75`, `mobilenet_w50` and `mobilenet_w25` have 0.75, 0.5 and 0.25
of them. The paper has ReLU; TensorFlow's weights were trained with `activation="relu6"`. Where the map is halved the
padding is even, as in PyTorch; TensorFlow pads below and on the right only.

`se_mobilenet_w100` has squeeze-excitation behind each layer, Hu and others 2017, 4.7 million. `mobilenet_small` is ours
for images of about 32 pixels, `stem="small"`: its first convolution keeps the resolution.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import nn

from seewhy.networks import _attention, _parts
from seewhy.networks._chain import Chain, convolution, head, sequence

year = 2017
channels = 3

sizes: dict[str, dict[str, Any]] = {
    **{f"mobilenet_w{percent}": {"width": percent / 100} for percent in (100, 75, 50, 25)},
    "se_mobilenet_w100": {"width": 1.0, "attention": "se"},
    "mobilenet_small": {"width": 1.0, "stem": "small"},
}
classes = {name: 10 if "stem" in settings else 1000 for name, settings in sizes.items()}
input_size = {name: 32 if "stem" in settings else 224 for name, settings in sizes.items()}
paper = {name: f"https://arxiv.org/abs/{'1709.01507' if name.startswith('se') else '1704.04861'}" for name in sizes}

#: Width and stride of the thirteen layers.
LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def build(
    *,
    size: str = "mobilenet_w100",
    classes: int = 1000,
    channels: int = 3,
    width: float | None = None,
    stem: Literal["large", "small"] | None = None,
    norm: Literal["batch", "group", "layer", "none"] = "batch",
    attention: Literal["none", "se", "cbam", "nonlocal"] | None = None,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] = "he",
    dropout: float = 0.001,
) -> nn.Module:
    """A network for images of any size; `width` multiplies that of every layer."""
    usual = {"stem": "large", "attention": "none", **sizes[size]}
    chosen = _parts.chosen(usual, width=width, stem=stem, attention=attention)
    factor = chosen["width"]
    if factor <= 0:
        raise ValueError(f"width multiplies the channels of every layer and must be more than 0, not {factor}")
    conv = partial(convolution, norm=norm, activation=activation)
    before = _scaled(32, factor)
    layers: dict[str, nn.Module] = {
        "conv1": conv(channels, before, 3, stride=1 if chosen["stem"] == "small" else 2)
    }  # 32, 112, 112
    for number, (wide, stride) in enumerate(LAYERS, start=1):
        after = _scaled(wide, factor)
        layers[f"layer{number}"] = sequence(
            {
                "depthwise": conv(before, before, 3, stride=stride, groups=before),
                "pointwise": conv(before, after, 1),
                **_attention.behind(chosen["attention"], after, norm=norm, middle=number in (8, 10)),
            }
        )
        before = after
    network = Chain({**layers, **head(before, classes, dropout=dropout)})  # 1024, 7, 7 before the head
    _parts.begin(network, init)
    return network


def _scaled(width: int, factor: float) -> int:
    """At least one channel is left."""
    return max(1, int(width * factor))
