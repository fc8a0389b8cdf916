"""The cover: which image, which label, the answer with its bars, a map of the network with a switch for each step, and
the picture itself, drawn by formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy import workbook
from seewhy.sheets import grids, words
from seewhy.sheets.grids import HEAD, LEFT, LETTERS
from seewhy.sheets.levels import chosen_on_images
from seewhy.sheets.pages import BAND, GREY, INK, PLAIN, SIGNED, shown, style, tint
from seewhy.sheets.plan import (
    ANSWER,
    CHOSEN_IMAGE,
    CHOSEN_LABEL,
    COVER,
    FIRST_STEP,
    IMAGES,
    LOGITS,
    LOSS,
    LOSS_SHOWN,
    PROBABILITY,
    READINGS,
    SHARES,
    TRAINING,
    Bound,
)
from seewhy.sheets.steps import IMAGE, Step

#: The columns of the bars, and of the picture; and the sides of the picture's pixels, in the screen's pixels.
BARS, PICTURE, DOT = 7, 11, 21
#: How many classes have a bar on the cover, and how many pixels a side the picture has there at most.
MOST_BARS, MOST_PIXELS = 40, 32
SENTENCE = "Every number from the pixels to the answer, each computed by a formula that you can read."
HINT = (
    "Change what is yellow, a pixel on Red, Green or Blue, or a weight on its sheet, and look here again: all that "
    "follows from it moves."
)


def write(bound: Bound) -> None:
    plan, sheet = bound.plan, bound.sheets[COVER]
    sheet.text(0, 0, plan.title, style(bound, "title"))
    sheet.text(1, 0, SENTENCE, style(bound, "sentence"))
    sheet.text(2, 0, HINT, style(bound, "like"))
    _choices(bound)
    if plan.unit:
        _unit(bound)
    else:
        _answer(bound)
        _bars(bound)
    _way(bound)
    _picture(bound)
    sheet.set_row_pixels(0, 34, style(bound, "band"))
    sheet.set_tab_color(BAND)
    sheet.set_default_row(DOT * 0.75)
    for column, width in enumerate((15, 10, 24, 22, 15, 18, 2, 16, 24, 9, 2)):
        sheet.set_column(column, column, width)
    sheet.hide_gridlines(2)
    workbook.freeze(sheet, HEAD)
    workbook.print_wide(sheet)
    sheet.activate()


def _choices(bound: Bound) -> None:
    """The image and its label, each by a number, for a name might look like a formula to whoever types it."""
    plan, sheet, book = bound.plan, bound.sheets[COVER], bound.book
    first = plan.pictures[0]
    sheet.text(CHOSEN_IMAGE[0], 0, "image", style(bound, "label"))
    sheet.number(*CHOSEN_IMAGE, 1, style(bound, "input"))
    box = (*CHOSEN_IMAGE, *CHOSEN_IMAGE)
    count = len(plan.pictures)
    message = f"1 to {count}: the images stand on the sheet {IMAGES}." if plan.several else "This book has one image."
    workbook.whole_numbers(sheet, box, 1, count, title="Which image?", message=message)
    book.name("image", sheet, box)
    if plan.several:
        sheet.formula(CHOSEN_IMAGE[0], 2, chosen_on_images(bound, 0, "1"), first.name, style(bound, "text"))
    else:
        sheet.text(CHOSEN_IMAGE[0], 2, first.name, style(bound, "text"))
    if plan.unit:
        return
    sheet.text(CHOSEN_LABEL[0], 0, "label", style(bound, "label"))
    if plan.several:
        sheet.formula(*CHOSEN_LABEL, chosen_on_images(bound, 1, "1"), plan.label + 1, style(bound, "input"))
    else:
        sheet.number(*CHOSEN_LABEL, plan.label + 1, style(bound, "input"))
    box = (*CHOSEN_LABEL, *CHOSEN_LABEL)
    message = f"1 to {len(plan.classes)}: the classes stand on the sheet {LOGITS}."
    workbook.whole_numbers(sheet, box, 1, len(plan.classes), title="Which label?", message=message)
    book.name("label", sheet, box)
    names = bound.column(LOGITS, 0, len(plan.classes))
    chosen = workbook.address(CHOSEN_LABEL, fixed=True)
    sheet.formula(CHOSEN_LABEL[0], 2, f"INDEX({names},{chosen})", plan.classes[plan.label], style(bound, "text"))
    sheet.text(CHOSEN_LABEL[0], 3, first.label_from, style(bound, "like"))


def _answer(bound: Bound) -> None:
    plan, sheet, said = bound.plan, bound.sheets[COVER], shown(bound)
    count = len(plan.classes)
    logits, names = bound.column(LOGITS, LEFT, count), bound.column(LOGITS, 0, count)
    shares = bound.column(SHARES, LEFT + 2, count)
    place = workbook.address(ANSWER, fixed=True)
    readings = workbook.address(READINGS, fixed=True)
    rows: list[tuple[str, tuple[int, int], str, Any, Any]] = [
        ("answer", ANSWER, f"MATCH(MAX({logits}),{logits},0)", said["place"] + 1, style(bound, "number", 0)),
        (
            "its probability", PROBABILITY, f"INDEX({shares},{place})", said["probability"],
            bound.book.style(num_format="0.00 %", align="center"),
        ),
        ("loss", LOSS_SHOWN, f"{LOSS}!{readings}", said["loss"], style(bound, "number", 4)),
    ]  # fmt: skip
    for label, cell, formula, value, looks in rows:
        sheet.text(cell[0], 0, label, style(bound, "label"))
        sheet.formula(*cell, formula, value, looks)
        bound.book.name({"its probability": "probability"}.get(label, label), sheet, (*cell, *cell))
    large = bound.book.style(bold=True, font_size=14, font_color=INK, indent=1)
    sheet.formula(ANSWER[0], 2, f"INDEX({names},{place})", said["answer"], large)


def _unit(bound: Bound) -> None:
    plan, sheet, unit = bound.plan, bound.sheets[COVER], bound.plan.unit
    assert unit is not None
    sheet.text(ANSWER[0], 0, "this unit", style(bound, "label"))
    cell = plan.grids[unit.step].cell(unit.channel, unit.row, unit.column)
    sheet.formula(*ANSWER, cell, shown(bound)["unit"], style(bound, "number", 4))
    bound.book.name("unit", sheet, (*ANSWER, *ANSWER))
    where = f"{unit.step!r}, channel {unit.channel}, row {unit.row}, column {unit.column}, counted from 0"
    sheet.text(ANSWER[0], 2, where, style(bound, "text"))
    region = plan.grids[IMAGE].region
    sheet.text(
        PROBABILITY[0], 0,
        f"It sees rows {region.rows[0]} to {region.rows[-1]} and columns {region.columns[0]} to "
        f"{region.columns[-1]} of the image; only these, and what is computed of them, are in this book.",
        style(bound, "fact"),
    )  # fmt: skip


def _bars(bound: Bound) -> None:
    """What the network says of each class, or where to look if there are too many."""
    plan, sheet, said = bound.plan, bound.sheets[COVER], shown(bound)
    top = FIRST_STEP - 1
    for column, heading in enumerate(("class", "probability"), start=BARS):
        sheet.text(top - 1, column, heading, style(bound, "heading"))
    count = len(plan.classes)
    if count > MOST_BARS:
        sheet.link(top, BARS, bound.sheets[SHARES], f"{count} classes: see {SHARES}", style(bound, "link"))
        return
    for place, name in enumerate(plan.classes):
        value = float(np.exp(said["logs"][place]))
        cell = f"{SHARES}!{LETTERS[LEFT + 2]}{HEAD + place + 1}"
        sheet.text(top + place, BARS, name, style(bound, "label"))
        sheet.formula(top + place, BARS + 1, cell, value, style(bound, "dot"))
        sheet.formula(top + place, BARS + 2, cell, value, bound.book.style(num_format="0.0 %", font_color=GREY))
    workbook.data_bars(sheet, (top, BARS + 1, top + count - 1, BARS + 1), SIGNED[0])


def _way(bound: Bound) -> None:
    """The map of the network: each step with a link, its switch, its layer, what it takes and what it gives."""
    plan, sheet = bound.plan, bound.sheets[COVER]
    for column, heading in enumerate(("step", "on?", "layer", "what it does", "takes", "gives")):
        sheet.text(FIRST_STEP - 2, column, heading, style(bound, "centred" if column == 1 else "heading"))
    first = bound.sheets[IMAGES if plan.several else grids.COLOURS[0]]
    sheet.link(FIRST_STEP - 1, 0, first, "0 image", style(bound, "link"))
    sheet.text(FIRST_STEP - 1, 3, "The image", bound.book.style(bg_color=PLAIN, font_color=INK, indent=1))
    sheet.text(FIRST_STEP - 1, 5, words.size(plan.grids[IMAGE].shape), style(bound, "fact"))
    for step in plan.steps:
        _step(bound, step)
    row = FIRST_STEP + len(plan.steps)
    switched = [plan.switch(step)[0] for step in plan.steps if step.off]
    message = "1 is as it was learnt; 0 switches the step off. Its sheet says what that means."
    workbook.whole_numbers(sheet, (switched[0], 1, switched[-1], 1), 0, 1, title="On or off", message=message)
    bound.book.name("switches", sheet, (switched[0], 1, switched[-1], 1))
    for key, name in (("logits", LOGITS), ("shares", SHARES), ("loss", LOSS), ("training", TRAINING)):
        if name in plan.sheets:
            sheet.link(row, 0, bound.sheets[name], name, style(bound, "link"))
            sheet.text(row, 3, words.TOLD[key][0], bound.book.style(bg_color=PLAIN, font_color=INK, indent=1))
            row += 1
    if not plan.unit and not plan.trains:
        why = "No step of training is shown: the last layer is no linear layer, or has too many weights for a sheet."
        sheet.text(row, 0, why, style(bound, "fact"))


def _step(bound: Bound, step: Step) -> None:
    plan, sheet = bound.plan, bound.sheets[COVER]
    row, column = plan.switch(step)
    name = plan.names[step.name]
    sheet.link(row, 0, bound.sheets[name], name, style(bound, "link"))
    if step.off:
        sheet.number(row, column, 1, style(bound, "input"))
    sheet.text(row, 2, step.name, style(bound, "text"))
    sheet.text(row, 3, words.told(step)[0], bound.book.style(bg_color=tint(step), font_color=INK, indent=1))
    sources = [plan.names.get(source, "0 image") for source in step.inputs]
    shown_sources = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
    sheet.text(row, 4, shown_sources, style(bound, "fact"))
    sheet.text(row, 5, words.size(step.shape), style(bound, "fact"))


def _picture(bound: Bound) -> None:
    """The chosen image, grey, by formulas over its three colours; of a large one every second pixel, or fourth."""
    plan, sheet = bound.plan, bound.sheets[COVER]
    grid = plan.grids[IMAGE]
    rows, columns = grid.region.rows, grid.region.columns
    every = -(-max(len(rows), len(columns)) // MOST_PIXELS)
    looks, levels = style(bound, "dot"), plan.pictures[0].levels
    share = (0.299, 0.587, 0.114)  # how bright each colour is to the eye, by ITU-R BT.601
    top = FIRST_STEP - 1
    for down, y in enumerate(rows[::every]):
        for across, x in enumerate(columns[::every]):
            parts = [f"{part}*{grid.cell(place, y, x)}" for place, part in enumerate(share)]
            value = float(sum(part * levels[place, y, x] for place, part in enumerate(share)))
            sheet.formula(top + down, PICTURE + across, "+".join(parts), value, looks)
    last = (top + len(rows[::every]) - 1, PICTURE + len(columns[::every]) - 1)
    workbook.colour_scale(sheet, (top, PICTURE, *last), ("#000000", "#FFFFFF"), values=(0, 255))
    sheet.set_column_pixels(PICTURE, last[1], DOT)
    what = "the part of the image that it sees" if plan.unit else "the image, as bright as it is"
    sheet.text(top - 1, PICTURE, what, style(bound, "fact"))
