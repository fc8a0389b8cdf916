"""A network as a short list of steps that a sheet can show, each of which says its own values.

    image -> Normalise -> Convolve -> Activate -> Pool -> ... -> Move (flatten) -> Linear -> ...

A value is a stack of maps, channels x height x width, in float64; a vector is a stack of maps of one pixel. A step
takes the values of the steps it names, or the image's. It can be switched off, and then does what its `off` says; of a
convolution and a linear layer each filter can be switched off too, and then gives zeros.

The same steps fill the cells with the values that a sheet shows before it is recalculated, say which part of a value
a unit sees, and are what the tests compare with the network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn import functional

#: Batch, channels, height and width: of a step's input and output each their own.
Value = Float64[Tensor, "batch _ _ _"]
#: Channels, height and width.
Shape = tuple[int, int, int]
#: What the first step takes: the levels of red, green and blue, 0 to 255.
IMAGE = "image"


@dataclass(frozen=True)
class Region:
    """A part of a value: some channels, and a rectangle of them."""

    channels: tuple[int, ...]
    rows: range
    columns: range

    @classmethod
    def whole(cls, shape: Shape) -> Region:
        channels, height, width = shape
        return cls(tuple(range(channels)), range(height), range(width))

    def joined(self, other: Region) -> Region:
        """The smallest part that holds both."""
        channels = tuple(sorted({*self.channels, *other.channels}))
        return Region(channels, _hull(self.rows, other.rows), _hull(self.columns, other.columns))

    @property
    def cells(self) -> int:
        return len(self.channels) * len(self.rows) * len(self.columns)


@dataclass(frozen=True, eq=False)
class Step:
    """One step. `given` are the shapes of what it takes; `word` is what its sheet is called."""

    name: str
    inputs: tuple[str, ...]
    given: tuple[Shape, ...]
    shape: Shape

    word: ClassVar[str] = ""
    #: What happens if the step is switched off; nothing if it cannot be.
    off: ClassVar[str] = ""
    #: Whether each of its channels is a filter, with weights and a switch of its own.
    has_filters: ClassVar[bool] = False

    def values(self, *inputs: Value, on: bool = True) -> Value:
        """What it makes of its inputs, all filters being on."""
        raise NotImplementedError

    def sees(self, region: Region) -> tuple[Region, ...]:
        """Which part of each input it takes to know a part of its output."""
        channels = tuple(range(self.given[0][0]))
        return (Region(channels, region.rows, region.columns),)


@dataclass(frozen=True, eq=False)
class Normalise(Step):
    """(level / 255 - mean) / std, a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    word = "normalise"
    off = "the levels are only divided by 255"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        scaled = inputs[0] / 255
        return (scaled - _by_channel(self.mean)) / _by_channel(self.std) if on else scaled

    def sees(self, region: Region) -> tuple[Region, ...]:
        return (region,)


@dataclass(frozen=True, eq=False)
class Scale(Step):
    """factor x + offset, a channel: batch normalisation that could not be folded into a convolution, or a constant."""

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    word = "scale"
    off = "values pass unchanged"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        return inputs[0] * _by_channel(self.factor) + _by_channel(self.offset) if on else inputs[0]

    def sees(self, region: Region) -> tuple[Region, ...]:
        return (region,)


