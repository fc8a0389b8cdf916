"""What did the network look like that made the whole field turn to learning?

    image -> conv1 11x11/4 -> pool -> conv2 5x5 -> pool -> conv3 -> conv4 -> conv5 3x3 -> pool -> fc6 -> fc7 -> head

Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks: ReLU in place
of tanh, overlapping pooling, dropout, and training on two GPUs.

* `alexnet`: as published. conv2, conv4 and conv5 have two groups, because each GPU saw its own half of the channels;
  after conv1 and conv2 each value is divided by what its neighbours among the channels say,
      b[c] = a[c] / (2 + 1e-4 * sum of a[c']^2 over the 5 channels around c) ^ 0.75
  and the weights begin at N(0, 0.01) with biases of 1 where they feed a ReLU early or late (conv2, 4, 5, fc6, fc7).
  60,965,224 parameters. The paper says 224 pixels where its maps of 55 x 55 need 227, or a padding of 2 as here.
* `alexnet_one`: for one GPU, without groups and without that division, 64 filters first: Krizhevsky 2014,
  https://arxiv.org/abs/1404.5997, as torchvision has it. 61,100,840 parameters.

Images of other sizes than 224 are averaged (or repeated) to the 6 x 6 places that fc6 sees.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from seewhy.networks import _parts

year = {"alexnet": 2012, "alexnet_one": 2014}
paper = {
    "alexnet": "https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
    "alexnet_one": "https://arxiv.org/abs/1404.5997",
}
classes = 1000
channels = 3
input_size = 224

sizes: dict[str, dict[str, Any]] = {
    "alexnet": {"filters": (96, 256, 384, 384, 256), "groups": 2, "local_norm": True},
    "alexnet_one": {"filters": (64, 192, 384, 256, 256), "groups": 1, "local_norm": False},
}

#: The smallest image that leaves a place after all convolutions and poolings.
SMALLEST = 63


def build(
    *,
    size: str = "alexnet",
    classes: int = 1000,
    channels: int = 3,
    filters: tuple[int, ...] | None = None,
    groups: int | None = None,
    local_norm: bool | None = None,
    hidden: int = 4096,
    dropout: float = 0.5,
    activation: str = "relu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """An AlexNet for images of 63 pixels or more; what is None is as the size has it.

    `filters` of the five convolutions, `groups` in the second, fourth and fifth, `hidden` units in fc6 and fc7.
    """
    chosen = _parts.chosen(sizes[size], filters=filters, groups=groups, local_norm=local_norm)
    network = AlexNet(
        **chosen, hidden=hidden, dropout=dropout, activation=activation, channels=channels, classes=classes
    )
    if init is not None:
        _parts.begin(network, init)
    elif size == "alexnet":
        _parts.begin(network, "normal")
        for name in ("conv2", "conv4", "conv5", "fc6", "fc7"):
            nn.init.ones_(network.get_parameter(f"{name}.bias"))
    return network


class AlexNet(nn.Sequential):
    """Five convolutions, three of them with pooling, and three linear layers, one after the other."""

    def __init__(
        self,
        *,
        filters: tuple[int, ...],
        groups: int,
        local_norm: bool,
        hidden: int,
        dropout: float,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        one, two, three, four, five = filters
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = nn.Conv2d(channels, one, 11, stride=4, padding=2)  # 55 x 55 for 224
        layers["act1"] = _parts.activate(activation, fresh=True)
        if local_norm:
            layers["norm1"] = _local_norm()
        layers["pool1"] = nn.MaxPool2d(3, stride=2)  # 27 x 27
        layers["conv2"] = nn.Conv2d(one, two, 5, padding=2, groups=groups)
        layers["act2"] = _parts.activate(activation, fresh=True)
        if local_norm:
            layers["norm2"] = _local_norm()
        layers["pool2"] = nn.MaxPool2d(3, stride=2)  # 13 x 13
        layers["conv3"] = nn.Conv2d(two, three, 3, padding=1)  # here alone each GPU saw both halves
        layers["act3"] = _parts.activate(activation, fresh=True)
        layers["conv4"] = nn.Conv2d(three, four, 3, padding=1, groups=groups)
        layers["act4"] = _parts.activate(activation, fresh=True)
        layers["conv5"] = nn.Conv2d(four, five, 3, padding=1, groups=groups)
        layers["act5"] = _parts.activate(activation, fresh=True)
        layers["pool5"] = nn.MaxPool2d(3, stride=2)  # 6 x 6
        layers["fit"] = nn.AdaptiveAvgPool2d(6)
        layers["flatten"] = nn.Flatten()
        layers["drop6"] = nn.Dropout(dropout)
        layers["fc6"] = nn.Linear(five * 6 * 6, hidden)
        layers["act6"] = _parts.activate(activation, fresh=True)
        layers["drop7"] = nn.Dropout(dropout)
        layers["fc7"] = nn.Linear(hidden, hidden)
        layers["act7"] = _parts.activate(activation, fresh=True)
        layers["head"] = nn.Linear(hidden, classes)
        super().__init__(layers)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        if min(image.shape[2:]) < SMALLEST:
            height, width = image.shape[2:]
            raise ValueError(f"AlexNet needs images of at least {SMALLEST} pixels a side and got {height} x {width}")
        return super().forward(image)


def _local_norm() -> nn.LocalResponseNorm:
    """The paper's division by the neighbours; PyTorch takes the mean of their squares where the paper takes the sum."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
