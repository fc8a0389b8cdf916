"""What Inception v3 and its residual kin begin with."""

from __future__ import annotations

from torch import nn

from seewhy.networks._chain import Convolution

#: The smallest image of which all that is not padded leaves a pixel.
SMALLEST = 75

#: What halves a map: 35 x 35 become 17 x 17, and those 8 x 8.
HALVE = {"stride": 2, "padding": 0}


def stem(conv: Convolution, channels: int) -> dict[str, nn.Module]:
    """The first layers, for an image of 299 x 299 pixels."""
    return {
        "conv1a": conv(channels, 32, 3, **HALVE),  # 32, 149, 149
        "conv2a": conv(32, 32, 3, padding=0),  # 32, 147, 147
        "conv2b": conv(32, 64, 3),  # 64, 147, 147
        "pool1": nn.MaxPool2d(3, 2),  # 64, 73, 73
        "conv3b": conv(64, 80, 1),  # 80, 73, 73
        "conv4a": conv(80, 192, 3, padding=0),  # 192, 71, 71
    }
