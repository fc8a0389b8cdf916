"""Which layer to look from, where nobody named one: the last that lies over the image and still counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.hooks.contexts import frozen, hooked, run
from seewhy.hooks.inputs import image, placed
from seewhy.hooks.names import modules
from seewhy.hooks.structures import mapped, spread, tensors
from seewhy.hooks.trace import Layer, grid, tracing
from seewhy.types import Batch, Question

#: A map of fewer sites a side says hardly where: a layer with as many is looked for, if the image has them.
FINE_ENOUGH = 4

#: Their output is another layer's, or mixes places, or is an attention map or a query: no good place to look from.
PASSED_OVER = (
    nn.Linear,
    nn.Identity,
    nn.Softmax,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


def default_layer(network: nn.Module, inputs: Batch | Mapping[str, Any], question: Question | None = None) -> Layer:
    """The last layer that lies over the image and whose every place can still move the score.

    In a CNN that is the end of the convolutions; in a ViT that answers from its class token the norm before the last
    attention, for behind it the tokens of the image count for nothing. Layers of fewer than 4 x 4 sites are passed over
    where finer ones exist. Without a question all of the output counts. Costs one forward pass and at most one backward
    pass of the first example. Raises ValueError where no layer lies over the image.
    """
    ready = placed(network, inputs)
    rows = len(next(iter(ready.values())))
    first_row = Batch(ids=("",) * rows, inputs=ready).rows([0]).inputs
    with frozen(network), torch.inference_mode(False), torch.enable_grad():
        row = {name: _differentiable(value) for name, value in first_row.items()}
        with tracing(network, row) as traced, watched(network) as seen:
            output = run(network, row, at=question.at if question else None)
        score = question.score(spread(output, rows)).sum() if question else _sum_of_squares(output)
        return last_that_counts(network, traced, image(row), seen, score)


@contextmanager
def watched(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A dict that fills, in a differentiable run, with what every layer puts out that may become the default one.

    A copy of it goes on through the network, so that a skip past a layer does not count as a way through it.
    """
    seen: dict[str, Tensor] = {}

    def keep(name):
        def hook(module, arguments, output):
            first = next(tensors(output), None)
            if first is None or not first.requires_grad or first.ndim not in (3, 4):
                return None
            seen[name] = first.clone()
            return mapped(output, lambda tensor: seen[name].clone() if tensor is first else tensor)

        return hook

    possible = ((name, module) for name, module in modules(network) if not isinstance(module, PASSED_OVER))
    with hooked((module, keep(name)) for name, module in possible if name):
        yield seen


def last_that_counts(
    network: nn.Module, traced: Sequence[Layer], image: Tensor | None, seen: Mapping[str, Tensor], score: Tensor
) -> Layer:
    """The first candidate at whose places the score has a gradient; if it is 0 at all, the first that leads to it.

    Raises ValueError where no layer lies over the image.
    """
    candidates = possible(network, traced, image)
    differentiable = [layer for layer in candidates if layer.name in seen]
    if not score.requires_grad or not differentiable:
        return candidates[0]
    leading = []
    start, size = 0, 1
    while start < len(differentiable):  # nearly always the first, whose gradient costs little
        some = differentiable[start : start + size]
        gradients = torch.autograd.grad(
            score, [seen[layer.name] for layer in some], torch.ones_like(score), retain_graph=True, allow_unused=True
        )
        for layer, gradient in zip(some, gradients, strict=True):
            if gradient is not None and bool(grid(gradient, layer).any()):
                return layer
            leading += [layer] if gradient is not None else []
        start, size = start + size, 2 * size
    return (leading or candidates)[0]


def possible(network: nn.Module, traced: Sequence[Layer], image: Tensor | None) -> list[Layer]:
    """The layers to choose from, the best first. Raises ValueError where no layer lies over the image."""
    parts = dict(modules(network))
    over = [layer for layer in traced if layer.sites > 1 and not isinstance(parts[layer.name], PASSED_OVER)]
    if image is None or not over:
        there = ", ".join(f"{layer.name} {layer.shape}" for layer in traced[-6:])
        raise ValueError(f"No layer of this network lies over an image; the last ones put out: {there}")
    enough, finest = min(FINE_ENOUGH, *image.shape[2:4]), max(layer.sites for layer in over)
    fine = [layer for layer in over if layer.grid and min(layer.grid.height, layer.grid.width) >= enough]
    chosen = fine or [layer for layer in over if layer.sites == finest]
    sites = {layer.name: layer.sites for layer in traced if layer.sites}
    whole = [layer for layer in chosen if not _in_a_coarser_block(parts, layer, sites)]
    if whole and whole[-1].sites == chosen[-1].sites:
        chosen = whole
    return chosen[::-1]


def _in_a_coarser_block(named: Mapping[str, nn.Module], layer: Layer, sites: Mapping[str, int]) -> bool:
    """Whether the layer is part of a block (no mere sequence) that shrinks its map: other branches may lead past it."""
    steps = layer.name.split(".")
    around = [".".join(steps[:depth]) for depth in range(1, len(steps))]
    return any(
        sites.get(name, math.inf) < layer.sites and type(named.get(name)) is not nn.Sequential for name in around
    )


def _sum_of_squares(output: Any) -> Tensor:
    """Everything in the output as one number; squares, for a plain sum of probabilities never moves."""
    return torch.stack(
        [x.float().square().sum() for x in tensors(output) if x.requires_grad] or [torch.zeros(())]
    ).sum()


def _differentiable(value: Any) -> Any:
    """A copy with a gradient, where there can be one; no leaf, so that the network may change it in place."""
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.detach().clone().requires_grad_().clone() if floating else value
