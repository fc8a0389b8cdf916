"""Which steps does a network take? Read from the graph that `torch.export` records of it, not guessed from names.

Batch normalisation behind a convolution or a linear layer is folded into it, and the fold is checked:

    weight gamma / sqrt(variance + eps),      beta + (bias - mean) gamma / sqrt(variance + eps)

Whatever only moves values about (flatten, concatenate, slice, pad, transpose) is run on the numbers of the places
instead of the values, and becomes one step that says where each value comes from. What depends on weights alone is
computed once. Dropout is off. Any other operation is refused by name.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.fx import Node
from torch.utils._pytree import tree_flatten, tree_map

from seewhy import model, wording
from seewhy.sheets.steps import (
    IMAGE,
    Activate,
    Add,
    Convolve,
    Linear,
    Merge,
    Move,
    Normalise,
    Pool,
    Scale,
    Shape,
    Soften,
    Step,
)

#: How far a folded layer may be from the two it was made of, as a share of the largest value or of 1: rounding.
TOLERANCE = 1e-9
SUPPORTED = (
    "convolution (stride, padding, groups, dilation), batch normalisation, ReLU, leaky ReLU, ReLU6, clamp, ELU, SiLU, "
    "sigmoid, tanh, max, average and adaptive pooling, the mean over a map, sums, concatenation, slices, padding, "
    "flatten, linear layers, dropout, which is off, and softmax"
)
#: Operations that only move values about.
MOVING = frozenset(
    "view _unsafe_view reshape flatten unflatten clone contiguous permute transpose t slice select pad constant_pad_nd "
    "unsqueeze squeeze expand split split_with_sizes chunk unbind cat stack flip roll alias detach _to_copy to repeat "
    "upsample_nearest2d pixel_shuffle channel_shuffle lift_fresh_copy".split()
)
#: Operations that do nothing outside training.
IDLE = frozenset(("dropout", "feature_dropout", "alpha_dropout", "native_dropout", "identity"))


class Refused(ValueError):
    """An operation that no sheet has."""


@dataclass(frozen=True, eq=False)
class Places:
    """A tensor of the graph as numbers of places: `index` holds 1 + the place among all values of `sources`, 0 for 0."""

    sources: tuple[str, ...]
    index: Float64[Tensor, "*shape"]


def steps_of(network: model.Normalised, size: tuple[int, int], name: str) -> tuple[Step, ...]:
    """The steps of a network for images of this height and width, the last of which gives its logits.

    Raises ValueError naming what no sheet has, and where a fold is not exact.
    """
    if network.views != "none":
        raise ValueError(
            f"{name} answers by the mean over several views of an image (views are {network.views!r}), and a sheet "
            "shows one; take the model without them"
        )
    mean, std = (tuple(part.flatten().double().tolist()) for part in (network.mean, network.std))
    reader = _Reader(name, (3, *size))
    reader.add(Normalise("normalise", (IMAGE,), ((3, *size),), (3, *size), mean, std))
    body = copy.deepcopy(network.body).cpu().double().eval().requires_grad_(False)
    logits = reader.read(body)
    if network.merge is not None:
        logits = reader.merge(logits, network.merge)
    return _leading_to(logits, reader.steps)


def _leading_to(last: str, steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """The steps that one depends on, in order, and that one."""
    wanted, found = {last}, list[Step]()
    for step in reversed(steps.values()):
        if step.name in wanted:
            wanted |= {*step.inputs}
            found.append(step)
    return tuple(reversed(found))


class _Reader:
    """Walks the graph of one network; `steps` are those found so far, by name."""

    def __init__(self, network: str, shape: Shape) -> None:
        self.network, self.size = network, shape
        self.steps: dict[str, Step] = {}
        self.known: dict[Node, Any] = {}
        self.moved: dict[tuple[Any, ...], str] = {}
        self.body: nn.Module = nn.Module()
        self.node: Node

    def shape(self, name: str) -> Shape:
        return self.size if name == IMAGE else self.steps[name].shape

    def read(self, body: nn.Module) -> str:
        """The name of the step that gives the logits."""
        self.body = body
        image = torch.rand(1, *self.size, dtype=torch.float64)
        try:
            program = torch.export.export(body, (image,)).run_decompositions({})
        except Exception as error:  # noqa: BLE001 - PyTorch raises many kinds here, each about the network
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Refused(f"The graph of {self.network} cannot be read: {why}") from error
        given = program.graph_signature
        constants = {**program.state_dict, **program.constants}
        named = {**given.inputs_to_parameters, **given.inputs_to_buffers, **given.inputs_to_lifted_tensor_constants}
        unknown: dict[str, str] = {}
        for node in program.graph.nodes:
            self.node = node
            if node.op == "placeholder":
                held = named.get(node.name)
                self.known[node] = self.fresh("normalise") if held is None else constants[held]
            elif node.op == "call_function":
                try:
                    self.known[node] = self.call(node)
                except NotImplementedError:
                    unknown[self.kind(node)] = self.where(node)
                    self.known[node] = None
                except _AfterUnknown:
                    self.known[node] = None
            elif node.op == "output":
                answer = node.args[0][0]
        if unknown:
            first = [f"{kind} in {wording.quoted(place or 'its forward')}" for kind, place in unknown.items()]
            raise Refused(
                f"A sheet has no formula for {wording.listed(first)} of {self.network}. It has: {SUPPORTED}."
            )
        self.node = answer
        return self.step(self.known[answer])

    def call(self, node: Node) -> Any:
        """What an operation makes: places of a step's values, a constant, or several of them."""
        args, kwargs = tree_map(lambda part: self.known[part] if isinstance(part, Node) else part, (node.args, node.kwargs))
        leaves, _ = tree_flatten((args, kwargs))
        if any(isinstance(part, Node) and self.known[part] is None for part in node.all_input_nodes):
            raise _AfterUnknown
        if node.target is operator.getitem:
            return args[0][args[1]]
        if not any(isinstance(leaf, Places) for leaf in leaves):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        kind = self.kind(node)
        if kind in IDLE:
            return args[0]
        if kind in MOVING:
            return self.move(node, args, kwargs)
        rule = RULES.get(kind)
        if rule is None:
            raise NotImplementedError
        return rule(self, *args, **kwargs)

    # ------------------------------------------------------------------------------------------------- steps

    def add(self, step: Step) -> Places:
        self.steps[step.name] = step
        return self.fresh(step.name)

    def fresh(self, name: str) -> Places:
        """The places of a step's own values, in their order."""
        shape = self.shape(name)
        channels, height, width = shape
        index = torch.arange(1, channels * height * width + 1, dtype=torch.float64)
        return Places((name,), index.reshape(1, *shape))

    def made(self, kind: type[Step], inputs: Sequence[Places], shape: Sequence[int], *more: Any, **others: Any) -> Places:
        """A new step under the name of the layer that it is of; `shape` has the batch first."""
        names = tuple(self.step(places) for places in inputs)
        given = tuple(self.shape(name) for name in names)
        return self.add(kind(self.name(self.node), names, given, _of_maps(shape), *more, **others))

    def like(self, kind: type[Step], x: Places, *more: Any, **others: Any) -> Places:
        """A new step whose values have the shape of what it takes, be they maps or a vector."""
        places = self.made(kind, (x,), x.index.shape, *more, **others)
        return replace(places, index=places.index.reshape(x.index.shape))

    def step(self, places: Places) -> str:
        """The step whose values these are; where they have moved, one that moves them is added before."""
        shape = _of_maps(places.index.shape)
        order = places.index.reshape(shape).round().long()
        (first, *others) = places.sources
        straight = not others and torch.equal(order.flatten(), torch.arange(1, order.numel() + 1))
        if straight and self.shape(first) == shape:
            return first
        key = (places.sources, shape, order.numpy().tobytes())
        if key not in self.moved:
            given = tuple(map(self.shape, places.sources))
            count = sum(channels * height * width for channels, height, width in given)
            joined = order.numel() == count and torch.equal(order.flatten(), torch.arange(1, count + 1))
            kind = "flatten" if straight else "join" if joined and others else "move"
            name = self.name(self.node, kind)
            self.add(Move(name, places.sources, given, shape, order, kind))
            self.moved[key] = name
        return self.moved[key]

    def name(self, node: Node, kind: str = "") -> str:
        """The layer's own name, or what it does where one layer does several things; never that of another step."""
        path = self.where(node)
        bare = not path or any(self.body.get_submodule(path).children())
        wanted = " ".join(part for part in (path, kind or (self.kind(node) if bare else "")) if part)
        found, number = wanted, 1
        while found in self.steps or found == IMAGE:
            number += 1
            found = f"{wanted} {number}"
        return found

    def where(self, node: Node) -> str:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        return stack[-1][0] if stack else ""

    def kind(self, node: Node) -> str:
        schema = getattr(node.target, "_schema", None)
        return str(node.target) if schema is None else schema.name.rpartition("::")[2].removesuffix("_")

    # ------------------------------------------------------------------------------------------------ moving

    def move(self, node: Node, args: Any, kwargs: Any) -> Any:
        """An operation run on the numbers of the places."""
        if self.kind(node) in ("pad", "constant_pad_nd"):
            mode, value = (kwargs.get("mode", "constant"), 0.0)
            if self.kind(node) == "constant_pad_nd":
                value = args[2] if len(args) > 2 else kwargs.get("value", 0.0)
            else:
                mode = args[2] if len(args) > 2 else mode
                value = args[3] if len(args) > 3 else kwargs.get("value", 0.0)
            if mode == "constant" and value not in (None, 0, 0.0):
                raise NotImplementedError
        leaves, shape = tree_flatten((args, kwargs))
        sources = tuple(dict.fromkeys(name for leaf in leaves if isinstance(leaf, Places) for name in leaf.sources))
        start, starts = 0, {}
        for name in sources:
            channels, height, width = self.shape(name)
            starts[name] = start
            start += channels * height * width
        moved = [self.shifted(leaf, starts) if isinstance(leaf, Places) else leaf for leaf in leaves]
        if any(isinstance(leaf, Tensor) and not isinstance(before, Places) for leaf, before in zip(moved, leaves, strict=True)):
            raise NotImplementedError  # values of a step beside constants
        args, kwargs = torch.utils._pytree.tree_unflatten(moved, shape)
        made = node.target(*args, **kwargs)  # type: ignore[operator]
        return tree_map(lambda part: Places(sources, part) if isinstance(part, Tensor) else part, made)

    def shifted(self, places: Places, starts: dict[str, int]) -> Float64[Tensor, "*shape"]:
        """Their numbers among the values of all sources."""
        index, start = torch.zeros_like(places.index), 0
        for name in places.sources:
            channels, height, width = self.shape(name)
            size = channels * height * width
            here = (places.index > start) & (places.index <= start + size)
            index = torch.where(here, places.index - start + starts[name], index)
            start += size
        return index

    # ------------------------------------------------------------------------------------------------ layers

    def convolve(
        self,
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
        return self.made(Convolve, (x,), shape, weight, bias, steps, pads, gaps, groups)

    def linear(self, x: Places, weight: Tensor, bias: Tensor | None = None) -> Places:
        if x.index.dim() != 2 or not isinstance(weight, Tensor) or isinstance(bias, Places):
            raise NotImplementedError
        bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias
        places = self.made(Linear, (self.listed(x),), (1, len(weight)), weight, bias)
        return replace(places, index=places.index.reshape(1, -1))

    def listed(self, x: Places) -> Places:
        """A vector whose values stand one below the other on their sheet, as those of a convolution do not."""
        before = self.step(x)
        if not isinstance(self.steps[before], Convolve):
            return x
        shape = self.shape(before)
        order = torch.arange(1, shape[0] + 1)[:, None, None]
        places = self.add(Move(self.name(self.node, "flatten"), (before,), (shape,), shape, order, "flatten"))
        return replace(places, index=places.index.reshape(1, -1))

    def normalised(
        self, x: Places, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, *more: Any
    ) -> Any:
        """Batch normalisation, folded into the layer before it if nothing else looks at that."""
        eps = more[-1]
        factor = (variance + eps).rsqrt() * (1 if weight is None else weight)
        offset = (0 if bias is None else bias) - mean * factor
        before = self.steps.get(self.step(x))
        given = self.node.args[0]
        alone = isinstance(given, Node) and len(given.users) == 1 and self.kind(given) in ("conv2d", "linear")
        if isinstance(before, (Convolve, Linear)) and not before.folded and alone:
            axes = (slice(None), *[None] * (before.weight.dim() - 1))
            folded = replace(
                before, weight=before.weight * factor[axes], bias=before.bias * factor + offset,
                folded=self.where(self.node) or "batch normalisation",
            )  # fmt: skip
            _check_fold(before, folded, factor, offset)
            self.steps[before.name] = folded
            return (x, None, None)
        places = self.like(Scale, x, tuple(factor.tolist()), tuple(offset.tolist()))
        return (places, None, None)

    # ------------------------------------------------------------------------------------------------- pools

    def windows(self, x: Places, largest: bool, rows: Any, columns: Any, heights: Any = (), widths: Any = ()) -> Places:
        shape = (1, x.index.shape[1], len(rows), len(columns))
        return self.made(Pool, (x,), shape, largest, tuple(rows), tuple(columns), tuple(heights), tuple(widths))

    def max_pool(
        self, x: Places, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> Places:
        sizes, steps = _pair(kernel), _pair(stride or kernel)
        sides = [
            _sliding(size, k, s, p, d, ceil)
            for size, k, s, p, d in zip(
                x.index.shape[2:], sizes, steps, _pair(padding), _pair(dilation), strict=True
            )
        ]
        return self.windows(x, True, *sides)

    def average_pool(
        self,
        x: Places,
        kernel: Any,
        stride: Any = (),
        padding: Any = 0,
        ceil: bool = False,
        count_padding: bool = True,
        divisor: int | None = None,
    ) -> Places:
        sides, counts = [], []
        for size, k, s, p in zip(
            x.index.shape[2:], _pair(kernel), _pair(stride or kernel), _pair(padding), strict=True
        ):
            windows = _sliding(size, k, s, p, 1, ceil)
            whole = [min(place * s - p + k, size + p) - (place * s - p) for place in range(len(windows))]
            sides.append(windows)
            counts.append(whole if count_padding else list(map(len, windows)))
        if divisor is not None:
            counts = [[divisor] * len(sides[0]), [1] * len(sides[1])]
        return self.windows(x, False, *sides, *counts)

    def adaptive_pool(self, x: Places, size: Any, largest: bool) -> Any:
        sides = [
            [range(place * side // count, -(-(place + 1) * side // count)) for place in range(count)]
            for side, count in zip(x.index.shape[2:], _pair(size), strict=True)
        ]
        if largest:
            return (self.windows(x, True, *sides), None)
        return self.windows(x, False, *sides, *[list(map(len, windows)) for windows in sides])

    def mean(self, x: Places, axes: Any = None, keep: bool = False, largest: bool = False, **others: Any) -> Places:
        """Over the whole of each map."""
        over = {axis % x.index.dim() for axis in axes or ()}
        if x.index.dim() != 4 or over != {2, 3}:
            raise NotImplementedError
        made = self.adaptive_pool(x, 1, largest)
        found = made[0] if largest else made
        return found if keep else replace(found, index=found.index[:, :, 0, 0])

    # ------------------------------------------------------------------------------------------- arithmetic

    def bend(self, x: Places, function: str, *settings: float) -> Places:
        return self.like(Activate, x, function, tuple(float(number) for number in settings))

    def plus(self, x: Any, y: Any, *, alpha: float = 1, sign: int = 1) -> Places:
        if isinstance(x, Places) and isinstance(y, Places):
            if alpha != 1 or sign != 1 or x.index.shape != y.index.shape:
                raise NotImplementedError
            places = self.made(Add, (x, y), x.index.shape)
            return replace(places, index=places.index.reshape(x.index.shape))
        if isinstance(x, Places):
            return self.scaled(x, 1.0, sign * alpha * y)
        return self.scaled(y, sign * alpha, x)

    def times(self, x: Any, y: Any) -> Places:
        if isinstance(x, Places) and isinstance(y, Places):
            raise NotImplementedError
        return self.scaled(x, y, 0.0) if isinstance(x, Places) else self.scaled(y, x, 0.0)

    def over(self, x: Any, y: Any) -> Places:
        if isinstance(y, Places):
            raise NotImplementedError
        return self.scaled(x, 1 / y, 0.0)

    def scaled(self, x: Places, factor: Any, offset: Any) -> Places:
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
        return self.like(Scale, x, *numbers)

    def soften(self, x: Places, axis: int, *more: Any, log: bool = False) -> Places:
        if x.index.dim() != 2 or axis % 2 != 1:
            raise NotImplementedError
        return self.like(Soften, self.listed(x), log)


    def merge(self, logits: str, merge: nn.Module) -> str:
        """The last layer of a model that answers in other classes than its network has."""
        if not isinstance(merge, model.Merge):
            raise Refused(f"{self.network} ends in {type(merge).__name__}, which a sheet has no formula for")
        rows = zip(merge.index.tolist(), merge.empty.tolist(), strict=True)
        groups = tuple(tuple(at for at, no in zip(*row, strict=True) if not no) for row in rows)
        self.add(Merge("merge", (logits,), (self.shape(logits),), (len(groups), 1, 1), groups))
        return "merge"


class _AfterUnknown(Exception):
    """An operation that follows one that is not known, and is not to be named for it."""


#: How each operation becomes a step. The names are those of ATen, without a trailing _.
RULES: dict[str, Callable[..., Any]] = {
    "conv2d": _Reader.convolve,
    "linear": _Reader.linear,
    "_native_batch_norm_legit_no_training": _Reader.normalised,
    "max_pool2d": _Reader.max_pool,
    "avg_pool2d": _Reader.average_pool,
    "adaptive_avg_pool2d": lambda reader, x, size: reader.adaptive_pool(x, size, False),
    "adaptive_max_pool2d": lambda reader, x, size: reader.adaptive_pool(x, size, True),
    "mean": _Reader.mean,
    "amax": lambda reader, x, axes=None, keep=False: reader.mean(x, axes, keep, True),
    "relu": lambda reader, x: reader.bend(x, "relu"),
    "relu6": lambda reader, x: reader.bend(x, "relu6"),
    "hardtanh": lambda reader, x, low=-1.0, high=1.0: (
        reader.bend(x, "relu6") if (low, high) == (0.0, 6.0) else reader.bend(x, "clamp", low, high)
    ),
    "leaky_relu": lambda reader, x, slope=0.01: reader.bend(x, "leaky relu", slope),
    "sigmoid": lambda reader, x: reader.bend(x, "sigmoid"),
    "tanh": lambda reader, x: reader.bend(x, "tanh"),
    "silu": lambda reader, x: reader.bend(x, "silu"),
    "elu": lambda reader, x, alpha=1.0: reader.bend(x, "elu", alpha),
    "add": _Reader.plus,
    "sub": lambda reader, x, y, alpha=1: reader.plus(x, y, alpha=alpha, sign=-1),
    "mul": _Reader.times,
    "div": _Reader.over,
    "softmax": _Reader.soften,
    "log_softmax": lambda reader, x, axis, *more: reader.soften(x, axis, log=True),
}


def _of_maps(shape: Sequence[int]) -> Shape:
    """Channels, height and width of a tensor whose batch is 1. Raises NotImplementedError for other tensors."""
    match tuple(shape):
        case (1, channels, height, width):
            return channels, height, width
        case (1, channels):
            return channels, 1, 1
    raise NotImplementedError


def _pair(value: Any) -> tuple[int, int]:
    """Height and width of a setting that may be one number for both."""
    entries = [value] if isinstance(value, int) else list(value)
    return (entries[0], entries[-1])


def _sliding(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> list[range]:
    """The windows along one axis, without the padding. With `ceil` the last may stick out, but begins before the end."""
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
