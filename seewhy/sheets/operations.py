"""How does each operation of the graph become a step?

`RULES` names them as ATen does. A rule is handed the arguments of the operation: places of values where it depends on
the image, tensors and numbers where it does not. It raises NotImplementedError for what no sheet has.

Batch normalisation behind a convolution or a linear layer is folded into it, and the fold is checked:

    weight gamma / sqrt(variance + eps),      beta + (bias - mean) gamma / sqrt(variance + eps)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from seewhy.sheets.places import Places, Reader
from seewhy.sheets.steps import Activate, Add, Convolve, Linear, Move, Pool, Scale, Soften

#: How far a folded layer may be from the two it was made of, as a share of the largest value or of 1: rounding.
TOLERANCE = 1e-9


def convolve(
    reader: Reader,
    x: Places,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Any = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Places:
    if x.index.dim() != 4 or not isinstance(weight, Tensor) or isinstance(bias, Places):
        raise NotImplementedError
    steps, gaps = _pair(stride), _pair(dilation)
    around = [gap * (size - 1) for gap, size in zip(gaps, weight.shape[2:], strict=True)]
    if padding == "same":
        pads = (around[0] // 2, around[0] - around[0] // 2, around[1] // 2, around[1] - around[1] // 2)
    else:
        high, wide = (0, 0) if padding == "valid" else _pair(padding)
        pads = (high, high, wide, wide)
    _, _, height, width = x.index.shape
    shape = (
        1,
        len(weight),
        (height + pads[0] + pads[1] - around[0] - 1) // steps[0] + 1,
        (width + pads[2] + pads[3] - around[1] - 1) // steps[1] + 1,
    )
    bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias
    return reader.made(Convolve, (x,), shape, weight, bias, steps, pads, gaps, groups)


def linear(reader: Reader, x: Places, weight: Tensor, bias: Tensor | None = None) -> Places:
    if x.index.dim() != 2 or not isinstance(weight, Tensor) or isinstance(bias, Places):
        raise NotImplementedError
    bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias
    places = reader.made(Linear, (listed(reader, x),), (1, len(weight)), weight, bias)
    return replace(places, index=places.index.reshape(1, -1))


def listed(reader: Reader, x: Places) -> Places:
    """A vector whose values stand one below the other on their sheet, as those of a convolution do not."""
    before = reader.step(x)
    if not isinstance(reader.steps[before], Convolve):
        return x
    shape = reader.shape(before)
    order = torch.arange(1, shape[0] + 1)[:, None, None]
    places = reader.add(Move(reader.name(reader.node, "flatten"), (before,), (shape,), shape, order, "flatten"))
    return replace(places, index=places.index.reshape(1, -1))


def normalised(
    reader: Reader, x: Places, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, *more: Any
) -> Any:
    """Batch normalisation, folded into the layer before it if nothing else looks at that."""
    eps = more[-1]
    factor = (variance + eps).rsqrt() * (1 if weight is None else weight)
    offset = (0 if bias is None else bias) - mean * factor
    before = reader.steps.get(reader.step(x))
    given = reader.node.args[0]
    alone = isinstance(given, Node) and len(given.users) == 1 and reader.kind(given) in ("conv2d", "linear")
    if isinstance(before, (Convolve, Linear)) and not before.folded and alone:
        axes = (slice(None), *[None] * (before.weight.dim() - 1))
        folded = replace(
            before, weight=before.weight * factor[axes], bias=before.bias * factor + offset,
            folded=reader.where(reader.node) or "batch normalisation",
        )  # fmt: skip
        _check_fold(before, folded, factor, offset)
        reader.steps[before.name] = folded
        return (x, None, None)
    places = reader.like(Scale, x, tuple(factor.tolist()), tuple(offset.tolist()))
    return (places, None, None)


def windows(
    reader: Reader, x: Places, largest: bool, rows: Any, columns: Any, heights: Any = (), widths: Any = ()
) -> Places:
    shape = (1, x.index.shape[1], len(rows), len(columns))
    return reader.made(Pool, (x,), shape, largest, tuple(rows), tuple(columns), tuple(heights), tuple(widths))


def max_pool(
    reader: Reader, x: Places, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Places:
    sizes, steps = _pair(kernel), _pair(stride or kernel)
    sides = [
        _sliding(size, k, s, p, d, ceil)
        for size, k, s, p, d in zip(x.index.shape[2:], sizes, steps, _pair(padding), _pair(dilation), strict=True)
    ]
    return windows(reader, x, True, *sides)


def average_pool(
    reader: Reader,
    x: Places,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    count_padding: bool = True,
    divisor: int | None = None,
) -> Places:
    sides, counts = [], []
    for size, k, s, p in zip(x.index.shape[2:], _pair(kernel), _pair(stride or kernel), _pair(padding), strict=True):
        slid = _sliding(size, k, s, p, 1, ceil)
        whole = [min(place * s - p + k, size + p) - (place * s - p) for place in range(len(slid))]
        sides.append(slid)
        counts.append(whole if count_padding else list(map(len, slid)))
    if divisor is not None:
        counts = [[divisor] * len(sides[0]), [1] * len(sides[1])]
    return windows(reader, x, False, *sides, *counts)


def adaptive_pool(reader: Reader, x: Places, size: Any, largest: bool) -> Any:
    sides = [
        [range(place * side // count, -(-(place + 1) * side // count)) for place in range(count)]
        for side, count in zip(x.index.shape[2:], _pair(size), strict=True)
    ]
    if largest:
        return (windows(reader, x, True, *sides), None)
    return windows(reader, x, False, *sides, *[list(map(len, side)) for side in sides])


def mean(
    reader: Reader, x: Places, axes: Any = None, keep: bool = False, largest: bool = False, **others: Any
) -> Places:
    """Over the whole of each map."""
    over = {axis % x.index.dim() for axis in axes or ()}
    if x.index.dim() != 4 or over != {2, 3}:
        raise NotImplementedError
    made = adaptive_pool(reader, x, 1, largest)
    found = made[0] if largest else made
    return found if keep else replace(found, index=found.index[:, :, 0, 0])


def bend(reader: Reader, x: Places, function: str, *settings: float) -> Places:
    return reader.like(Activate, x, function, tuple(float(number) for number in settings))


def plus(reader: Reader, x: Any, y: Any, *, alpha: float = 1, sign: int = 1) -> Places:
    if isinstance(x, Places) and isinstance(y, Places):
        if alpha != 1 or sign != 1 or x.index.shape != y.index.shape:
            raise NotImplementedError
        places = reader.made(Add, (x, y), x.index.shape)
        return replace(places, index=places.index.reshape(x.index.shape))
    if isinstance(x, Places):
        return scaled(reader, x, 1.0, sign * alpha * y)
    return scaled(reader, y, sign * alpha, x)


def times(reader: Reader, x: Any, y: Any) -> Places:
    if isinstance(x, Places) and isinstance(y, Places):
        raise NotImplementedError
    return scaled(reader, x, y, 0.0) if isinstance(x, Places) else scaled(reader, y, x, 0.0)


def over(reader: Reader, x: Any, y: Any) -> Places:
    if isinstance(y, Places):
        raise NotImplementedError
    return scaled(reader, x, 1 / y, 0.0)


def scaled(reader: Reader, x: Places, factor: Any, offset: Any) -> Places:
    """By constants, each one number or one a channel."""
    channels = x.index.shape[1]
    numbers = []
    for constant in (factor, offset):
        spread = torch.as_tensor(constant, dtype=torch.float64)
        try:
            spread = spread.broadcast_to(x.index.shape).reshape(channels, -1)
        except RuntimeError as error:
            raise NotImplementedError from error
        if not torch.equal(spread, spread[:, :1].expand_as(spread)):
            raise NotImplementedError
        numbers.append(tuple(spread[:, 0].tolist()))
    return reader.like(Scale, x, *numbers)


def soften(reader: Reader, x: Places, axis: int, *more: Any, log: bool = False) -> Places:
    if x.index.dim() != 2 or axis % 2 != 1:
        raise NotImplementedError
    return reader.like(Soften, listed(reader, x), log)


#: How each operation becomes a step. The names are those of ATen, without a trailing _.
RULES: dict[str, Callable[..., Any]] = {
    "conv2d": convolve,
    "linear": linear,
    "_native_batch_norm_legit_no_training": normalised,
    "max_pool2d": max_pool,
    "avg_pool2d": average_pool,
    "adaptive_avg_pool2d": lambda reader, x, size: adaptive_pool(reader, x, size, False),
    "adaptive_max_pool2d": lambda reader, x, size: adaptive_pool(reader, x, size, True),
    "mean": mean,
    "amax": lambda reader, x, axes=None, keep=False: mean(reader, x, axes, keep, True),
    "relu": lambda reader, x: bend(reader, x, "relu"),
    "relu6": lambda reader, x: bend(reader, x, "relu6"),
    "hardtanh": lambda reader, x, low=-1.0, high=1.0: (
        bend(reader, x, "relu6") if (low, high) == (0.0, 6.0) else bend(reader, x, "clamp", low, high)
    ),
    "leaky_relu": lambda reader, x, slope=0.01: bend(reader, x, "leaky relu", slope),
    "sigmoid": lambda reader, x: bend(reader, x, "sigmoid"),
    "tanh": lambda reader, x: bend(reader, x, "tanh"),
    "silu": lambda reader, x: bend(reader, x, "silu"),
    "elu": lambda reader, x, alpha=1.0: bend(reader, x, "elu", alpha),
    "add": plus,
    "sub": lambda reader, x, y, alpha=1: plus(reader, x, y, alpha=alpha, sign=-1),
    "rsub": lambda reader, x, y, alpha=1: plus(reader, y, x, alpha=alpha, sign=-1),
    "mul": times,
    "div": over,
    "softmax": soften,
    "log_softmax": lambda reader, x, axis, *more: soften(reader, x, axis, log=True),
}


def _pair(value: Any) -> tuple[int, int]:
    """Height and width of a setting that may be one number for both."""
    entries = [value] if isinstance(value, int) else list(value)
    return (entries[0], entries[-1])


def _sliding(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> list[range]:
    """The windows along one axis, without the padding. With `ceil` the last may stick out, but begins inside."""
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    found = []
    for place in range(count):
        first = place * stride - padding
        skipped = -(-max(0, -first) // dilation) * dilation
        found.append(range(first + skipped, min(first + span, size), dilation))
    return found


def _check_fold(before: Convolve | Linear, folded: Convolve | Linear, factor: Tensor, offset: Tensor) -> None:
    """Raises ValueError where a layer and its normalisation are not what was folded of them, by more than rounding."""
    x = torch.randn(1, *before.given[0], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = before.values(x) * factor[:, None, None] + offset[:, None, None]
    off = (folded.values(x) - wanted).abs().max().item()
    if not off <= TOLERANCE * max(1.0, wanted.abs().max().item()):
        raise ValueError(f"{folded.folded} cannot be folded into {before.name}: values would be off by {off:.2g}")
