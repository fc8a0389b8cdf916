"""The sheet of each step: its head, its maps as pictures of numbers, its weights and its switches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xlsxwriter.format import Format

from seewhy import workbook
from seewhy.sheets import formulas, grids, words
from seewhy.sheets.grids import BIAS, FILTER_SWITCH, HEAD, LEFT, SWITCH, Grid
from seewhy.sheets.plan import (
    ANSWER,
    COVER,
    LOSS_SHOWN,
    PROBABILITY,
    Bound,
    on_cover,
)
from seewhy.sheets.steps import Activate, Add, Convolve, Linear, Move, Normalise, Pool, Scale, Step
from seewhy.workbook import Sheet

#: The sides of a pixel on the sheet, and the widths of a weight and of a number in a column, in the screen's pixels.
PIXEL, WEIGHT, NUMBER = 28, 34, 76
SIGNED, UNSIGNED = ("#4A90D9", "#FFFFFF", "#E0654F"), ("#FFFFFF", "#4A90D9")
COLOUR = {"Red": "#F26B5E", "Green": "#5FBF6B", "Blue": "#5B8DEF"}
INK, GREY, RING, INPUT, BAND = "#1F2933", "#6B7785", "#E4E7EB", "#FFF3BF", "#17324D"
#: By which tint, on the cover and on the tabs of the sheets, steps of a kind are told apart.
TINTS: tuple[tuple[tuple[type[Step], ...], str], ...] = (
    ((Convolve,), "#D6E8FA"),
    ((Activate,), "#FDE3CC"),
    ((Pool,), "#D9F2DD"),
    ((Linear,), "#E8DDF7"),
    ((Add, Move), "#FBF3C4"),
)
PLAIN = "#EEF1F4"
#: How many maps of a sheet have a colour scale each; on a sheet of more they share one.
MOST_SCALES = 256


def style(bound: Bound, kind: str, digits: int = 2) -> Format:
    """How a cell of a kind looks; `digits` are those behind the point."""
    number = "0" if digits == 0 else f"0.{'0' * digits}"
    small = {"font_size": 7, "align": "center", "valign": "vcenter", "num_format": number}
    looks: dict[str, dict[str, Any]] = {
        "title": {"bold": True, "font_size": 16, "font_color": "#FFFFFF", "bg_color": BAND, "valign": "vcenter"},
        "band": {"bg_color": BAND},
        "sentence": {"font_size": 11, "font_color": INK},
        "like": {"italic": True, "font_color": GREY},
        "fact": {"font_color": GREY},
        "link": {"font_color": "#1D5FAF", "underline": 1},
        "label": {"font_color": INK, "bold": True},
        "text": {"font_color": INK, "indent": 1},
        "heading": {"bold": True, "font_color": GREY, "bottom": 1, "bottom_color": RING},
        "centred": {"bold": True, "font_color": GREY, "bottom": 1, "bottom_color": RING, "align": "center"},
        "value": {"bold": True, "num_format": number, "align": "left", "font_color": INK},
        "input": {
            "bg_color": INPUT,
            "border": 1,
            "border_color": "#E0C95A",
            "align": "center",
            "num_format": "General",
        },
        "number": {"num_format": number, "align": "center"},
        "weight": {**small, "font_color": "#3A3A3A"},
        "pixel": small,
        "ring": {"bg_color": RING},
        "dot": {"num_format": ";;;"},
    }
    return bound.book.style(**looks[kind])


def tint(step: Step) -> str:
    """The colour of a kind of step."""
    return next((colour for kinds, colour in TINTS if isinstance(step, kinds)), PLAIN)


def head(
    bound: Bound, name: str, told: tuple[str, str, str], facts: str, *, layer: str = "", inputs: Sequence[str] = ()
) -> None:
    """The frozen top of a sheet: what happens here, where it leads, and what the network answers at the moment."""
    sheet, order = bound.sheets[name], bound.plan.sheets
    title, sentence, like = told
    sheet.text(0, 0, f"{title}: {layer}" if layer and layer != title.lower() else title, style(bound, "title"))
    for row, (text, kind) in enumerate(((sentence, "sentence"), (like, "like"), (facts, "fact")), start=1):
        sheet.text(row, 0, text, style(bound, kind))
    place = order.index(name)
    sheet.link(4, 0, bound.sheets[order[place - 1]], f"◀ {order[place - 1]}", style(bound, "link"))
    sheet.link(4, 1, bound.sheets[COVER], COVER, style(bound, "link"))
    if place + 1 < len(order):
        sheet.link(4, 2, bound.sheets[order[place + 1]], f"{order[place + 1]} ▶", style(bound, "link"))
    if len(inputs) > 1 or (inputs and inputs[0] != order[place - 1]):
        sheet.text(4, LEFT, "takes:", style(bound, "fact"))
        for number, source in enumerate(inputs[:12], start=1):
            sheet.link(4, LEFT + 3 * number, bound.sheets[source], source, style(bound, "link"))
    _standing(bound, sheet)
    sheet.set_row_pixels(0, 34, style(bound, "band"))
    for row in range(1, HEAD):
        sheet.set_row_pixels(row, 20)
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 2, 11)
    sheet.set_column(3, 3, 2)
    workbook.freeze(sheet, HEAD, LEFT)
    workbook.print_wide(sheet)


def _standing(bound: Bound, sheet: Sheet) -> None:
    """What the network answers at the moment, or what the unit is: each edit is seen at once."""
    said = shown(bound)
    labels = ("this unit", "") if bound.plan.unit else ("answer", "loss")
    sheet.text(6, 0, labels[0], style(bound, "fact"))
    if bound.plan.unit:
        sheet.formula(6, 1, on_cover(ANSWER), said["unit"], style(bound, "value", 4))
        return
    share = bound.book.style(num_format="0.0 %", align="left", bold=True, font_color=INK)
    sheet.formula(6, 1, on_cover(PROBABILITY), said["probability"], share)
    sheet.formula(6, 2, on_cover((ANSWER[0], 2)), said["answer"], style(bound, "value"))
    sheet.text(7, 0, labels[1], style(bound, "fact"))
    sheet.formula(7, 1, on_cover(LOSS_SHOWN), said["loss"], style(bound, "value", 4))


def shown(bound: Bound) -> dict[str, Any]:
    """What stands on the cover at first: the answer, its probability and the loss; or the unit's value."""
    plan = bound.plan
    if plan.unit:
        unit = plan.unit
        return {"unit": float(plan.values[unit.step][unit.channel, unit.row, unit.column])}
    logits = plan.values[plan.last.name][:, 0, 0]
    logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    place = int(logits.argmax())
    return {
        "place": place,
        "answer": plan.classes[place],
        "probability": float(np.exp(logs[place])),
        "loss": float(-logs[plan.label]),
        "logits": logits,
        "logs": logs,
    }