@dataclass(frozen=True, eq=False)
class Convolve(Step):
    """Each filter slid over the maps. `padding` is that above, below, left and right; `folded` what is within it.

    One that looks at more maps than a formula can name is a chain: each looks at some, from `first` on, and adds what
    the one before it has, its second input.
    """

    weight: Float64[Tensor, "filters channels kernel_height kernel_width"]
    bias: Float64[Tensor, " filters"]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    folded: str = ""
    first: int = 0

    word = "conv"
    off = "all its maps are 0"
    has_filters = True

    @property
    def span(self) -> tuple[int, int]:
        """Height and width of the window that a filter looks at."""
        high, wide = self.weight.shape[2:]
        return self.dilation[0] * (high - 1) + 1, self.dilation[1] * (wide - 1) + 1

    def seen_by(self, filter: int) -> range:
        """The channels that a filter looks at: those of its group."""
        each = self.weight.shape[1]
        group = filter // (self.shape[0] // self.groups)
        return range(self.first + group * each, self.first + (group + 1) * each)

    def values(self, *inputs: Value, on: bool = True) -> Value:
        above, below, left, right = self.padding
        given = inputs[0][:, self.first : self.first + self.groups * self.weight.shape[1]]
        padded = functional.pad(given, (left, right, above, below))
        out = functional.conv2d(padded, self.weight, self.bias, self.stride, dilation=self.dilation, groups=self.groups)
        out = sum(inputs[1:], out)
        return out if on else torch.zeros_like(out)

    def sees(self, region: Region) -> tuple[Region, ...]:
        channels = sorted({channel for filter in region.channels for channel in self.seen_by(filter)})
        rows = _window(region.rows, self.stride[0], self.padding[0], self.span[0], self.given[0][1])
        columns = _window(region.columns, self.stride[1], self.padding[2], self.span[1], self.given[0][2])
        return (Region(tuple(channels), rows, columns), *[region] * (len(self.inputs) - 1))

    def chained(self, most: int) -> tuple[Convolve, ...]:
        """The same as several that look at no more than `most` maps each; the last has the name and the bias."""
        count = self.weight.shape[1]
        if self.groups > 1 or count <= most:
            return (self,)
        found: list[Convolve] = []
        for first in range(0, count, most):
            ends = first + most >= count
            found.append(
                replace(
                    self,
                    name=self.name if ends else f"{self.name} over maps {first} to {first + most - 1}",
                    inputs=(self.inputs[0], *[before.name for before in found[-1:]]),
                    given=(self.given[0], *[self.shape for _ in found[-1:]]),
                    weight=self.weight[:, first : first + most],
                    bias=self.bias if ends else torch.zeros_like(self.bias),
                    first=first,
                )
            )
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Activate(Step):
    """Each value bent by itself; `settings` are the numbers of the function, such as the slope of a leaky ReLU."""

    function: str
    settings: tuple[float, ...] = ()

    off = "values pass unchanged"

    @property
    def word(self) -> str:  # type: ignore[override]
        return self.function

    def values(self, *inputs: Value, on: bool = True) -> Value:
        return BENDING[self.function](inputs[0], *self.settings) if on else inputs[0]

    def sees(self, region: Region) -> tuple[Region, ...]:
        return (region,)


#: Each function that bends a value, with its settings.
BENDING: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "leaky relu": lambda x, slope: functional.leaky_relu(x, slope),
    "clamp": lambda x, low, high: x.clamp(low, high),
    "relu6": lambda x: x.clamp(0, 6),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "elu": lambda x, alpha: functional.elu(x, alpha),
}


@dataclass(frozen=True, eq=False)
class Pool(Step):
    """The largest value, or the mean, of each window. Windows are lists of rows and of columns, without the padding.

    A mean is divided by `heights[y] * widths[x]`, which may count the padding.
    """

    largest: bool
    rows: tuple[range, ...]
    columns: tuple[range, ...]
    heights: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()

    word = "pool"
    off = "of each window the first value is taken, whatever it is"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        (x,) = inputs
        if not on:
            rows, columns = [window[0] for window in self.rows], [window[0] for window in self.columns]
            return x[:, :, rows][:, :, :, columns]
        if self.largest:
            x = torch.stack([x[:, :, list(window)].amax(2) for window in self.rows], 2)
            return torch.stack([x[:, :, :, list(window)].amax(3) for window in self.columns], 3)
        down, across = zip(self.rows, self.heights, strict=True), zip(self.columns, self.widths, strict=True)
        x = torch.stack([x[:, :, list(window)].sum(2) / count for window, count in down], 2)
        return torch.stack([x[:, :, :, list(window)].sum(3) / count for window, count in across], 3)

    def sees(self, region: Region) -> tuple[Region, ...]:
        rows, columns = self.rows, self.columns
        high = range(min(rows[y][0] for y in region.rows), max(rows[y][-1] for y in region.rows) + 1)
        wide = range(min(columns[x][0] for x in region.columns), max(columns[x][-1] for x in region.columns) + 1)
        return (Region(region.channels, high, wide),)


@dataclass(frozen=True, eq=False)
class Add(Step):
    """Values of the same shape, added one by one."""

    word = "add"
    off = "only the first of what meets here goes on"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        return torch.stack(inputs).sum(0) if on else inputs[0]

    def sees(self, region: Region) -> tuple[Region, ...]:
        return (region,) * len(self.inputs)


