"""Where in the workbook is each number?

A step has a sheet, and its value lies there as pictures: one map below the other, a cell a pixel. A map that a
convolution pads has a ring of empty cells around it, which count as 0. Beside each map of a convolution stand its
switch, its bias and its kernels, and beside a linear layer the matrix of its weights:

    A: name   B: on?   C: bias   E...: the map   then: a kernel for each map that the filter looks at

A vector is a column: maps of one pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from xlsxwriter.utility import xl_col_to_name

from seewhy import workbook
from seewhy.sheets.steps import IMAGE, Convolve, Linear, Region, Shape, Step
from seewhy.workbook import Box

#: How many rows stand above the values, and how many columns before them.
HEAD, LEFT = 9, 4
#: The row and the column of the switch of a sheet's step, of its filters, and of their biases.
SWITCH, FILTER_SWITCH, BIAS = (5, 1), 1, 2
COLOURS = ("Red", "Green", "Blue")
#: All names of columns: to make one takes longer than to look it up.
LETTERS = tuple(map(xl_col_to_name, range(workbook.COLUMNS)))


@dataclass(frozen=True)
class Grid:
    """The cells of a part of a value. The maps lie `pitch` rows apart, each with a ring of `border` empty cells; a
    value with a sheet for each channel has no pitch."""

    sheets: tuple[str, ...]
    region: Region
    shape: Shape
    pitch: int
    border: int = 0

    @cached_property
    def _places(self) -> dict[int, int]:
        return {channel: place for place, channel in enumerate(self.region.channels)}

    def sheet(self, channel: int) -> str:
        """The sheet's name as a formula has it, with its !."""
        name = self.sheets[0] if len(self.sheets) == 1 else self.sheets[channel]
        return f"{workbook.quoted(name)}!"

    def row(self, channel: int, y: int = 0) -> int:
        """Of pixel row `y`, which may be one of the ring's."""
        return HEAD + self.border + self._places[channel] * self.pitch + y - self.region.rows.start

    def column(self, x: int) -> int:
        return LEFT + self.border + x - self.region.columns.start

    def band(self, channel: int) -> int:
        """The row of a channel's name, switch, bias and kernels."""
        return HEAD + self._places[channel] * self.pitch + self.border

    def cell(self, channel: int, y: int, x: int) -> str:
        """As a formula on another sheet has it."""
        return f"{self.sheet(channel)}{LETTERS[self.column(x)]}{self.row(channel, y) + 1}"

    def box(self, channel: int) -> Box:
        """The cells of a map."""
        rows, columns = self.region.rows, self.region.columns
        return (
            self.row(channel, rows[0]), self.column(columns[0]), self.row(channel, rows[-1]), self.column(columns[-1])
        )  # fmt: skip

    @property
    def right(self) -> int:
        """The column behind the maps, the ring and a gap."""
        return LEFT + 2 * self.border + len(self.region.columns) + 1

    @property
    def bottom(self) -> int:
        """The row behind the last map."""
        return HEAD + len(self.region.channels) * self.pitch + self.border


def kernel_column(step: Convolve, grid: Grid, channel: int) -> int:
    """The first column of the kernel that looks at the given channel of its group."""
    return grid.right + channel * (step.span[1] + 1)


def weight_column(grid: Grid, unit: int) -> int:
    """The column of the weights of a unit of a linear layer."""
    return grid.right + 1 + grid.region.channels.index(unit)


def placed(
    steps: Sequence[Step], regions: Mapping[str, Region], names: Mapping[str, str], image: Shape
) -> dict[str, Grid]:
    """The cells of each value that is needed; `names` are those of the sheets."""
    padded = dict.fromkeys(regions, 0)
    for step in steps:
        if isinstance(step, Convolve) and step.given[0][1:] != (1, 1):
            padded[step.inputs[0]] = max(padded[step.inputs[0]], *step.padding)
    found = {IMAGE: Grid(COLOURS, regions[IMAGE], image, 0)}
    for step in steps:
        if step.name not in regions:
            continue
        region, border = regions[step.name], padded[step.name]
        lines = len(region.rows) + 2 * border
        lines = max(lines, step.span[0]) if isinstance(step, Convolve) else lines
        pitch = lines if lines == 1 else lines + 1
        found[step.name] = Grid((names[step.name],), region, step.shape, pitch, border)
    return found


def outgrown(steps: Sequence[Step], grids: Mapping[str, Grid]) -> str | None:
    """What does not fit on a sheet at all, in words."""
    for step in steps:
        grid = grids.get(step.name)
        if grid is None:
            continue
        columns = grid.right
        if isinstance(step, Convolve):
            columns = kernel_column(step, grid, step.weight.shape[1])
        elif isinstance(step, Linear):
            columns = grid.right + 1 + len(grid.region.channels)
        if columns > workbook.COLUMNS:
            return f"{step.name!r} would take {columns:,} columns, and a sheet has {workbook.COLUMNS:,}"
        rows = grid.bottom
        if isinstance(step, Linear):
            rows = max(rows, HEAD + step.weight.shape[1])
        if rows > workbook.ROWS:
            return f"{step.name!r} would take {rows:,} rows, and a sheet has {workbook.ROWS:,}"
    return None
