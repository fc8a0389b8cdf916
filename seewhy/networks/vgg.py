"""How far do convolutions of 3 x 3 alone carry, if there are many of them?

    five stages of conv 3x3 -> ReLU, each ended by a pooling that halves the map, then linear fc6 -> fc7 -> head

Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556. Two convolutions of 3 x 3 see what one of 5 x 5 sees, with
fewer weights and a ReLU more. The stages have 64, 128, 256, 512 and 512 filters; 11, 13, 16 and 19 count the layers
with weights (the paper's A, B, D and E). 133, 133, 138 and 144 million parameters, most of them in fc6.

* `vgg16`: as published; `vgg16_bn`: with a batch normalisation after each convolution, which came later, and without
  which the deeper ones did not learn unless begun from a shallower one.
* `vgg16_cifar`: for images of 32 pixels, of which the five poolings leave one place: with batch normalisation, and
  with the head in place of all three linear layers. 14.7 million parameters.

`attention` stands at the end of each stage. Images of other sizes are averaged (or repeated) to the 7 x 7 places that
fc6 sees, without fc6 to one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _attention, _parts

year = 2014
paper = "https://arxiv.org/abs/1409.1556"
channels = 3

#: How many convolutions each stage has.
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

sizes: dict[str, dict[str, Any]] = {
    **{f"vgg{depth}": {"depth": depth} for depth in DEPTHS},
    **{f"vgg{depth}_bn": {"depth": depth, "norm": "batch"} for depth in DEPTHS},
    **{f"vgg{depth}_cifar": {"depth": depth, "norm": "batch", "hidden": 0} for depth in DEPTHS},
}
classes = {name: 10 if name.endswith("cifar") else 1000 for name in sizes}
input_size = {name: 32 if name.endswith("cifar") else 224 for name in sizes}

#: Five poolings leave a place of so many pixels.
SMALLEST = 32


def build(
    *,
    size: str = "vgg16_bn",
    classes: int = 1000,
    channels: int = 3,
    depth: int | None = None,
    norm: Literal["batch", "group", "layer", "none"] | None = None,
    attention: Literal["none", "se", "cbam", "nonlocal"] = "none",
    hidden: int | None = None,
    dropout: float = 0.5,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A VGG for images of 32 pixels or more; what is None is as the size has it.

    `hidden` units in fc6 and fc7, neither of which is there if it is 0. `init` None draws the convolutions as He et al.
    do, by their outputs, and the linear layers from N(0, 0.01).
    """
    chosen = _parts.chosen({"norm": "none", "hidden": 4096, **sizes[size]}, depth=depth, norm=norm, hidden=hidden)
    if chosen["depth"] not in DEPTHS:
        raise ValueError(f"A VGG has {', '.join(map(str, DEPTHS))} layers with weights; depth is {chosen['depth']}")
    network = VGG(
        convolutions=DEPTHS[chosen["depth"]],
        widths=(64, 128, 256, 512, 512),
        norm=chosen["norm"],
        attention=attention,
        hidden=chosen["hidden"],
        dropout=dropout,
        activation=activation,
        channels=channels,
        classes=classes,
    )
    _parts.begin(network, init or "normal")
    if init is None:
        _parts.begin(network, None)
    return network


class VGG(nn.Sequential):
    """Stages of convolutions and a pooling each, then linear layers; conv3_2 is the second of the third stage."""

    def __init__(
        self,
        *,
        convolutions: tuple[int, ...],
        widths: tuple[int, ...],
        norm: str,
        attention: str,
        hidden: int,
        dropout: float,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = channels
        for stage, (count, width) in enumerate(zip(convolutions, widths, strict=True), start=1):
            for number in range(1, count + 1):
                place = f"{stage}_{number}"
                layers[f"conv{place}"] = nn.Conv2d(before, width, 3, padding=1)
                if norm != "none":
                    layers[f"norm{place}"] = _parts.normalise(norm, width)
                layers[f"act{place}"] = _parts.activate(activation, fresh=True)
                before = width
            for name, layer in _attention.behind(attention, width, norm=norm, middle=stage in (4, 5)).items():
                layers[f"{name}{stage}"] = layer
            layers[f"pool{stage}"] = nn.MaxPool2d(2)  # 112, 56, 28, 14, 7 for 224
        side = 7 if hidden else 1
        layers["fit"] = nn.AdaptiveAvgPool2d(side)
        layers["flatten"] = nn.Flatten()
        before *= side * side
        for linear in (6, 7) if hidden else ():
            layers[f"fc{linear}"] = nn.Linear(before, hidden)
            layers[f"act{linear}"] = _parts.activate(activation, fresh=True)
            layers[f"drop{linear}"] = nn.Dropout(dropout)
            before = hidden
        layers["head"] = nn.Linear(before, classes)
        super().__init__(layers)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        if min(image.shape[2:]) < SMALLEST:
            height, width = image.shape[2:]
            raise ValueError(f"A VGG needs images of at least {SMALLEST} pixels a side and got {height} x {width}")
        return super().forward(image)
