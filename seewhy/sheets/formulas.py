"""What does each cell compute?

One ordinary formula a cell, of functions that every Excel and LibreOffice has. `rows` gives them a row of a map at a
time. On the sheet of a step $B$6 is its switch; beside each filter stand its own switch and its bias. Where the window
of a convolution sticks out over the map it covers empty cells, which a sum of products takes for 0; where there are
none it is cut, which comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from seewhy import workbook
from seewhy.sheets.grids import BIAS, FILTER_SWITCH, HEAD, LEFT, LETTERS, SWITCH, Grid, kernel_column, weight_column
from seewhy.sheets.steps import (
    Activate,
    Add,
    Convolve,
    Linear,
    Merge,
    Move,
    Normalise,
    Pool,
    Scale,
    Soften,
    Step,
)

#: The switch of the step whose sheet a formula stands on.
ON = workbook.address(SWITCH, fixed=True)
#: A formula for each cell of one row of a map, and which row of which map.
Row = tuple[int, int, list[str]]
#: How each function bends x; {0} and {1} are its settings. EXP is kept from numbers too large for a cell.
BENDING = {
    "relu": "MAX(0,{x})",
    "leaky relu": "IF({x}>0,{x},{0}*{x})",
    "relu6": "MIN(6,MAX(0,{x}))",
    "clamp": "MIN({1},MAX({0},{x}))",
    "sigmoid": "IF({x}<-700,0,1/(1+EXP(-{x})))",
    "tanh": "TANH({x})",
    "silu": "IF({x}<-700,0,{x}/(1+EXP(-{x})))",
    "elu": "IF({x}>0,{x},{0}*(EXP({x})-1))",
}


def rows(step: Step, grid: Grid, inputs: Sequence[Grid]) -> Iterator[Row]:
    """The formulas of a step, row by row. Its own cells are those of `grid`, those that it takes of `inputs`."""
    return WRITING[type(step)](step, grid, *inputs)


def normalise(step: Normalise, grid: Grid, image: Grid) -> Iterator[Row]:
    """The mean stands in the column of switches, the deviation in that of biases."""
    for channel, y, cells in _alike(grid, image):
        band = grid.band(channel) + 1
        mean, deviation = f"${LETTERS[FILTER_SWITCH]}${band}", f"${LETTERS[BIAS]}${band}"
        yield channel, y, [f"IF({ON},({cell}/255-{mean})/{deviation},{cell}/255)" for cell in cells]


def scale(step: Scale, grid: Grid, given: Grid) -> Iterator[Row]:
    """The factor stands in the column of switches, the offset in that of biases."""
    for channel, y, cells in _alike(grid, given):
        band = grid.band(channel) + 1
        factor, offset = f"${LETTERS[FILTER_SWITCH]}${band}", f"${LETTERS[BIAS]}${band}"
        yield channel, y, [f"IF({ON},{cell}*{factor}+{offset},{cell})" for cell in cells]


def activate(step: Activate, grid: Grid, given: Grid) -> Iterator[Row]:
    settings = [f"{number:.16G}" for number in step.settings]
    pattern = BENDING[step.function]
    for index, setting in enumerate(settings):
        pattern = pattern.replace(f"{{{index}}}", setting)
    pattern = f"IF({ON},{pattern},{{x}})"
    for channel, y, cells in _alike(grid, given):
        yield channel, y, [pattern.replace("{x}", cell) for cell in cells]


def add(step: Add, grid: Grid, first: Grid, *others: Grid) -> Iterator[Row]:
    for (channel, y, cells), *more in zip(_alike(grid, first), *(_alike(grid, other) for other in others), strict=True):
        added = ["+".join(parts) for parts in zip(*(cells for _, _, cells in more), strict=True)]
        yield channel, y, [f"{cell}+{ON}*({other})" for cell, other in zip(cells, added, strict=True)]


def convolve(step: Convolve, grid: Grid, given: Grid, *before: Grid) -> Iterator[Row]:
    """switch x filter's switch x (bias + a sum of products for each map that the filter looks at), and in a chain what
    the convolution before it has."""
    (_, height, width), (above, _, left, _) = given.shape, step.padding
    windows = [_cut(x * step.stride[1] - left, step.span[1], given.border, width) for x in grid.region.columns]
    for channel in grid.region.channels:
        band = grid.band(channel)
        kernels = [kernel_column(step, grid, place) for place in range(step.weight.shape[1])]
        start = f"{ON}*$B${band + 1}*($C${band + 1}"
        for y in grid.region.rows:
            added = [[f"+{one.cell(channel, y, x)}" for one in before] for x in grid.region.columns]
            first, last, skipped = _cut(y * step.stride[0] - above, step.span[0], given.border, height)
            top, bottom = band + skipped + 1, band + skipped + last - first + 1
            seen = [
                (given.sheet(source), given.row(source, first) + 1, given.row(source, last) + 1, kernel)
                for source, kernel in zip(step.seen_by(channel), kernels, strict=True)
            ]
            for products, (begin, end, over) in zip(added, windows, strict=True):
                if first > last or begin > end:  # the window lies in the padding altogether
                    continue
                one, other, wide = LETTERS[given.column(begin)], LETTERS[given.column(end)], end - begin
                if first == last and begin == end:
                    products += [
                        f"+{sheet}{one}{high}*${LETTERS[kernel + over]}${top}" for sheet, high, _, kernel in seen
                    ]
                else:
                    products += [
                        f"+SUMPRODUCT({sheet}{one}{high}:{other}{low},"
                        f"${LETTERS[kernel + over]}${top}:${LETTERS[kernel + over + wide]}${bottom})"
                        for sheet, high, low, kernel in seen
                    ]
            yield channel, y, [f"{start}{''.join(products)})" for products in added]


def pool(step: Pool, grid: Grid, given: Grid) -> Iterator[Row]:
    for channel in grid.region.channels:
        sheet = given.sheet(channel)
        for y in grid.region.rows:
            lines = [given.row(channel, line) + 1 for line in step.rows[y]]
            formulas = []
            for x in grid.region.columns:
                letters = [LETTERS[given.column(place)] for place in step.columns[x]]
                first = f"{sheet}{letters[0]}{lines[0]}"
                if step.rows[y].step == step.columns[x].step == 1:
                    cells = f"{first}:{letters[-1]}{lines[-1]}"
                else:
                    cells = ",".join(f"{sheet}{letter}{line}" for line in lines for letter in letters)
                if step.largest:
                    formulas.append(f"IF({ON},MAX({cells}),{first})")
                else:
                    formulas.append(f"IF({ON},SUM({cells})/{step.heights[y] * step.widths[x]},{first})")
            yield channel, y, formulas


def move(step: Move, grid: Grid, *inputs: Grid) -> Iterator[Row]:
    for channel in grid.region.channels:
        for y in grid.region.rows:
            formulas = []
            for place in step.index[channel, y, list(grid.region.columns)].tolist():
                source = step.source(place)
                formulas.append("0" if source is None else inputs[source[0]].cell(*source[1:]))
            yield channel, y, formulas


def linear(step: Linear, grid: Grid, given: Grid) -> Iterator[Row]:
    """switch x unit's switch x (bias + a sum of products over all it is given)."""
    last = HEAD + step.weight.shape[1]
    column = LETTERS[LEFT]
    for unit in grid.region.channels:
        row, weights = grid.band(unit) + 1, LETTERS[weight_column(grid, unit)]
        taken = f"{given.sheet(0)}${column}${HEAD + 1}:${column}${last}"
        yield unit, 0, [f"{ON}*$B${row}*($C${row}+SUMPRODUCT({taken},{weights}${HEAD + 1}:{weights}${last}))"]