# ------------------------------------------------------------------------------------------------- the steps


def write_step(bound: Bound, step: Step) -> None:
    """One step: its switch, its maps with their formulas, its weights."""
    plan = bound.plan
    name, grid = plan.names[step.name], plan.grids[step.name]
    sheet = bound.sheets[name]
    inputs = [plan.names.get(source, grids.COLOURS[-1]) for source in step.inputs]
    head(bound, name, words.told(step), words.facts(step), layer=step.name, inputs=inputs)
    sheet.set_tab_color(tint(step))
    sheet.text(5, 0, "on (1) or off (0)" if step.off else "always on", style(bound, "fact"))
    if step.off:
        sheet.formula(*SWITCH, on_cover(plan.switch(step)), 1, style(bound, "number", 0))
        sheet.text(5, 2, f"off: {step.off}", style(bound, "like"))
    flat = _is_flat(grid)
    digits = _digits(plan.values[step.name])
    coordinates(bound, sheet, grid)
    _write_maps(bound, sheet, step, grid, digits if not flat else 4)
    _scales(sheet, step, grid, plan.values[step.name])
    _names(bound, sheet, step, grid)
    if isinstance(step, Convolve):
        _write_kernels(bound, sheet, step, grid)
    elif isinstance(step, Linear):
        _write_matrix(bound, sheet, step, grid)
    elif isinstance(step, (Normalise, Scale)):
        pairs = (step.mean, step.std) if isinstance(step, Normalise) else (step.factor, step.offset)
        labels = ("mean", "std") if isinstance(step, Normalise) else ("factor", "offset")
        for column, numbers, label in zip((FILTER_SWITCH, BIAS), pairs, labels, strict=True):
            sheet.text(HEAD - 1, column, label, style(bound, "centred"))
            for channel in grid.region.channels:
                sheet.number(grid.band(channel), column, numbers[channel], style(bound, "number", 4))
    if flat:
        sheet.set_column_pixels(LEFT, LEFT, NUMBER)
    else:
        squares(bound, sheet, LEFT, grid.right - 1, len(grid.region.columns))
    _define(bound, sheet, step, grid)


