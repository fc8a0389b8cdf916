"""One shape on a muted background, drawn fast from a few numbers an image: what the made worlds look like.

A pixel is, in levels of 0 to 255 and a channel,

    background + clutter + coverage * (colour - background - clutter) + tint + grain,        a mark is 255

`coverage` is 1 inside the shape, 0 outside and between them on the edge. `clutter` and `grain` are grey; nothing
reaches 0 or 255 but the mark, so nothing is cut off and a difference between colours survives everything that is
added. All shapes have the same area, and all colours of a kind about the same luma, so neither size nor brightness
tells one from another. Around the outermost EDGE pixels and under the mark there is never any of the shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

SHAPES = ("cross", "disc", "square", "triangle")
COLOURS = {"red": (220, 70, 60), "blue": (70, 108, 225), "green": (40, 150, 60), "violet": (175, 60, 200)}
BACKGROUNDS = {"sand": (188, 164, 122), "sea": (124, 174, 190), "meadow": (142, 182, 122), "heath": (184, 152, 186)}
TINTS = {"neutral": (0, 0, 0), "warm": (9, 0, -9), "cold": (-9, 0, 9), "green": (-6, 9, -6)}

#: Pixels a side below which a shape is no longer one.
SMALLEST = 24
#: The radius of the disc, as a share of the side; the other shapes have its area.
RADIUS = 0.19
#: How far a shape may lie from the middle in x and in y, how much its radius may differ, as shares; its turn, radians.
SHIFT, STRETCH, TURN = 0.09, 0.12, 0.2
#: Pixels at the border that no shape reaches.
EDGE = 1
#: How many waves the clutter is made of, and the most cycles over the image of one.
WAVES, CYCLES = 6, 5
#: The largest spread of the clutter and deviation by grain, in levels, at which nothing is cut off.
MOST_CLUTTER, MOST_GRAIN = 12.0, 14.0
#: Images drawn at once: their planes fit into a processor's cache.
CHUNK = 32
#: A disc of radius 1 has the area of a square, a triangle and a cross with these measures.
HALF_SQUARE = np.pi**0.5 / 2
INNER_TRIANGLE = (np.pi / 27**0.5) ** 0.5  # radius of its inner circle; the outer one has twice that
ARM = (9 * np.pi / 20) ** 0.5  # half the length of a cross, whose arms are a third as wide as it is long


@dataclass(frozen=True, eq=False)
class Sketch:
    """What is drawn, one row an image; `shape`, `colour`, `background` and `tint` are places in the tables above.

    `place` has x and y of the middle, the radius of the disc of the same area, in pixels, and the turn in radians.
    `waves` has for each wave its cycles over the image in x and in y and its phase in radians; `clutter` is the
    spread of their sum in levels; `grain` is added to each pixel.
    """

    side: int
    shape: Int[np.ndarray, " images"]
    colour: Int[np.ndarray, " images"]
    background: Int[np.ndarray, " images"]
    mark: Bool[np.ndarray, " images"]
    tint: Int[np.ndarray, " images"]
    place: Float[np.ndarray, "images 4"]
    waves: Float[np.ndarray, "images waves 3"]
    clutter: float
    grain: Float[np.ndarray, "images side side"]


def painted(sketch: Sketch) -> UInt8[np.ndarray, "images side side 3"]:
    """The pictures."""
    covered = coverage(sketch.side, sketch.shape, sketch.place)
    clutter = _clutter(sketch)
    grey = clutter * (1 - covered)
    grey += sketch.grain
    grey += 0.5  # so that cutting off the fraction rounds
    behind, before, tint = (
        np.array(list(table.values()), np.float32)[chosen]
        for table, chosen in (
            (BACKGROUNDS, sketch.background),
            (COLOURS, sketch.colour),
            (TINTS, sketch.tint),
        )
    )
    difference, base = before - behind, behind + tint
    pixels = np.empty((len(covered), sketch.side, sketch.side, 3), np.uint8)
    for channel in range(3):
        plane = covered * difference[:, channel, None, None]
        plane += base[:, channel, None, None]
        plane += grey
        pixels[..., channel] = np.clip(plane, 0, 255.5, out=plane)
    rows, columns = mark_at(sketch.side)
    pixels[np.flatnonzero(sketch.mark), rows, columns] = 255
    return pixels


def coverage(
    side: int, shape: Int[np.ndarray, " images"], place: Float[np.ndarray, "images 4"]
) -> Float[np.ndarray, "images side side"]:
    """The share of each pixel that the shape covers, to within the curvature of its edge over one pixel."""
    x, y, radius, turn = (column.astype(np.float32) for column in place.T)
    pixel = np.arange(side, dtype=np.float32) + np.float32(0.5)
    across, down = pixel - x[:, None], pixel - y[:, None]
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    covered = np.empty((len(shape), side, side), np.float32)
    for number, outside in enumerate((_cross, _disc, _square, _triangle)):
        rows = np.flatnonzero(shape == number)
        if len(rows):
            right = (cosine[rows] * across[rows])[:, None, :] + (sine[rows] * down[rows])[:, :, None]
            below = (cosine[rows] * down[rows])[:, :, None] - (sine[rows] * across[rows])[:, None, :]
            distance = outside(right, below, radius[rows, None, None])
            np.subtract(np.float32(0.5), distance, out=distance)
            covered[rows] = np.clip(distance, 0, 1, out=distance)
    return covered


def boxes(shape: Int[np.ndarray, " images"], place: Float[np.ndarray, "images 4"]) -> Float[np.ndarray, "images 4"]:
    """The rectangles around the shapes: left, top, right, bottom in pixels."""
    x, y, radius, turn = place.T
    rectangles = np.empty((len(shape), 4), np.float32)
    for number, corners in enumerate(_CORNERS):
        rows = np.flatnonzero(shape == number)
        turned = corners if SHAPES[number] == "disc" else np.exp(1j * turn[rows, None]) * corners
        points = radius[rows, None] * turned
        right, below = points.real + x[rows, None], points.imag + y[rows, None]
        rectangles[rows] = np.stack([right.min(1), below.min(1), right.max(1), below.max(1)], 1)
    return rectangles


def mark_at(side: int) -> tuple[slice, slice]:
    """The rows and columns of the mark: a small square near the upper left corner."""
    first, last = side // 32 or 1, side // 32 + side // 8 or 4
    return slice(first, last), slice(first, last)


#: The corners of each shape around the middle, as complex numbers (right, below); a disc has the ends of its axes.
_CORNERS = (
    ARM * np.array([a + b * 1j for a, b in ((1, 1 / 3), (1 / 3, 1)) for a, b in ((a, b), (-a, b), (a, -b), (-a, -b))]),
    np.array([1, 1j, -1, -1j]),
    HALF_SQUARE * np.array([1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j]),
    INNER_TRIANGLE * np.array([-2j, 3**0.5 + 1j, -(3**0.5) + 1j]),
)


# Each gives how far outside its edge a point lies, in pixels: negative within, and exact near the straight edges.


def _disc(right: np.ndarray, below: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.sqrt(right**2 + below**2) - radius


def _cross(right: np.ndarray, below: np.ndarray, radius: np.ndarray) -> np.ndarray:
    right, below = np.abs(right), np.abs(below)
    longer, shorter = np.maximum(right, below), np.minimum(right, below)
    arm = np.float32(ARM) * radius
    return np.maximum(longer - arm, shorter - arm / 3)


def _triangle(right: np.ndarray, below: np.ndarray, radius: np.ndarray) -> np.ndarray:
    slanted = np.float32(3**0.5 / 2) * np.abs(right) - below / 2
    return np.maximum(slanted, below) - np.float32(INNER_TRIANGLE) * radius


def _square(right: np.ndarray, below: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(right), np.abs(below)) - np.float32(HALF_SQUARE) * radius


def _clutter(sketch: Sketch) -> Float[np.ndarray, "images side side"]:
    """The sum of waves: cos(x + y) = cos x cos y - sin x sin y makes it one product of matrices an image."""
    along = (2 * np.pi * (np.arange(sketch.side) + 0.5) / sketch.side).astype(np.float32)
    waves = sketch.waves.astype(np.float32)
    across = waves[:, :, 0, None] * along  # images, waves, side
    down = waves[:, :, 1, None] * along + waves[:, :, 2, None]
    height = np.float32(sketch.clutter * (2 / waves.shape[1]) ** 0.5)
    left = height * np.concatenate([np.cos(down), -np.sin(down)], 1)
    right = np.concatenate([np.cos(across), np.sin(across)], 1)
    return left.swapaxes(1, 2) @ right
