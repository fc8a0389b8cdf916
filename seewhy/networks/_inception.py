"""What Inception v3 and its residual kin begin with."""

from __future__ import annotations

from torch import nn

from seewhy.networks._chain import Convolution

#: The smallest image of which all that is not padded leaves a pixel, by the stem.
SMALLEST = {"large": 75, "small": 7}

#: What halves a map: 35 x 35 become 17 x 17, and those 8 x 8.
HALVE = {"stride": 2, "padding": 0}


def first(conv: Convolution, channels: int) -> dict[str, nn.Module]:
    """The first layers of all of them, for an image of 299 x 299 pixels."""
    return {
        "conv1a": conv(channels, 32, 3, **HALVE),  # 32, 149, 149
        "conv2a": conv(32, 32, 3, padding=0),  # 32, 147, 147
        "conv2b": conv(32, 64, 3),  # 64, 147, 147
    }


def small_stem(conv: Convolution, channels: int, width: int) -> dict[str, nn.Module]:
    """In place of a stem for images of about 32 x 32 pixels: its first layers, at the full resolution."""
    return {
        "conv1a": conv(channels, 32, 3),  # 32, 32, 32
        "conv2a": conv(32, 64, 3),  # 64, 32, 32
        "conv2b": conv(64, width, 3),
    }


def stem(conv: Convolution, channels: int, *, pool: bool = True) -> dict[str, nn.Module]:
    """Of Inception v3 and both Inception-ResNets; v1 of these has a convolution of its own in place of the `pool`."""
    return {
        **first(conv, channels),
        "pool1": nn.MaxPool2d(3, 2),  # 64, 73, 73
        "conv3b": conv(64, 80, 1),  # 80, 73, 73
        "conv4a": conv(80, 192, 3, padding=0),  # 192, 71, 71
        **({"pool2": nn.MaxPool2d(3, 2)} if pool else {}),  # 192, 35, 35
    }
