"""What several families are made of: a way to normalise, a way to bend, a way to begin.

chosen(sizes["resnet20"], width=None)     the settings of a size, and over them those that are not None
normalise("batch", 64)                    a layer for maps of 64 channels
activate("relu")                          a layer without weights
begin(network, "he")                      the weights of all its convolutions and linear layers, drawn anew
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from seewhy.shelf import nearest

#: Into how many groups norm="group" divides the channels, if their number allows: Wu and He 2018, table 3.
GROUPS = 32

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}

BEGINNINGS = ("xavier", "he", "lecun", "normal")


def chosen(settings: Mapping[str, Any], **named: Any) -> dict[str, Any]:
    """The settings of a size, and over them those that were named; None leaves what the size has."""
    return {**settings, **{name: value for name, value in named.items() if value is not None}}


def normalise(name: str, channels: int, *, groups: int | None = None, eps: float = 1e-5) -> nn.Module:
    """Normalisation of a map of so many channels; `groups`, if not given, is 32 or what of it divides the channels."""
    match name:
        case "batch":
            return nn.BatchNorm2d(channels, eps=eps)
        case "group":
            return nn.GroupNorm(groups or math.gcd(GROUPS, channels), channels, eps=eps)
        case "layer":
            return nn.GroupNorm(1, channels, eps=eps)
        case "none":
            return nn.Identity()
    raise ValueError(f"No norm {name!r}; there are batch, group, layer, none")


def activate(name: str, *, fresh: bool = False) -> nn.Module:
    """The layer that bends what the one before it put out; in its place if that is `fresh`, no one else's input."""
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"No activation {name!r}. {nearest(name, ACTIVATIONS)}There are: {known}")
    kind = ACTIVATIONS[name]
    return kind(inplace=True) if fresh and kind in (nn.ReLU, nn.ReLU6) else kind()


def begin(network: nn.Module, how: str | None) -> None:
    """Draw the weights of all convolutions and linear layers anew; their biases become 0.

    None draws those of the convolutions alone, with sqrt(2 / out), as the authors of ResNet, ResNeXt and DenseNet do.

    The standard deviation, with `in` and `out` the connections of one unit to the layers before and after:
    xavier sqrt(2 / (in + out)), Glorot and Bengio 2010; he sqrt(2 / in), He et al. 2015, 1502.01852; lecun
    sqrt(1 / in), LeCun et al. 1998, Efficient BackProp; normal 0.01, as AlexNet had it.
    """
    if how is None:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        return
    if how not in BEGINNINGS:
        raise ValueError(f"No init {how!r}. {nearest(how, BEGINNINGS)}There are: {', '.join(BEGINNINGS)}")
    for module in network.modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)) or not module.weight.requires_grad:
            continue
        match how:
            case "xavier":
                nn.init.xavier_normal_(module.weight)
            case "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            case "lecun":
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            case "normal":
                nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
