"""What a network computes, function by function, run by rules of one's own: for backward passes that are not gradients.

    def gated(call):                                       # guided backpropagation
        output = call()
        return redirected(output, call.input, lambda gradient: gradient.relu() * (output > 0))

    with hooks.rewriting({"activation": gated}):
        scores = network(**inputs)

PyTorch hands every function it is about to run to a `TorchFunctionMode`, whether a module calls it or nobody does. So
functional, reused and in-place ReLUs, additions of a residual and fused attention are all reached, without one word
about the architecture. Nothing is put on the network itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seewhy.hooks.sooner import INSTEAD
from seewhy.shelf import nearest

_ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus sigmoid tanh hardtanh hardswish hardsigmoid logsigmoid"
)

#: What rules may be given for, and the functions of each kind, in all their spellings.
KINDS: Mapping[str, tuple[Any, ...]] = {
    "activation": tuple(
        function
        for name in _ACTIVATIONS.split()
        for place in (functional, torch, Tensor)
        for spelled in (name, f"{name}_")
        if (function := getattr(place, spelled, None)) is not None
    ),
    "convolution": (functional.conv1d, functional.conv2d, functional.conv3d, functional.conv_transpose2d),
    "linear": (functional.linear,),
    "batch_norm": (functional.batch_norm,),
    "layer_norm": (functional.layer_norm, functional.group_norm, functional.instance_norm),
    "max_pool": (functional.max_pool2d, torch.max_pool2d, functional.adaptive_max_pool2d),
    "average_pool": (functional.avg_pool2d, functional.adaptive_avg_pool2d),
    "softmax": (functional.softmax, torch.softmax, Tensor.softmax),
    "attention": (functional.scaled_dot_product_attention,),
    "matmul": (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm),
    "add": (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__),
    "multiply": (torch.mul, Tensor.mul, Tensor.mul_, Tensor.__mul__, Tensor.__rmul__, Tensor.__imul__),
    "concatenate": (torch.cat, torch.concat),
    "response_norm": (functional.local_response_norm,),
    "refused": (
        *(torch.einsum, torch.exp, Tensor.exp, torch.pow, Tensor.pow, Tensor.__pow__, torch.sqrt, Tensor.sqrt),
        *(torch.rsqrt, Tensor.rsqrt, torch.log, Tensor.log, functional.bilinear, functional.normalize),
    ),
}
_KIND = {function: kind for kind, functions in KINDS.items() for function in functions}


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a function: its kind (a key of KINDS), its own name, its first argument and the others.

    Called, it runs the function as it is, never in place; `call(x)` runs it on another input, `call(weight=w)` with an
    argument exchanged. Arguments are named as PyTorch names them: `call["weight"]`, `call["bias"]`, `call["stride"]`.
    """

    kind: str
    name: str
    function: Callable[..., Tensor]
    input: Any
    arguments: Mapping[str, Any]

    def __call__(self, input: Any = None, **changed: Any) -> Tensor:
        unknown = changed.keys() - self.arguments.keys()
        if unknown:
            raise KeyError(f"{self.name} has no argument {min(unknown)!r}; it has: {', '.join(self.arguments)}")
        given = {**self.arguments, **changed}
        places = [given.pop(name) for name in list(given) if name.isdecimal()]
        return self.function(self.input if input is None else input, *places, **given)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


Rule = Callable[[Call], Tensor]


def redirected(output: Tensor, inputs: Tensor | tuple[Tensor, ...], backward: Callable[[Tensor], Any]) -> Tensor:
    """`output` with a backward pass of one's own: `backward(gradient)` gives the gradient of each of the inputs."""
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    return _Redirected.apply(backward, output.detach(), *several)


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, backward: Callable[[Tensor], Any], output: Tensor, *inputs: Tensor) -> Tensor:
        ctx.rule, ctx.several = backward, len(inputs) > 1
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        found = ctx.rule(gradients[0])
        return (None, None, *(found if ctx.several else (found,)))


@contextmanager
def rewriting(rules: Mapping[str, Rule]) -> Iterator[None]:
    """While the block runs, each function of a kind that has a rule gives what its rule gives.

    Raises KeyError where there is no such kind.
    """
    for kind in rules:
        if kind not in KINDS:
            raise KeyError(f"No kind of function {kind!r}. {nearest(kind, KINDS)}There are: {', '.join(KINDS)}.")
    with _Rewriting(rules):
        yield


