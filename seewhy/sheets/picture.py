"""What is a picture to a computer? Any picture as a workbook of numbers, and as cells in their own colours.

Three sheets hold the levels of red, green and blue, 0 to 255, one cell a pixel, each shaded by its numbers. A fourth
fills every cell with the colour that the three make. A program has room for 64,000 looks of cells in a workbook, and is
slow long before: where a picture has more than `COLOURS` colours, its levels are rounded for that sheet alone. The
fills stand as they are written; no formula colours a cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from seewhy import workbook
from seewhy.images import imaging, reading
from seewhy.storage import files
from seewhy.workbook import Book, Sheet

#: How many colours the picture has at most, and how many pixels its longer side.
COLOURS, LONGEST = 4096, 256
#: Rows above the first pixel: what is seen here, and of which picture.
HEAD = 3
#: Each channel, with the colour of its highest level.
CHANNELS = (("Red", "#F26B5E"), ("Green", "#5FBF6B"), ("Blue", "#5B8DEF"))
#: Side of a pixel on a sheet of numbers, which three digits fit into, and of the whole picture, on the screen.
CELL, SCREEN = 27, 720


def write(image: Any, path: str | Path, *, side: int = 64) -> Path:
    """Write a picture, however it is given, with at most `side` pixels along its longer side.

    Raises ValueError where the side is none or beyond `LONGEST`, and what `reading.read` raises of the image.
    """
    if not 1 <= side <= LONGEST:
        raise ValueError(f"The side is {side}; a picture of cells has 1 to {LONGEST} pixels along its longer side")
    whole = _levels(image)
    levels = imaging.thumbnail(whole, side)
    book, name = Book(), Path(image).name if isinstance(image, (str, Path)) else "A picture"
    of = f"{name}, {_size(whole)} pixels{'' if whole.shape == levels.shape else f', shown with {_size(levels)}'}"
    _write_picture(book, levels, of)
    for place, (channel, colour) in enumerate(CHANNELS):
        _write_numbers(book, levels[:, :, place], of, channel, colour)
    files.write_bytes(path, book.bytes())
    return Path(path)


def _levels(image: Any) -> UInt8[np.ndarray, "height width 3"]:
    scaled = reading.read(image).permute(1, 2, 0).mul(255).round()
    return np.ascontiguousarray(scaled.numpy().astype(np.uint8))


def _size(pixels: UInt8[np.ndarray, "height width 3"]) -> str:
    return f"{pixels.shape[1]:,} x {pixels.shape[0]:,}"


def _write_picture(book: Book, levels: UInt8[np.ndarray, "height width 3"], of: str) -> None:
    rounded, left = quantised(levels)
    note = "Each cell has the colour of its pixel."
    if left < 256:
        note = f"Each cell has nearly the colour of its pixel: of 256 levels of each channel {left} are left here."
    sheet = book.sheet("Picture")
    height, width, _ = levels.shape
    _head(book, sheet, of, note, "Its numbers stand on the sheets Red, Green and Blue.")
    for row, line in enumerate(rounded.tolist(), HEAD):
        for column, (red, green, blue) in enumerate(line):
            sheet.write_blank(row, column, None, book.style(bg_color=f"#{red:02X}{green:02X}{blue:02X}"))
    _square(sheet, height, width, max(3, min(24, SCREEN // max(height, width))))
    sheet.hide_gridlines(2)
    sheet.activate()


def _write_numbers(book: Book, levels: UInt8[np.ndarray, "height width"], of: str, channel: str, colour: str) -> None:
    sheet = book.sheet(channel)
    height, width = levels.shape
    _head(book, sheet, of, f"How much {channel.lower()} there is in each pixel: 0 is none, 255 all there can be.", "")
    looks = book.style(font_size=7, align="center", valign="vcenter")
    for row, line in enumerate(levels.tolist(), HEAD):
        for column, level in enumerate(line):
            sheet.number(row, column, level, looks)
    box = (HEAD, 0, HEAD + height - 1, width - 1)
    workbook.colour_scale(sheet, box, ("#FFFFFF", colour), values=(0, 255))
    book.name(channel.lower(), sheet, box)
    _square(sheet, height, width, CELL)
    workbook.freeze(sheet, HEAD)


def _head(book: Book, sheet: Sheet, *lines: str) -> None:
    for row, (line, bold) in enumerate(zip(lines, (True, False, False), strict=True)):
        sheet.text(row, 0, line, book.style(bold=bold))


def _square(sheet: Sheet, height: int, width: int, pixels: int) -> None:
    sheet.set_column_pixels(0, width - 1, pixels)
    for row in range(HEAD, HEAD + height):
        sheet.set_row_pixels(row, pixels)
    sheet.fit_to_pages(1, 1)
    if width > height:
        sheet.set_landscape()


def quantised(
    levels: UInt8[np.ndarray, "height width 3"],
) -> tuple[UInt8[np.ndarray, "height width 3"], int]:
    """The picture in at most `COLOURS` colours, and how many levels a channel has in it: 256 if nothing was rounded.

    The levels that are left lie evenly from 0 to 255, so black stays black and white white; none is off by more than
    half of what lies between two of them.
    """
    rounded = levels
    for left in (256, 128, 96, 64, 48, 32, 24, 20, 16):  # 16 levels of three channels are 4,096 colours
        if left < 256:
            rounded = np.round(np.round(levels * ((left - 1) / 255)) * (255 / (left - 1))).astype(np.uint8)
        if len(np.unique(rounded.reshape(-1, 3), axis=0)) <= COLOURS:
            break
    return rounded, left