@dataclass(frozen=True, eq=False)
class Move(Step):
    """Values that only change their places: flattened, joined, cut, padded.

    `index` says for each place of the output where its value comes from: 1 + its place among all values of all inputs
    in order, and 0 for the number 0.
    """

    index: Int64[Tensor, "channels height width"]
    kind: str = "move"  # or flatten, join

    @property
    def word(self) -> str:  # type: ignore[override]
        return self.kind

    def values(self, *inputs: Value, on: bool = True) -> Value:
        parts = [value.flatten(1) for value in inputs]
        everything = torch.cat([parts[0].new_zeros(len(parts[0]), 1), *parts], 1)
        return everything[:, self.index]

    def source(self, place: int) -> tuple[int, int, int, int] | None:
        """Which input, channel, row and column an entry of `index` stands for; None for the number 0."""
        if place == 0:
            return None
        rest = place - 1
        for number, (channels, height, width) in enumerate(self.given):
            if rest < channels * height * width:
                return number, rest // (height * width), rest // width % height, rest % width
            rest -= channels * height * width
        raise IndexError(f"{self.name} has no value {place}")

    def sees(self, region: Region) -> tuple[Region, ...]:
        part = self.index[list(region.channels)][:, list(region.rows)][:, :, list(region.columns)]
        cells: list[list[tuple[int, int, int]]] = [[] for _ in self.inputs]
        for place in part.unique().tolist():
            found = self.source(place)
            if found is not None:
                cells[found[0]].append(found[1:])
        return tuple(_around(found) for found in cells)


@dataclass(frozen=True, eq=False)
class Linear(Step):
    """Each unit adds up all it is given, each value times its own weight, and its bias."""

    weight: Float64[Tensor, "units inputs"]
    bias: Float64[Tensor, " units"]
    folded: str = ""

    word = "linear"
    off = "all its units are 0"
    has_filters = True

    def values(self, *inputs: Value, on: bool = True) -> Value:
        out = functional.linear(inputs[0].flatten(1), self.weight, self.bias)[:, :, None, None]
        return out if on else torch.zeros_like(out)

    def sees(self, region: Region) -> tuple[Region, ...]:
        return (Region.whole(self.given[0]),)


@dataclass(frozen=True, eq=False)
class Soften(Step):
    """A softmax within the network, over the channels; or its logarithm."""

    log: bool

    word = "softmax"
    off = "values pass unchanged"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        if not on:
            return inputs[0]
        return inputs[0].log_softmax(1) if self.log else inputs[0].softmax(1)


@dataclass(frozen=True, eq=False)
class Merge(Step):
    """The logit of a class that stands for several outputs: log sum exp of theirs."""

    groups: tuple[tuple[int, ...], ...]

    word = "merge"

    def values(self, *inputs: Value, on: bool = True) -> Value:
        return torch.stack([inputs[0][:, list(group)].logsumexp(1) for group in self.groups], 1)


def run(
    steps: Sequence[Step],
    levels: Value,
    *,
    off: Collection[str] = (),
    filters_off: Collection[tuple[str, int]] = (),
) -> Mapping[str, Value]:
    """The value of each step, by name, and the image's; levels are 0 to 255. Steps and filters may be switched off."""
    found: dict[str, Value] = {IMAGE: levels}
    for step in steps:
        made = step.values(*(found[name] for name in step.inputs), on=step.name not in off)
        silent = [channel for name, channel in filters_off if name == step.name]
        if silent:
            made[:, silent] = 0
        found[step.name] = made
    return found


def seen(steps: Sequence[Step], last: str, region: Region) -> dict[str, Region]:
    """Which part of each value it takes to know a part of the value of the step `last`, the image's included."""
    found = {last: region}
    for step in reversed(steps):
        if step.name in found:
            for name, part in zip(step.inputs, step.sees(found[step.name]), strict=True):
                if part.cells:
                    found[name] = part.joined(found[name]) if name in found else part
    return found


def _by_channel(numbers: Sequence[float]) -> Float64[Tensor, "channels 1 1"]:
    return torch.tensor(numbers, dtype=torch.float64)[:, None, None]


def _hull(one: range, other: range) -> range:
    return range(min(one.start, other.start), max(one.stop, other.stop))


def _window(places: range, stride: int, padding: int, span: int, size: int) -> range:
    """The rows of the input that windows at these rows of the output look at, without the padding."""
    return range(max(0, places[0] * stride - padding), min(size, places[-1] * stride - padding + span))


def _around(cells: Sequence[tuple[int, int, int]]) -> Region:
    if not cells:
        return Region((), range(0), range(0))
    channels, rows, columns = ([cell[axis] for cell in cells] for axis in range(3))
    wide, high = range(min(columns), max(columns) + 1), range(min(rows), max(rows) + 1)
    return Region(tuple(sorted(set(channels))), high, wide)
