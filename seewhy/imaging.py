"""Pixels: fitted to a network, and written for people to look at.

An image here is uint8 RGB, height x width x 3; `decoding` reads one from a file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from seewhy.types import Preprocessing


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
    if preprocessing.fit == "squash":
        return _resized(pixels, (rows, columns))
    if preprocessing.fit == "crop":
        # The largest box of the wanted shape, in whole pixels: one that only needs cutting is not blurred.
        tall = min(height, max(1, round(width * rows / columns)))
        wide = min(width, max(1, round(height * columns / rows)))
        top, left = (height - tall) // 2, (width - wide) // 2
        return _resized(pixels[top : top + tall, left : left + wide], (rows, columns))
    if preprocessing.fit == "pad":
        scale = min(rows / height, columns / width)
        inside = _resized(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
        canvas = np.zeros((rows, columns, 3), dtype=np.uint8)
        top, left = (rows - inside.shape[0]) // 2, (columns - inside.shape[1]) // 2
        canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return canvas
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
