"""Small pictures for a page, many to an image file, so that one file holds them all.

A picture is looked up by its key and shown as a window on its sheet. Sheets are made anew from pixels, so nothing that
a camera wrote into a file (place, owner, time) comes along.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from seewhy.images import imaging

#: Pixels at each side of a picture that repeat its edge, so that no neighbour shows when the page scales it.
GUTTER = 2
#: Pictures a sheet: few enough that leaving a sheet out leaves out little.
COLUMNS, ROWS = 6, 6


@dataclass(frozen=True)
class Place:
    """The window on a sheet that shows one picture, in pixels."""

    sheet: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Album:
    """Sheets of pictures, where on them each is, and how many pictures found no room."""

    sheets: tuple[Sheet, ...] = ()
    places: Mapping[str, Place] | None = None
    left_out: int = 0

    def __contains__(self, key: str) -> bool:
        return key in (self.places or {})

    def __getitem__(self, key: str) -> Place:
        return (self.places or {})[key]


def album(pictures: Mapping[str, Callable[[], UInt8[np.ndarray, "height width 3"]]], *, room: int) -> Album:
    """Pictures in the order of their importance, drawn sheet by sheet until `room` characters are used up."""
    sheets: list[Sheet] = []
    places: dict[str, Place] = {}
    for keys in _batches(list(pictures)):
        sheet, windows = _sheet([pictures[key]() for key in keys], len(sheets))
        room -= len(sheet.uri)
        if room < 0:
            break
        sheets.append(sheet)
        places.update(zip(keys, windows, strict=True))
    return Album(tuple(sheets), places, len(pictures) - len(places))


def _batches(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), COLUMNS * ROWS):
        yield keys[start : start + COLUMNS * ROWS]


def _sheet(pictures: list[UInt8[np.ndarray, "_ _ 3"]], number: int) -> tuple[Sheet, list[Place]]:
    """One image file with all the pictures: PNG where most neighbours are equal, as in enlarged pixels, else JPEG."""
    height, width = (max(picture.shape[side] for picture in pictures) + 2 * GUTTER for side in (0, 1))
    columns = min(COLUMNS, len(pictures))
    canvas = np.zeros((-(-len(pictures) // columns) * height, columns * width, 3), dtype=np.uint8)
    windows = []
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        framed = np.pad(picture, ((GUTTER, GUTTER), (GUTTER, GUTTER), (0, 0)), mode="edge")
        canvas[top : top + framed.shape[0], left : left + framed.shape[1]] = framed
        windows.append(Place(number, left + GUTTER, top + GUTTER, picture.shape[1], picture.shape[0]))
    flat = (canvas[:, 1:] == canvas[:, :-1]).all(2).mean() > 0.6
    kind, data = ("png", imaging.encode_png(canvas)) if flat else ("jpeg", imaging.encode_jpeg(canvas, 82))
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Sheet(canvas.shape[1], canvas.shape[0], uri), windows