def soften(step: Soften, grid: Grid, given: Grid) -> Iterator[Row]:
    column = LETTERS[LEFT]
    everything = f"{given.sheet(0)}${column}${HEAD + 1}:${column}${HEAD + step.shape[0]}"
    for channel in grid.region.channels:
        cell = given.cell(channel, 0, 0)
        away = f"{cell}-MAX({everything})"
        total = f"SUMPRODUCT(EXP({everything}-MAX({everything})))"
        yield (
            channel,
            0,
            [f"IF({ON},{away}-LN({total}),{cell})" if step.log else f"IF({ON},EXP({away})/{total},{cell})"],
        )


def merge(step: Merge, grid: Grid, given: Grid) -> Iterator[Row]:
    for channel in grid.region.channels:
        cells = [given.cell(place, 0, 0) for place in step.groups[channel]]
        largest = f"MAX({','.join(cells)})"
        yield channel, 0, [f"{largest}+LN({'+'.join(f'EXP({cell}-{largest})' for cell in cells)})"]


WRITING: Mapping[type[Step], Callable[..., Iterator[Row]]] = {
    Normalise: normalise,
    Scale: scale,
    Activate: activate,
    Add: add,
    Convolve: convolve,
    Pool: pool,
    Move: move,
    Linear: linear,
    Soften: soften,
    Merge: merge,
}


def longest(step: Step, given: Sequence[Grid]) -> int:
    """About how many characters the longest formula of a step has."""
    match step:
        case Convolve():
            each = 13 if step.span == (1, 1) else 34
            return 40 + step.weight.shape[1] * (each + 12 + len(given[0].sheet(0)))
        case Merge():
            several = max(map(len, step.groups))
            return 20 + several * (several + 2) * (len(given[0].sheet(0)) + 6)
    return 300


def _alike(grid: Grid, given: Grid) -> Iterator[Row]:
    """The cells of an input at the places of the output."""
    letters = [LETTERS[given.column(x)] for x in grid.region.columns]
    for channel in grid.region.channels:
        sheet = given.sheet(channel)
        for y in grid.region.rows:
            row = given.row(channel, y) + 1
            yield channel, y, [f"{sheet}{letter}{row}" for letter in letters]


def _cut(start: int, span: int, border: int, size: int) -> tuple[int, int, int]:
    """First and last place of a window, kept to the map and its ring; and how many of its places are cut before."""
    first, last = max(start, -border), min(start + span, size + border) - 1
    return first, last, first - start
