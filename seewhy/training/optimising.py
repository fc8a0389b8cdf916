"""How do gradients become steps? The optimiser, its rate over time and over depth, and the average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

#: Images that grow have so many sizes, each for an equal part of the training.
SIZES = 4
#: The average of the weights forgets faster at first, so that it does not drag the first weights along: after t steps
#: it keeps at most t / (t + SOON).
SOON = 10


def optimizer(
    network: nn.Module,
    name: Literal["adamw", "sgd"],
    *,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov's momentum. Vectors, such as biases and the scales of a normalisation, do not decay.

    `layer_decay` multiplies the rate once for each block that lies between a parameter and the answer; each group of
    the optimiser holds the product as `scale` (Clark et al. 2020, https://arxiv.org/abs/2003.10555, section 3.2 and
    appendix A).
    """
    stages = [list(network.parameters())] if layer_decay == 1 else blocks(network)
    listed = []
    for depth, parameters in enumerate(stages):
        scale = layer_decay ** (len(stages) - 1 - depth)
        for decays in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == decays]
            if chosen:
                listed.append({"params": chosen, "weight_decay": weight_decay if decays else 0.0, "scale": scale})
    if name == "sgd":
        return torch.optim.SGD(listed, lr=learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(listed, lr=learning_rate, betas=(0.9, 0.99))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the block next to the answer; those before it follow by their scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def blocks(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters, block by block, from the image to the answer, in the order in which the network was put together.

    What holds everything is opened, and so is a list of layers; anything else, such as a residual block, is one block.
    Vectors that stand alone, such as a normalisation's, belong to the block before them.
    """
    found: list[list[nn.Parameter]] = []
    seen: set[nn.Parameter] = set()
    for block in _opened(network, alone=True):
        new = [parameter for parameter in block if parameter not in seen]  # weights may be shared between blocks
        seen.update(new)
        if found and all(parameter.ndim <= 1 for parameter in new):
            found[-1] += new
        elif new:
            found.append(new)
    return found


def _opened(module: nn.Module, *, alone: bool) -> Iterator[list[nn.Parameter]]:
    """A module's own parameters, then its children's; all at once where it is neither a list nor alone."""
    if not (alone or isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))):
        yield list(module.parameters())
        return
    own = list(module.parameters(recurse=False))
    children = [child for child in module.children() if next(child.parameters(), None) is not None]
    yield own
    for child in children:
        yield from _opened(child, alone=alone and not own and len(children) == 1)


def scheduled(progress: float, schedule: Literal["cosine", "one-cycle", "constant"], *, warm_up: float) -> float:
    """The learning rate at a share `progress` of the training, as a share of the largest.

    cosine: linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983);
    one-cycle: up for 30 %, down to zero (Smith 2018, https://arxiv.org/abs/1803.09820); constant: after the warm-up, 1.
    """
    warm_up = 0.3 if schedule == "one-cycle" else warm_up
    if progress < warm_up:
        return (progress + 0.01) / (warm_up + 0.01)
    if schedule == "constant":
        return 1.0
    rest = (progress - warm_up) / (1 - warm_up)
    return 1 - rest if schedule == "one-cycle" else 0.5 * (1 + math.cos(math.pi * rest))


def grown(progress: float, *, start: float) -> float:
    """The side of the images at a share `progress` of the training, as a share of the full one: from `start` to 1 in
    SIZES even steps (progressive learning: Tan and Le 2021, https://arxiv.org/abs/2104.00298, section 4)."""
    return start + (1 - start) * min(int(progress * SIZES), SIZES - 1) / (SIZES - 1)


class Average:
    """A network whose weights are the moving average of another's: average <- decay * average + (1 - decay) * weights.

    Polyak and Juditsky 1992, https://doi.org/10.1137/0330046. What batch normalisation counts is averaged with the
    weights; whole numbers are copied. Costs one more copy of the network and one pass over its weights a step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        pairs = list(
            zip(
                (*self.network.parameters(), *self.network.buffers()),
                (*network.parameters(), *network.buffers()),
                strict=True,
            )
        )
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._mine, self._theirs = [mine for mine, _ in floats], [theirs for _, theirs in floats]
        self._whole = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights as they are after `step` earlier steps; the first time, all the way."""
        kept = min(self.decay, step / (step + SOON))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - kept)
        for mine, theirs in self._whole:
            mine.copy_(theirs)