def _is_flat(grid: Grid) -> bool:
    return grid.shape[1:] == (1, 1)


def _digits(values: np.ndarray) -> int:
    """As many as fit into a narrow cell."""
    largest = float(np.abs(values).max())
    return 2 if largest < 10 else 1 if largest < 100 else 0


def _write_maps(bound: Bound, sheet: Sheet, step: Step, grid: Grid, digits: int) -> None:
    looks = style(bound, "number" if _is_flat(grid) else "pixel", digits)
    given = [bound.plan.grids[name] for name in step.inputs if name in bound.plan.grids]
    given = given if len(given) == len(step.inputs) else _with_unseen(bound, step)
    left, first = grid.column(grid.region.columns.start), grid.region.rows.start
    filled = {channel: bound.plan.filled(step.name, channel).tolist() for channel in grid.region.channels}
    for channel, y, line in formulas.rows(step, grid, given):
        row, values = grid.row(channel, y), filled[channel][y - first]
        for column, (formula, value) in enumerate(zip(line, values, strict=True), start=left):
            sheet.formula(row, column, formula, value, looks)
    if grid.border:
        _ring(bound, sheet, grid)


def _with_unseen(bound: Bound, step: Step) -> list[Grid]:
    """The cells of what a step takes; of an input that the unit in question does not see there are none."""
    empty = next(iter(bound.plan.grids.values()))
    return [bound.plan.grids.get(name, empty) for name in step.inputs]


def _ring(bound: Bound, sheet: Sheet, grid: Grid) -> None:
    """Grey cells where a convolution looks over the edge of a map."""
    looks, (_, height, width), border = style(bound, "ring"), grid.shape, grid.border
    rows, columns = grid.region.rows, grid.region.columns
    around = [
        (y, x)
        for y in range(rows.start - border, rows.stop + border)
        for x in range(columns.start - border, columns.stop + border)
        if not (y in rows and x in columns)
        and (y in rows or y < 0 or y >= height)
        and (x in columns or x < 0 or x >= width)
    ]
    for channel in grid.region.channels:
        for y, x in around:
            sheet.write_blank(grid.row(channel, y), grid.column(x), None, looks)


def _scales(sheet: Sheet, step: Step, grid: Grid, values: np.ndarray) -> None:
    """A map is a picture: its numbers in colour, each map on a scale of its own."""
    colours = SIGNED if values.min() < 0 else UNSIGNED
    channels = grid.region.channels
    if _is_flat(grid) or len(channels) > MOST_SCALES:
        workbook.colour_scale(sheet, (*grid.box(channels[0])[:2], *grid.box(channels[-1])[2:]), colours)
        return
    for channel in channels:
        workbook.colour_scale(sheet, grid.box(channel), colours)


def _names(bound: Bound, sheet: Sheet, step: Step, grid: Grid) -> None:
    """What each row or map is, and a switch for each filter."""
    looks = style(bound, "label")
    for channel in grid.region.channels:
        sheet.text(grid.band(channel), 0, _name(bound, step, channel), looks)
        if step.has_filters:
            sheet.number(grid.band(channel), FILTER_SWITCH, 1, style(bound, "input"))
    sheet.text(HEAD - 1, 0, "unit" if isinstance(step, Linear) else "map", style(bound, "heading"))
    if step.has_filters:
        sheet.text(HEAD - 1, FILTER_SWITCH, "on?", style(bound, "centred"))
        sheet.text(HEAD - 1, BIAS, "bias", style(bound, "centred"))
        channels = grid.region.channels
        box = (grid.band(channels[0]), FILTER_SWITCH, grid.band(channels[-1]), FILTER_SWITCH)
        message = "1 is as it was learnt; 0 silences this filter, and all that follows is computed without it."
        workbook.whole_numbers(sheet, box, 0, 1, title="On or off", message=message)


def _name(bound: Bound, step: Step, channel: int) -> str:
    if isinstance(step, Normalise):
        return grids.COLOURS[channel].lower()
    if isinstance(step, Convolve):
        return f"filter {channel}"
    if isinstance(step, Linear):
        ends = step is bound.plan.last and not bound.plan.unit
        return bound.plan.classes[channel] if ends else f"unit {channel}"
    if isinstance(step, Move) and step.kind == "flatten" and len(step.given) == 1:
        source = step.source(int(step.index[channel, 0, 0]))
        if source is not None:
            _, map_, row, column = source
            return f"map {map_}, row {row}, column {column}"
    return f"map {channel}" if step.shape[1:] != (1, 1) else f"number {channel}"


