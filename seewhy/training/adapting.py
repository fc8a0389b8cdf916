"""What does a network that brings weights along get from new images before the first step? Statistics and a head.

Of several ranks each passes its own part of the images; all end with the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from seewhy import hooks
from seewhy.processes import ranks
from seewhy.training import batchnorm
from seewhy.types import Batch, Progress, Task

#: How strongly the weights of a head that is fitted first are pulled to zero, on standardised features.
HEAD_PENALTY = 1e-3


def adapt_statistics(network: nn.Module, batches: Iterable[Batch], *, count: int) -> Iterator[Progress]:
    """Give batch normalisation the mean statistics of the `count` images of these batches in place of those it came
    with: one forward pass an example (Li et al. 2016, https://arxiv.org/abs/1603.04779)."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    if not norms:
        return
    seen = 0
    try:
        with hooks.frozen(network), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum, norm.training = None, True  # None: the plain mean over all batches
            for batch in batches:
                with batchnorm.over_ranks():
                    network(**batch.inputs)
                seen += len(batch)
                yield Progress("adapt", seen, count)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum, norm.training = momentum, network.training


def fit_head(network: nn.Module, task: Task, batches: Iterable[Batch], *, count: int) -> Iterator[Progress]:
    """Fit the last linear layer to what the rest makes of the `count` images of these batches, as they are: one forward
    pass an example, then regularised logistic regression by L-BFGS on standardised features. Fine-tuning from there
    distorts less (Kumar et al. 2022, https://arxiv.org/abs/2202.10054)."""
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    features: list[Tensor] = []
    seen: list[Batch] = []
    keep = head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
    try:
        for batch in batches:
            with hooks.frozen(network), torch.no_grad():
                network(**batch.inputs)
            seen.append(batch.with_inputs(image=None))
            yield Progress("head", sum(map(len, seen)), count)
    finally:
        keep.remove()
    x = ranks.joined(torch.cat(features), count)  # examples, width
    whole = replace(seen[0], targets=ranks.joined(torch.cat([batch.targets for batch in seen]), count))
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    weight = torch.zeros_like(head.weight, requires_grad=True)
    bias = torch.zeros(len(head.weight), device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")
    x = (x - mean) / std

    def loss() -> Tensor:
        solver.zero_grad()
        value = task.objective(x @ weight.T + bias, whole) + HEAD_PENALTY / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        head.weight.copy_(weight / std)
        if head.bias is not None:
            head.bias.copy_(bias - (weight / std) @ mean)
