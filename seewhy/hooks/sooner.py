"""The same numbers sooner on a CPU: max pooling, and the gradient that a first convolution passes to the image.

PyTorch pools channels last several times as fast as first. And its convolutions of few channels pass back a gradient
in twice the time, for a vision transformer's patches in six times, that it takes by their definition:

    columns = weight^T gradient,    image[c, y, x] = sum of the columns' entries that lie over it   (im2col, backwards)

Both together are a few percent of what a gradient at the image costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import has_torch_function

from seewhy.hooks.names import modules

Sides = int | Sequence[int]

#: With fewer channels or values, laying them out anew for pooling costs more than it saves.
FEWEST_CHANNELS, FEWEST_VALUES = 16, 2**14
#: An image has no more channels; behind it the gradient of a convolution is best left to PyTorch.
MOST_CHANNELS = 4
#: Smaller single images with kernels of 3 x 3 at most are convolved by definition anyway.
LEAST_VALUES, LEAST_KERNEL = 20480, 4
#: So many entries of columns at once stay in a core's cache.
ENTRIES_AT_ONCE = 2**20


@contextmanager
def sooner(network: nn.Module) -> Iterator[None]:
    """While the block runs, the network's max poolings and first convolutions take float images on a CPU so.

    What is pooled, its layout and its gradient are bit for bit what they were; a convolution's output too, its gradient
    is the same up to rounding. A compiled network is left alone: it runs code of its own.
    """
    parts = [module for _, module in modules(network)]
    compiled = any(module._compiled_call_impl is not None or "_orig_mod" in module._modules for module in parts)
    changed = [module for module in parts if not compiled and _fits(module) and "forward" not in module.__dict__]
    try:
        for module in changed:
            module.forward = _forward(module, module.forward)
        yield
    finally:
        for module in changed:
            module.__dict__.pop("forward", None)


def _fits(module: nn.Module) -> bool:
    if type(module) is nn.MaxPool2d:
        return not module.return_indices
    return type(module) is nn.Conv2d and module.in_channels <= MOST_CHANNELS and module.padding_mode == "zeros"


def _forward(module: nn.Module, as_it_was: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if has_torch_function((x,)):
            return as_it_was(x)  # whoever rewrites functions must meet PyTorch's own
        if isinstance(module, nn.Conv2d):
            return conv2d(x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)
        assert isinstance(module, nn.MaxPool2d)
        return max_pool2d(x, module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)

    return forward


# ---------------------------------------------------------------------------------------------- PyTorch's functions


def max_pool2d(
    input: Shaped[Tensor, "*batch channels height width"],
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """PyTorch's function of this name, channels last on the way where that pays."""
    large = input.ndim == 4 and input.shape[1] >= FEWEST_CHANNELS and input.numel() >= FEWEST_VALUES
    sides = [_two(side) for side in (kernel_size, kernel_size if stride is None else stride, padding, dilation)]
    if return_indices or not large or input.device.type != "cpu" or not input.is_contiguous():
        pooled: Callable[..., Any] = functional.max_pool2d
        return pooled(input, *sides, ceil_mode, return_indices)
    return _Pooled.apply(input, *sides, ceil_mode)


def conv2d(
    input: Shaped[Tensor, "*batch channels height width"],
    weight: Shaped[Tensor, "features _ rows columns"],
    bias: Shaped[Tensor, " features"] | None = None,
    stride: Sides = 1,
    padding: Sides | str = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Shaped[Tensor, "*batch features _ _"]:
    """PyTorch's function of this name; the gradient of an image by the definition where that pays."""
    asked = torch.is_grad_enabled() and input.requires_grad and not weight.requires_grad
    alone = groups == 1 and (bias is None or not bias.requires_grad)
    plain = input.ndim == 4 and input.device.type == "cpu" and input.dtype == weight.dtype == torch.float32
    large = input.numel() > LEAST_VALUES or max(weight.shape[2:]) >= LEAST_KERNEL
    few = weight.shape[1] <= MOST_CHANNELS
    if isinstance(padding, str) or not (asked and alone and plain and large and few):
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    return _Convolved.apply(input, weight, bias, _two(stride), _two(padding), _two(dilation))


#: For whoever runs functions himself, one by one: what stands in for which of PyTorch's.
INSTEAD: Mapping[Any, Callable[..., Any]] = {functional.max_pool2d: max_pool2d, functional.conv2d: conv2d}


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


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.settings = x.shape[2:], settings
        return functional.conv2d(x, weight, bias, *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,), (stride, padding, dilation) = ctx.saved_tensors, ctx.settings
        transposed = weight.flatten(1).T  # channels x rows x columns of the kernel, features
        sites = gradient.flatten(2)  # batch, features, sites
        at_once = max(1, ENTRIES_AT_ONCE // (len(transposed) * sites.shape[2]))
        images = [
            functional.fold(transposed @ some, ctx.size, weight.shape[2:], dilation, padding, stride)
            for some in sites.split(at_once)
        ]
        return (torch.cat(images), *[None] * 5)


def _two(setting: Sides) -> list[int]:
    return [setting, setting] if isinstance(setting, int) else list(setting)