class _Rewriting(TorchFunctionMode):
    def __init__(self, rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self.rules = rules

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self:  # PyTorch would run it whole; its parts are what rules speak of
                return _multi_head_attention(**_named(func, args, given))
        rule = self.rules.get(_KIND.get(func, ""))
        if rule is None:
            return INSTEAD.get(func, func)(*args, **given)
        call, target = _call(func, args, given)
        output = rule(call)
        return output if target is None else target.copy_(output)


def _call(function: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> tuple[Call, Tensor | None]:
    """The call, out of place; and the tensor that it was to change in place, if any."""
    named = _named(function, args, given)
    name = function.__name__
    in_place = bool(named.pop("inplace", False)) or name.startswith("__i") or (name[-1] == "_" and name[-2] != "_")
    first = next(iter(named))
    input = named.pop(first)
    if in_place:
        function = _out_of_place(function)
    call = Call(_KIND[function], function.__name__.strip("_"), function, input.clone() if in_place else input, named)
    return call, input if in_place else None


def _out_of_place(function: Any) -> Any:
    name = function.__name__
    if name.startswith("__i"):
        return getattr(Tensor, name.replace("__i", "__", 1))
    if name[-1] != "_":
        return function
    return next(found for place in (Tensor, functional, torch) if (found := getattr(place, name[:-1], None)))


#: Arguments by position of functions that Python cannot ask.
_CONVOLVED = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_POSITIONS: Mapping[Any, tuple[str, ...]] = {
    functional.conv1d: _CONVOLVED,
    functional.conv2d: _CONVOLVED,
    functional.conv3d: _CONVOLVED,
    functional.conv_transpose2d: (
        "input",
        "weight",
        "bias",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
    ),
    functional.linear: ("input", "weight", "bias"),
    functional.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    functional.adaptive_max_pool2d: ("input", "output_size", "return_indices"),
    functional.avg_pool2d: ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    functional.scaled_dot_product_attention: ("query", "key", "value", "attn_mask", "dropout_p", "is_causal"),
}


@cache
def _parameters(function: Any) -> inspect.Signature | None:
    return inspect.signature(function) if inspect.isfunction(function) else None


def _named(function: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, in order; by their place as a text ("1") where the function tells nobody their names."""
    names = _POSITIONS.get(function)
    if names is not None:
        defaults: dict[str, Any] = {"bias": None} if "bias" in names else {}
        return {**dict(zip(names, args, strict=False)), **{k: v for k, v in defaults.items() if len(args) < 3}, **given}
    signature = _parameters(function)
    if signature is not None and not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        bound = signature.bind(*args, **given)
        bound.apply_defaults()
        return {name: value for name, value in bound.arguments.items() if name not in ("_stacklevel",)}
    return {**{str(place): value for place, value in enumerate(args)}, **given}


def attention_of(call: Call) -> tuple[Tensor, Tensor]:
    """The map (batch, heads, queries, keys) and the values of a call of the kind "attention"; their product is its
    output. Dropout is left out, as in evaluation."""
    query, key, value = call.input, call["key"], call["value"]
    scale = call.arguments.get("scale")
    if call.arguments.get("enable_gqa"):
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    mask = call.arguments.get("attn_mask")
    if call.arguments.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1), value


def _multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, **others: Any
) -> tuple[Tensor, Tensor | None]:
    """`torch.nn.functional.multi_head_attention_forward` in its parts. Shapes: length, batch, width.

    Raises NotImplementedError for what vision networks leave alone: added key biases, static keys, padding masks.
    """
    unusual = ("bias_k", "bias_v", "static_k", "static_v", "key_padding_mask")
    if any(others.get(name) is not None for name in unusual) or others.get("add_zero_attn"):
        raise NotImplementedError(f"An attention with {', '.join(unusual)} or add_zero_attn cannot be taken apart")
    batched = query.ndim == 3
    if not batched:
        query, key, value = (x[:, None] for x in (query, key, value))
    bias = others["in_proj_bias"]
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    separate = others.get("use_separate_proj_weight", False)
    weights = [others[f"{name}_proj_weight"] for name in "qkv"] if separate else others["in_proj_weight"].chunk(3)
    heads = []
    for x, weight, offset in zip((query, key, value), weights, biases, strict=True):
        projected = functional.linear(x, weight, offset)  # length, batch, width
        heads.append(projected.unflatten(2, (num_heads, -1)).permute(1, 2, 0, 3))  # batch, heads, length, width/heads
    mask = others.get("attn_mask")
    if mask is not None:
        mask = ~mask if mask.dtype == torch.bool else mask  # here True hides
        mask = mask.unflatten(0, (-1, num_heads)) if mask.ndim == 3 else mask
    mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
    joined = mixed.permute(2, 0, 1, 3).flatten(2)  # length, batch, width
    output = functional.linear(joined, others["out_proj_weight"], others["out_proj_bias"])
    maps = None
    if others.get("need_weights", True):
        call = Call(
            "attention",
            "",
            functional.scaled_dot_product_attention,
            heads[0],
            {"key": heads[1], "value": heads[2], "attn_mask": mask},
        )
        maps = attention_of(call)[0]
        maps = maps.mean(1) if others.get("average_attn_weights", True) else maps
    if not batched:
        return output[:, 0], None if maps is None else maps[0]
    return output, maps