def coordinates(bound: Bound, sheet: Sheet, grid: Grid) -> None:
    """Numbers of rows and columns of the image, in grey, above the maps; from 0, as PyTorch counts."""
    if _is_flat(grid):
        sheet.text(HEAD - 1, LEFT, "value", style(bound, "centred"))
        return
    looks = bound.book.style(font_size=7, font_color=GREY, align="center")
    for x in grid.region.columns:
        sheet.number(HEAD - 1, grid.column(x), x, looks)


def _write_kernels(bound: Bound, sheet: Sheet, step: Convolve, grid: Grid) -> None:
    """The weights of each filter, a block for each map it looks at, in the rows of its own map, and its bias."""
    looks, (down, across) = style(bound, "weight", _digits(step.weight.numpy()) + 1), step.dilation
    weight = step.weight.tolist()
    for place in range(step.weight.shape[1]):
        kernel = grids.kernel_column(step, grid, place)
        source = f"{place + step.first}" if step.groups == 1 else f"{place} of its group"
        sheet.text(HEAD - 1, kernel, f"over map {source}", style(bound, "heading"))
        for channel in grid.region.channels:
            for row, line in enumerate(weight[channel][place]):
                for column, number in enumerate(line):
                    sheet.number(grid.band(channel) + row * down, kernel + column * across, number, looks)
    first = grids.kernel_column(step, grid, 0)
    end = grids.kernel_column(step, grid, step.weight.shape[1]) - 2
    for channel in grid.region.channels:
        sheet.number(grid.band(channel), BIAS, float(step.bias[channel]), style(bound, "number", 4))
        workbook.colour_scale(sheet, (grid.band(channel), first, grid.band(channel) + step.span[0] - 1, end), SIGNED)
    sheet.set_column_pixels(first, end, WEIGHT)


def _write_matrix(bound: Bound, sheet: Sheet, step: Linear, grid: Grid) -> None:
    """The weights, a column for each unit and a row for each number that it is given; and the biases."""
    looks = style(bound, "weight", _digits(step.weight.numpy()) + 1)
    units = grid.region.channels
    for unit in units:
        column = grids.weight_column(grid, unit)
        sheet.text(HEAD - 1, column, _name(bound, step, unit), style(bound, "centred"))
        for row, number in enumerate(step.weight[unit].tolist()):
            sheet.number(HEAD + row, column, number, looks)
        sheet.number(grid.band(unit), BIAS, float(step.bias[unit]), style(bound, "number", 4))
    first, last = grids.weight_column(grid, units[0]), grids.weight_column(grid, units[-1])
    workbook.colour_scale(sheet, (HEAD, first, HEAD + step.weight.shape[1] - 1, last), SIGNED)
    sheet.set_column_pixels(first, last, WEIGHT + 12)


def squares(bound: Bound, sheet: Sheet, first: int, last: int, wide: int) -> None:
    """Square cells, and a large picture from further away."""
    sheet.set_column_pixels(first, max(first, last - 1), PIXEL)
    sheet.set_default_row(PIXEL * 0.75)
    if wide > 36:
        sheet.set_zoom(60)


def _define(bound: Bound, sheet: Sheet, step: Step, grid: Grid) -> None:
    """Names to jump to: the values of a step, its switches, its weights."""
    number = bound.plan.steps.index(step) + 1
    channels = grid.region.channels
    bound.book.name(f"values_{number}", sheet, (*grid.box(channels[0])[:2], *grid.box(channels[-1])[2:]))
    if step.has_filters:
        box = (grid.band(channels[0]), FILTER_SWITCH, grid.band(channels[-1]), FILTER_SWITCH)
        bound.book.name(f"filters_{number}", sheet, box)
    if isinstance(step, Convolve):
        end = grids.kernel_column(step, grid, step.weight.shape[1]) - 2
        box = (grid.band(channels[0]), grid.right, grid.band(channels[-1]) + step.span[0] - 1, end)
        bound.book.name(f"weights_{number}", sheet, box)
    elif isinstance(step, Linear):
        first, last = grids.weight_column(grid, channels[0]), grids.weight_column(grid, channels[-1])
        bound.book.name(f"weights_{number}", sheet, (HEAD, first, HEAD + step.weight.shape[1] - 1, last))
