"""Batch normalisation over the batch of all ranks, as one process would have it over the whole batch.

    mean, var over all examples and places of a channel           y = (x - mean) / sqrt(var + eps) * weight + bias
    dL/dx = weight / sqrt(var + eps) * (g - mean(g) - x̂ mean(g x̂)),   g = dL/dy,   x̂ = (x - mean) / sqrt(var + eps)

where each mean is a sum over ranks (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3). PyTorch's own
works on GPUs alone and exchanges layers for others; here no layer is touched, so that any that asks
`torch.nn.functional` for it is meant, timm's among them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seewhy.processes import ranks


def over_ranks() -> AbstractContextManager[Any]:
    """While this holds, batch normalisation in training takes the statistics of all ranks' examples."""
    return _OverRanks() if ranks.count() > 1 else nullcontext()


class _OverRanks(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def batch_norm(
    input: Float[Tensor, "batch channels *places"],
    running_mean: Float[Tensor, " channels"] | None,
    running_var: Float[Tensor, " channels"] | None,
    weight: Float[Tensor, " channels"] | None = None,
    bias: Float[Tensor, " channels"] | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Float[Tensor, "batch channels *places"]:
    """`torch.nn.functional.batch_norm`, over all ranks."""
    if not training:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    normal, mean, var, number = _Normalise.apply(input, eps)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((var * number / (number - 1)).to(running_var), momentum)
    shape = (1, -1) + (1,) * (input.ndim - 2)
    if weight is not None:
        normal = normal * weight.view(shape)
    return normal if bias is None else normal + bias.view(shape)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps), the biased variance, and how many numbers a channel has."""

    @staticmethod
    def forward(context: Any, input: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels = input.shape[1]
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.cat([_sums(wide), wide.new_tensor([wide.numel() / channels])])
        sums, number = ranks.total(own).split([channels, 1])
        mean = sums / number
        centred = wide - _spread(mean, wide)
        var = ranks.total(_sums(centred.square())) / number
        scale = (var + eps).rsqrt()
        normal = centred * _spread(scale, wide)
        context.save_for_backward(normal, scale, number)
        context.mark_non_differentiable(mean, var, number)
        return normal.to(input.dtype), mean, var, number

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        normal, scale, number = context.saved_tensors
        gradient = gradients[0].to(normal.dtype)
        mean, along = (ranks.total(torch.cat([_sums(gradient), _sums(gradient * normal)])) / number).chunk(2)
        inside = gradient - _spread(mean, normal) - normal * _spread(along, normal)
        return (inside * _spread(scale, normal)).to(gradients[0].dtype), None


def _sums(values: Float[Tensor, "batch channels *places"]) -> Float[Tensor, " channels"]:
    return values.transpose(0, 1).flatten(1).sum(1)


def _spread(
    values: Float[Tensor, " channels"], like: Float[Tensor, "batch channels *places"]
) -> Float[Tensor, "one channels *ones"]:
    return values.view(1, -1, *[1] * (like.ndim - 2))
