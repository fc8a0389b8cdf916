"""Heat in colour over the image it is about: what a person sees of an explanation."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from seewhy.images import imaging
from seewhy.types import Explanation

#: Heat of different methods, or of images of different sizes, is compared on a grid of so many cells a side.
GRID = 16


def fitted(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture with its longer side at most `side`; one of few pixels is enlarged with its pixels kept square."""
    factor = side // max(pixels.shape[:2])
    if factor >= 2:
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return imaging.thumbnail(pixels, side) if max(pixels.shape[:2]) > side else pixels


def overlay(
    pixels: UInt8[np.ndarray, "height width 3"] | None,
    heat: Float[np.ndarray, "rows columns"],
    *,
    side: int,
    signed: bool,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Heat in colour over the image in dimmed grey; over plain grey where there is no image of the same shape.

    Colour is relative to the 99.5th percentile of this heat's size, so that one pixel does not silence the others.
    """
    heat = _finite(heat)
    if pixels is None or not same_shape(pixels, heat):
        pixels = np.full((*heat.shape, 3), 128, dtype=np.uint8)
    small = fitted(pixels, side)
    strength = _resized(heat / _scale(heat), small.shape[:2], smooth=max(pixels.shape[:2]) > 64).clip(-1, 1)
    if not signed:
        strength = strength.clip(0, 1)
    grey = 0.10 + 0.55 * (small @ np.array([0.2126, 0.7152, 0.0722]) / 255)[..., None]
    weight = 0.9 * np.abs(strength)[..., None]
    mixed = grey * (1 - weight) + colours(strength, signed=signed) * weight
    return (mixed.clip(0, 1) * 255).round().astype(np.uint8)


def same_shape(pixels: UInt8[np.ndarray, "height width 3"], heat: Float[np.ndarray, "rows columns"]) -> bool:
    """Whether both have the same ratio of sides, up to the rounding of a thumbnail: else they show different places."""
    (height, width), (rows, columns) = pixels.shape[:2], heat.shape
    return abs(height / width - rows / columns) <= 1.5 / min(height, width) * max(1.0, height / width)


def is_signed(explanations: Iterable[Explanation]) -> bool:
    """Whether any of these speaks against its answer anywhere; rounding below 0 does not."""
    heats = (_finite(heat) for each in explanations for heat in each.heat.values())
    return any(heat.min() < -1e-3 * _scale(heat) for heat in heats)


def _finite(heat: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(heat, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _scale(heat: np.ndarray) -> float:
    size = np.abs(heat)
    return float(np.percentile(size, 99.5) or size.max()) or 1.0


def _resized(values: np.ndarray, shape: tuple[int, int], *, smooth: bool) -> np.ndarray:
    """Values at another resolution: averaged on the way down; on the way up smooth, or as the squares they are."""
    rule = Image.Resampling.BILINEAR if smooth or values.shape[0] > shape[0] else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(shape[::-1], rule))


def colours(strength: np.ndarray, *, signed: bool) -> np.ndarray:
    """Colours in [0, 1] of strengths: 0 to 1 from violet to yellow; signed from blue (-1) to orange (1).

    Steps that are equal in strength look equal, since the paths are straight in the lightness of Oklab (Ottosson 2020,
    https://bottosson.github.io/posts/oklab/). Neither path needs red to be told from green.
    """
    path = _path(signed)
    place = (strength + 1) / 2 if signed else strength
    return path[(np.clip(place, 0, 1) * (len(path) - 1)).round().astype(int)]


@cache
def _path(signed: bool) -> np.ndarray:
    """256 colours, each as red, green, blue in [0, 1]."""
    t = np.linspace(0, 1, 256)
    if signed:
        size = np.abs(2 * t - 1)
        return _from_oklch(0.62 + 0.16 * size, 0.04 + 0.13 * size, np.where(t < 0.5, 245.0, 60.0))
    return _from_oklch(0.42 + 0.50 * t, 0.17 - 0.02 * t, 310 + 150 * t)


def _from_oklch(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Oklch (hue in degrees) to sRGB in [0, 1]; colours outside are cut off channel by channel."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=-1,
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = (cones**3 @ to_linear.T).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def gradient_stops(*, signed: bool) -> list[tuple[str, str]]:
    """Offsets and colours of the legend of `colours`."""
    path = (_path(signed) * 255).round().astype(int)
    return [(f"{100 * place // 8}%", "#{:02x}{:02x}{:02x}".format(*path[place * 255 // 8])) for place in range(9)]


def on_grid(heat: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "16 16"]:
    """The mean of the heat over each cell of a 16 x 16 grid; a pixel cut by an edge counts by its area."""
    return _overlap(heat.shape[0]) @ heat.astype(np.float64) @ _overlap(heat.shape[1]).T


def _overlap(length: int) -> Float[np.ndarray, "16 length"]:
    """The share of each cell (rows) that each pixel (columns) covers; rows sum to 1."""
    edges = np.arange(GRID + 1) * length / GRID
    pixels = np.arange(length)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(shared, 0, None) * GRID / length
