"""Networks whose weights are exchanged for noise."""

from __future__ import annotations

import torch
from torch import nn

from seewhy.measures._trial import Trial


def from_the_top(trial: Trial, network: nn.Module) -> list[nn.Module]:
    """The modules that hold weights of their own, the last to run first; those that never ran come last."""
    modules = {
        name: module for name, module in network.named_modules() if next(module.parameters(False), None) is not None
    }
    ran = [layer.name for layer in trial.run.layers if layer.name in modules]
    return [modules[name] for name in [*reversed(ran), *(name for name in modules if name not in ran)]]


def spoil(module: nn.Module, random: torch.Generator) -> None:
    """Each weight drawn from the normal distribution of the mean and spread that its tensor had."""
    with torch.no_grad():
        for weight in module.parameters(False):
            noise = torch.randn(weight.shape, generator=random).to(weight)
            spread = weight.std(correction=0) if weight.numel() > 1 else weight.abs().mean()
            weight.copy_(weight.mean() + spread * noise)
