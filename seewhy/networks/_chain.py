"""Named layers one after another, and side by side: what the networks made of nothing else are written with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, cat, nn

from seewhy.networks import _attention, _parts

#: A convolution of a family, with its normalisation and activation: `conv(before, width, kernel, stride=…)`.
Convolution = Callable[..., nn.Module]


class Chain(nn.Module):
    """Layers from an image to logits, and auxiliary heads, each after the layer whose name it has.

    The heads are for training only. `forward` leaves them out, so that a network is called alike with and without
    them; `with_auxiliary` gives the logits of all.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], *, auxiliary: Mapping[str, nn.Module] | None = None, smallest: int = 1
    ) -> None:
        super().__init__()
        self.smallest = smallest
        self.auxiliary = nn.ModuleDict(auxiliary or {})
        self.order = tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        self._check(image)
        x = image
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x

    def with_auxiliary(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch classes"], dict[str, Float[Tensor, "batch classes"]]]:
        """The logits, and those of each auxiliary head by the name of the layer it comes after."""
        self._check(image)
        x, heads = image, {}
        for name in self.order:
            x = self.get_submodule(name)(x)
            if name in self.auxiliary:
                heads[name] = self.auxiliary[name](x)
        return x, heads

    def _check(self, image: Tensor) -> None:
        height, width = image.shape[2:]
        if min(height, width) < self.smallest:
            raise ValueError(
                f"This network's unpadded layers need images of at least {self.smallest} x {self.smallest} pixels and "
                f"got {height} x {width}; fit the images to a larger size, or take another network"
            )


class Branches(nn.Module):
    """Layers side by side: each sees the same map, and their channels are joined in order."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after height_after width_after"]:
        return cat([branch(x) for branch in self.children()], dim=1)


def sequence(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """Layers one after another, by name."""
    return nn.Sequential(OrderedDict(layers))


def attentive(
    layers: Mapping[str, nn.Module], channels: int, kind: str, *, norm: str, middle: str
) -> dict[str, nn.Module]:
    """The same layers with a layer `4a_attention` behind 4a and each other that has branches.

    "nonlocal" stands behind every second one whose name begins with `middle`. `channels` go into the first layer.
    """
    found: dict[str, nn.Module] = {}
    number = 0
    for name, layer in layers.items():
        found[name], channels = layer, width(layer, channels)
        if isinstance(layer, Branches):
            number += name.startswith(middle)
            second = name.startswith(middle) and number % 2 == 0
            added = _attention.behind(kind, channels, norm=norm, middle=second)
            found |= {f"{name}_{place}": module for place, module in added.items()}
    return found


def width(layer: nn.Module, before: int) -> int:
    """How many channels a layer puts out that is given so many."""
    match layer:
        case nn.Conv2d():
            return layer.out_channels
        case Branches():
            return sum(width(branch, before) for branch in layer.children())
        case nn.Sequential():
            for part in layer:
                before = width(part, before)
    return before


def tower(
    conv: Convolution,
    before: int,
    *steps: tuple[int, int | tuple[int, int]],
    last: Mapping[str, Any] | None = None,
    then: Mapping[str, nn.Module] | None = None,
) -> nn.Sequential:
    """Convolutions one after another, conv1, conv2 …, each (width, kernel), and what comes `then`.

    `last` are more settings of the last convolution.
    """
    layers: dict[str, nn.Module] = {}
    for number, (width, kernel) in enumerate(steps, start=1):
        settings = last if last and number == len(steps) else {}
        layers[f"conv{number}"] = conv(before, width, kernel, **settings)
        before = width
    return sequence({**layers, **(then or {})})


def convolution(
    before: int,
    width: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    norm: str = "batch",
    eps: float = 1e-5,
    activation: str = "relu",
) -> nn.Sequential:
    """`conv`, `norm` and `act`. Without `padding` an odd kernel keeps the size; norm="none" has a bias in its place."""
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    pad = (high // 2, wide // 2) if padding is None else (padding, padding)
    conv = nn.Conv2d(before, width, (high, wide), stride, pad, groups=groups, bias=norm == "none")
    layers: dict[str, nn.Module] = {"conv": conv}
    if norm != "none":
        layers["norm"] = normalise(norm, width, eps=eps)
    layers["act"] = _parts.activate(activation, fresh=True)
    return sequence(layers)


def normalise(norm: str, width: int, *, eps: float = 1e-5) -> nn.Module:
    """Normalisation of a map of so many channels, in up to 32 groups of 8 channels or more if it has them.

    Branches are narrow: of a single channel at a single place nothing would be left.
    """
    groups = max(number for number in range(1, max(2, min(_parts.GROUPS, width // 8) + 1)) if width % number == 0)
    return _parts.normalise(norm, width, groups=groups, eps=eps)


def head(before: int, classes: int, *, dropout: float = 0.0) -> dict[str, nn.Module]:
    """The last layers of a chain: the mean over the places, dropout, a linear layer."""
    return {
        "pool": nn.AdaptiveAvgPool2d(1),  # before, 1, 1
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(dropout),
        "head": nn.Linear(before, classes),
    }
