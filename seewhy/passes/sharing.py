"""How does relevance go through what has no weights of its own: activations, normalisations, products, attention?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seewhy.hooks import Call, redirected
from seewhy.hooks.rewriting import attention_of
from seewhy.passes.run import Unsuitable

#: Below this share of the largest input, y / x is the slope.
SMALL = 1e-6


def passed_on(call: Call) -> Tensor:
    """g = g_out y / x, so that x g = y g_out; where x is next to 0, the slope."""
    x = call.input.detach()
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        output = call(leaf)
    (slope,) = torch.autograd.grad(output.sum(), leaf)
    small = x.abs() <= SMALL * x.abs().amax()
    ratio = torch.where(small, slope, output.detach() / torch.where(small, 1, x))
    return redirected(output.detach(), call.input, lambda gradient: gradient * ratio)


def spread_fixed(call: Call) -> Tensor:
    """A layer or group normalisation whose division counts as a constant (Ali et al. 2022,
    https://arxiv.org/abs/2202.07304): what is left is linear."""
    output = call().detach()
    x, weight, bias = call.input, call.arguments.get("weight"), call.arguments.get("bias")
    if call.name == "layer_norm":
        axes = tuple(range(-len(call["normalized_shape"]), 0))
        middle = x.mean(axes, keepdim=True)
        spread = (x.var(axes, correction=0, keepdim=True) + call["eps"]).sqrt().detach()
        normal = (x - middle) / spread
        return _same_values((normal if weight is None else normal * weight) + (0 if bias is None else bias), output)
    groups = call.arguments.get("num_groups", x.shape[1])  # an instance normalisation has a group a channel
    parts = x.unflatten(1, (groups, -1)).flatten(2)
    spread = (parts.var(2, correction=0, keepdim=True) + call["eps"]).sqrt().detach()
    normal = ((parts - parts.mean(2, keepdim=True)) / spread).view_as(x)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    scaled = normal if weight is None else normal * weight.view(shape)
    return _same_values(scaled + (0 if bias is None else bias.view(shape)), output)


def _same_values(linear: Tensor, output: Tensor) -> Tensor:
    """The graph of the one with the values of the other."""
    return linear + (output - linear).detach()


def hangs(x: Any) -> bool:
    """Whether it depends on the image."""
    return isinstance(x, Tensor) and x.requires_grad


def _half(x: Any) -> Any:
    """The same, half of what comes back."""
    return redirected(x, x, lambda gradient: gradient / 2) if hangs(x) else x


def halved(call: Call) -> Tensor:
    """A product: half of the relevance to each factor; all of it to the one where the other is a constant."""
    others = dict(call.arguments)
    (name, factor), *_ = others.items()
    if not (hangs(call.input) and hangs(factor)):
        return call()
    return call(_half(call.input), **{name: _half(factor)})


def attended(call: Call) -> Tensor:
    """softmax(Q K^T) V: half to V and half through the softmax, there half to Q and half to K."""
    halves = Call(call.kind, call.name, call.function, _half(call.input), {**call.arguments, "key": _half(call["key"])})
    maps, values = attention_of(halves)
    return _half(maps) @ _half(values)


def refused(call: Call) -> Tensor:
    """Raises Unsuitable where what comes in depends on the image; constants may be computed as they like."""
    if any(map(hangs, (call.input, *call.arguments.values()))):
        raise Unsuitable(
            f"No rule is known for how {call.name!r} shares relevance, which this network runs; there are rules for "
            f"convolutions, linear layers, normalisations, activations, pooling, sums, products and attention"
        )
    return call()
