"""Pixels: fitted to a network, and written for people to look at.

An image here is uint8 RGB, height x width x 3; `decoding` reads one from a file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from seewhy.types import Boxes, Preprocessing


def encode_png(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A PNG of exactly these pixels and nothing else."""
    return _encoded(pixels, "PNG", optimize=True)


def encode_jpeg(pixels: UInt8[np.ndarray, "height width 3"], quality: int = 85) -> bytes:
    """A JPEG without EXIF or any other metadata."""
    return _encoded(pixels, "JPEG", quality=quality, optimize=True)


def encode_ppm(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A PPM: exactly these pixels in bytes that no version of a library changes, so arrays are hashed as this."""
    height, width, _ = pixels.shape
    return b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(pixels).tobytes()


def thumbnail(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """The whole picture with its longer side at most `side`; a smaller one stays as it is."""
    height, width, _ = pixels.shape
    scale = min(1.0, side / max(height, width))
    return _resized(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def thumbnail_exact(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """The whole picture squashed or stretched to `side` x `side`."""
    return _resized(pixels, (side, side))


def fit_pixels(
    pixels: UInt8[np.ndarray, "height width 3"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The image at the network's size, by `preprocessing.fit`; antialiased and bilinear. The same pixels if it fits."""
    height, width, _ = pixels.shape
    rows, columns = preprocessing.size
    if (height, width) == (rows, columns):
        return pixels
    place = fitted_place((height, width), preprocessing)
    seen = pixels[place.top : place.top + place.height, place.left : place.left + place.width]
    inside = _resized(seen, place.size)
    if place.size == (rows, columns):
        return inside
    canvas = np.zeros((rows, columns, 3), dtype=np.uint8)
    below, beside = place.at
    canvas[below : below + inside.shape[0], beside : beside + inside.shape[1]] = inside
    return canvas


def fit_mask(mask: Bool[Tensor, "height width"], preprocessing: Preprocessing) -> Bool[Tensor, "rows columns"]:
    """A mask at the network's size, as `fit_pixels` would move its image: set where at least half of a pixel was."""
    levels = (mask.numpy().astype(np.uint8) * 255)[:, :, None].repeat(3, axis=2)
    return torch.from_numpy(fit_pixels(levels, preprocessing)[:, :, 0] >= 128)


def fit_boxes(boxes: Boxes, size: tuple[int, int], preprocessing: Preprocessing) -> Boxes:
    """Boxes of an image of this (height, width) in pixels of the network's, cut off where the image is.

    One that lies wholly outside stays, without area, so that labels keep their places.
    """
    place = fitted_place(size, preprocessing)
    (tall, wide), (below, beside) = place.size, place.at
    scale = torch.tensor([wide / place.width, tall / place.height] * 2)
    moved = (boxes.corners - torch.tensor([place.left, place.top] * 2)) * scale + torch.tensor([beside, below] * 2)
    least = torch.tensor([beside, below] * 2, dtype=moved.dtype)
    most = least + torch.tensor([wide, tall] * 2, dtype=moved.dtype)
    return Boxes(torch.minimum(torch.maximum(moved, least), most), boxes.labels)


class Fitted(NamedTuple):
    """Which window of an image is seen, in its own pixels; at which (height, width); and where on the canvas."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    at: tuple[int, int] = (0, 0)


def fitted_place(size: tuple[int, int], preprocessing: Preprocessing) -> Fitted:
    """Where an image of this (height, width) comes to lie by `preprocessing.fit`. Raises ValueError for another."""
    height, width = size
    rows, columns = preprocessing.size
    if size == (rows, columns) or preprocessing.fit == "squash":
        return Fitted(0, 0, height, width, (rows, columns))
    if preprocessing.fit == "crop":
        # The largest box of the wanted shape, in whole pixels: one that only needs cutting is not blurred.
        tall = min(height, max(1, round(width * rows / columns)))
        wide = min(width, max(1, round(height * columns / rows)))
        return Fitted((height - tall) // 2, (width - wide) // 2, tall, wide, (rows, columns))
    if preprocessing.fit == "pad":
        scale = min(rows / height, columns / width)
        inside = max(1, round(height * scale)), max(1, round(width * scale))
        return Fitted(0, 0, height, width, inside, ((rows - inside[0]) // 2, (columns - inside[1]) // 2))
    raise ValueError(f"An image is fitted by 'crop', 'squash' or 'pad', not by {preprocessing.fit!r}")


def fit(
    images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]], preprocessing: Preprocessing
) -> Float[Tensor, "batch 3 rows columns"]:
    """Images of any sizes, in [0, 1] or as bytes, as one batch in [0, 1], each by the rule of `fit_pixels`.

    One that is of the network's size already comes back to the bit. The others pass through 256 levels, so they equal
    what `fit_pixels` makes of the same file.
    """
    return torch.stack([_fit_one(image, preprocessing) for image in images])


def _fit_one(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    if tuple(image.shape[1:]) != tuple(preprocessing.size):
        levels = image if image.dtype == torch.uint8 else image.float().clamp(0, 1).mul(255).round().to(torch.uint8)
        fitted = fit_pixels(np.ascontiguousarray(levels.permute(1, 2, 0).numpy()), preprocessing)
        image = torch.from_numpy(fitted).permute(2, 0, 1)
    return image.float().div(255) if image.dtype == torch.uint8 else image.float()


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At (height, width). Pillow's bilinear filter widens where it shrinks, so nothing aliases."""
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))


def _encoded(pixels: np.ndarray, kind: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **settings)
    return buffer.getvalue()
