"""How many multiplications does a network spend on an image?

Each time a convolution, a linear layer or a product of two activations runs, its multiplications are added up. All
else costs little beside them and leaves the shape as it is, so it is passed by: on tensors without memory that makes
counting several times as fast, and a hundred networks take seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

#: What changes numbers and not the shape.
SAME_SHAPE: frozenset[Callable[..., Any]] = frozenset(
    {
        functional.batch_norm, functional.group_norm, functional.layer_norm, functional.local_response_norm,
        functional.relu, functional.relu6, functional.leaky_relu, functional.prelu, functional.elu, functional.gelu,
        functional.silu, functional.dropout, torch.tanh, torch.sigmoid, torch.softmax, functional.softmax,
        Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_,
    }
)  # fmt: skip

#: A sum of two tensors of one shape.
SUMS = (Tensor.add, Tensor.__add__, torch.add)


class Counting(TorchFunctionMode):
    """While it is on, `multiply_adds` grows by what runs, on tensors of the device "meta"."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function in SAME_SHAPE:
            return args[0] if args else next(iter(given.values()))
        if function in SUMS and isinstance(args[1], Tensor) and args[0].shape == args[1].shape:
            return args[0]
        made = function(*args, **given)
        if function is torch.conv2d:
            self.multiply_adds += made[:, 0].numel() * args[1].numel()  # each weight once a site and example
        elif function is functional.linear:
            self.multiply_adds += made[..., 0].numel() * args[1].numel()
        elif function is functional.scaled_dot_product_attention:
            queries, keys, values = args[:3]  # batch, heads, tokens, width
            pairs = math.prod(queries.shape[:-1]) * keys.shape[-2]
            self.multiply_adds += pairs * (keys.shape[-1] + values.shape[-1])
        return made


def multiply_adds(network: nn.Module, image: Tensor) -> int:
    """Those of one pass of the image, both without memory."""
    with torch.no_grad(), Counting() as counted:
        network(image)
    return counted.multiply_adds
