"""Max pooling sooner on a CPU: the same numbers, for PyTorch pools channels last several times as fast as first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import has_torch_function

from seewhy.hooks.names import modules

Sides = int | Sequence[int]

#: With fewer channels or values, laying them out anew costs more than it saves.
FEWEST_CHANNELS, FEWEST_VALUES = 16, 2**14


@contextmanager
def pooling_sooner(network: nn.Module) -> Iterator[None]:
    """While the block runs, the network's max poolings take large float images on a CPU channels last.

    What comes out, its layout and its gradient are bit for bit what they were. A compiled network is left alone: it
    pools by code of its own.
    """
    parts = [module for _, module in modules(network)]
    compiled = any(module._compiled_call_impl is not None or "_orig_mod" in module._modules for module in parts)
    fit = [module for module in parts if type(module) is nn.MaxPool2d and not module.return_indices]
    changed = [module for module in fit if not compiled and "forward" not in module.__dict__]
    try:
        for module in changed:
            module.forward = _sooner(module, module.forward)  # type: ignore[method-assign, assignment]
        yield
    finally:
        for module in changed:
            module.__dict__.pop("forward", None)


def _sooner(module: nn.MaxPool2d, as_it_was: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if has_torch_function((x,)):
            return as_it_was(x)  # whoever rewrites functions must meet PyTorch's own
        settings = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
        return max_pool2d(x, *settings) if pays(x) else as_it_was(x)

    return forward


def pays(x: Any) -> bool:
    """Whether laying it out anew is worth it."""
    large = x.ndim == 4 and x.shape[1] >= FEWEST_CHANNELS and x.numel() >= FEWEST_VALUES
    return large and x.device.type == "cpu" and x.is_contiguous()


def max_pool2d(
    x: Float[Tensor, "batch channels height width"],
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "batch channels _ _"]:
    """PyTorch's function of this name, channels last on the way."""
    sides = (kernel_size, kernel_size if stride is None else stride, padding, dilation)
    return _Pooled.apply(x, *map(_two, sides), ceil_mode)


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *settings: Any) -> Tensor:
        last = x.contiguous(memory_format=torch.channels_last)
        if not ctx.needs_input_grad[0]:
            return functional.max_pool2d(last, *settings).contiguous()
        output, places = functional.max_pool2d(last, *settings, return_indices=True)
        ctx.save_for_backward(x, places.contiguous())
        ctx.settings = settings
        return output.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, places = ctx.saved_tensors
        pooled = torch.ops.aten.max_pool2d_with_indices_backward
        return (pooled(gradient.contiguous(), x, *ctx.settings, places), *[None] * len(ctx.settings))


def _two(setting: Sides) -> list[int]:
    return [setting, setting] if isinstance(setting, int) else list(setting)
