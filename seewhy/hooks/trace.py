"""What every layer does in one run of the network, and where it lies over the image: found by tracing the run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.hooks.contexts import frozen, hooked
from seewhy.hooks.grids import Grid, grid_of
from seewhy.hooks.inputs import image, placed
from seewhy.hooks.names import modules
from seewhy.hooks.structures import tensors
from seewhy.types import Batch


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer did in one run of the network.

    `shape` is that of the first tensor it put out at its last use, `order` the place at which that use ended, `uses`
    how often it ran. `done` is the share of the network's multiplications by weights (of convolutions and linear
    layers) that were through by then, 0 to 1. `grid` is None where the output does not lie over the image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    order: int
    uses: int
    done: float
    grid: Grid | None

    @property
    def sites(self) -> int:
        """How many places of the image its output tells apart; 0 where it does not lie over the image."""
        return self.grid.height * self.grid.width if self.grid else 0


# ------------------------------------------------------------------------------------------------- contexts


@contextmanager
def tracing(network: nn.Module, inputs: Mapping[str, Any]) -> Iterator[list[Layer]]:
    """A list that holds, once the block is left, the layers in the order in which they ended; no pass of its own."""
    calls: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def note(name):
        def hook(module, arguments, output):
            first = output if isinstance(output, Tensor) else next(tensors(output), None)
            calls.append((name, module, () if first is None else tuple(first.shape)))

        return hook

    found: list[Layer] = []
    with hooked((module, note(name)) for name, module in modules(network) if name):
        yield found
    over = image(inputs)
    work = [_multiplications(module, shape) for _, module, shape in calls]
    total, through = sum(work), 0
    uses = Counter(name for name, _, _ in calls)
    left, grids = uses.copy(), list[tuple[tuple[int, ...], Grid]]()
    for order, (name, module, shape) in enumerate(calls):
        through += work[order]
        left[name] -= 1
        lies = None if over is None else grid_of(module, shape, tuple(over.shape), grids)
        if lies is not None:
            grids.append((shape, lies))
        if not left[name]:
            done = through / total if total else (order + 1) / len(calls)
            found.append(Layer(name, type(module).__name__, shape, order, uses[name], done, lies))


# --------------------------------------------------------------------------------------------- finding layers


def layers(network: nn.Module, inputs: Batch | Mapping[str, Any]) -> tuple[Layer, ...]:
    """Every layer that runs, in the order in which they end (the parts before the whole). Costs one forward pass."""
    ready = placed(network, inputs)
    with frozen(network), torch.no_grad(), tracing(network, ready) as found:
        network(**ready)
    return tuple(found)


def grid(activation: Float[Tensor, "batch ..."], layer: Layer) -> Float[Tensor, "batch channels height width"]:
    """An activation, or its gradient, laid over the image; tokens that stand for no place are left out.

    Raises ValueError where the layer does not lie over the image.
    """
    if layer.grid is None:
        raise ValueError(
            f"The layer {layer.name!r} ({layer.kind}) puts out {layer.shape}, which does not lie over the image"
        )
    if layer.grid.layout == "channels first":
        return activation
    if layer.grid.layout == "channels last":
        return activation.movedim(-1, 1)
    tokens = activation[:, layer.grid.prefix :]  # batch, height*width, channels
    return tokens.transpose(1, 2).unflatten(2, (layer.grid.height, layer.grid.width))


def _multiplications(module: nn.Module, shape: tuple[int, ...]) -> int:
    """By weights, in one use of this very layer: each weight counts once for each site and example."""
    if not shape or not module._parameters or not isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return 0
    sites = math.prod(shape[:-1]) if isinstance(module, nn.Linear) else math.prod(shape) // shape[1]
    return module.weight.numel() * sites
