"""The sheets of the images: their red, green and blue as numbers, to be typed over or chosen from."""

from __future__ import annotations

import numpy as np

from seewhy import workbook
from seewhy.sheets import grids, words
from seewhy.sheets.grids import HEAD, LEFT, Grid
from seewhy.sheets.pages import COLOUR, coordinates, head, squares, style
from seewhy.sheets.plan import (
    CHOSEN_IMAGE,
    IMAGES,
    Bound,
    on_cover,
)
from seewhy.sheets.steps import IMAGE
from seewhy.workbook import Sheet


def write_images(bound: Bound) -> None:
    """All images of the book, one below the other, red beside green beside blue, and the label of each."""
    plan, sheet = bound.plan, bound.sheets[IMAGES]
    title, sentence, like = words.TOLD["image"]
    head(bound, IMAGES, (f"{title}s of this book", sentence, like), "Which one is looked at is chosen on the cover.")
    grid = plan.grids[IMAGE]
    high, wide = len(grid.region.rows), len(grid.region.columns)
    for column, word in ((0, "image"), (1, "label, by its number")):
        sheet.text(HEAD - 1, column, word, style(bound, "heading"))
    for place, colour in enumerate(grids.COLOURS):
        left = LEFT + place * (wide + 2)
        sheet.text(HEAD - 1, left, colour, style(bound, "label"))
        for number, picture in enumerate(plan.pictures):
            top = HEAD + number * (high + 2)
            _numbers(bound, sheet, top, left, _cut(picture.levels[place], grid))
            workbook.colour_scale(
                sheet, (top, left, top + high - 1, left + wide - 1), ("#FFFFFF", COLOUR[colour]), values=(0, 255)
            )
    for number, picture in enumerate(plan.pictures):
        top = HEAD + number * (high + 2)
        sheet.text(top, 0, picture.name, style(bound, "label"))
        if picture.label is not None:
            sheet.number(top, 1, picture.label + 1, style(bound, "input"))
    squares(bound, sheet, LEFT, LEFT + 3 * (wide + 2), wide)


def chosen_on_images(bound: Bound, column: int, row: str) -> str:
    """The cell of a column of the sheet of images, `row` rows below the first of the chosen image."""
    high = len(bound.plan.grids[IMAGE].region.rows)
    letter = grids.LETTERS[column]
    area = f"{IMAGES}!${letter}${HEAD + 1}:${letter}${HEAD + len(bound.plan.pictures) * (high + 2)}"
    return f"INDEX({area},({on_cover(CHOSEN_IMAGE)}-1)*{high + 2}+{row})"


def write_colour(bound: Bound, place: int) -> None:
    """The levels of one colour: numbers to type over, or looked up where the book has several images."""
    plan, name = bound.plan, grids.COLOURS[place]
    sheet, grid = bound.sheets[name], plan.grids[IMAGE]
    title, sentence, like = words.TOLD["image"]
    facts = "Type over any pixel, here or on the sheet of all images." if plan.several else "Type over any pixel."
    head(bound, name, (f"{title}: {name.lower()}", sentence, like), facts)
    coordinates(bound, sheet, grid)
    levels = _cut(plan.pictures[0].levels[place], grid)
    if plan.several:
        left = LEFT + place * (len(grid.region.columns) + 2)
        looks = style(bound, "pixel", 0)
        for row, line in enumerate(levels):
            for column, level in enumerate(line):
                formula = chosen_on_images(bound, left + column, str(row + 1))
                sheet.formula(HEAD + row, LEFT + column, formula, float(level), looks)
    else:
        _numbers(bound, sheet, HEAD, LEFT, levels)
    box = grid.box(place)
    sheet.text(HEAD, 0, name.lower(), style(bound, "label"))
    sheet.set_tab_color(COLOUR[name])
    workbook.colour_scale(sheet, box, ("#FFFFFF", COLOUR[name]), values=(0, 255))
    bound.book.name(name.lower(), sheet, box)
    squares(bound, sheet, LEFT, grid.right, len(grid.region.columns))


def _cut(levels: np.ndarray, grid: Grid) -> np.ndarray:
    rows, columns = grid.region.rows, grid.region.columns
    return levels[rows.start : rows.stop, columns.start : columns.stop]


def _numbers(bound: Bound, sheet: Sheet, top: int, left: int, levels: np.ndarray) -> None:
    looks = style(bound, "pixel", 0)
    for row, line in enumerate(levels.tolist()):
        for column, level in enumerate(line):
            sheet.number(top + row, left + column, level, looks)
