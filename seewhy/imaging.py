"""Pixels: image files read safely and by one rule, fitted to a network, and written for people to look at.

Whatever a file holds, an image here is uint8 RGB, height x width x 3, upright. The rule a mode:

    grey, black and white     the grey value three times
    palette                   its colours
    transparent of any kind   laid over white, as a page would show it
    CMYK, YCbCr, HSV          Pillow's plain formula
    16-bit grey, 32-bit       this image's own range stretched linearly: its smallest value black, its largest white
    several frames            the first one

Orientation in EXIF or TIFF is applied. Colour profiles are ignored. Only the kinds in KINDS are tried, and none with
more pixels than MAX_PIXELS by its header.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from seewhy.types import Preprocessing

KINDS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
#: Endings of the files of these kinds.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm".split()  # noqa: SIM905
)
MAX_PIXELS = 50_000_000
#: More than any image of MAX_PIXELS needs, even stored plainly in 16 bits a channel.
MAX_BYTES = 500_000_000

_WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: What Pillow raises on EXIF that is none; such a picture is taken to stand upright, as every viewer takes it.
_UNREADABLE_EXIF = (SyntaxError, ValueError, KeyError, IndexError, TypeError, OSError, EOFError, struct.error)
_QUIET_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class Undecodable(ValueError):
    """A sentence on why an image cannot be read, and a stable `code` for lists of problems."""

    def __init__(self, sentence: str, code: str = "broken-image") -> None:
        super().__init__(sentence)
        self.code = code


def decode(content: bytes, name: str = "") -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of an image file; `name` is for the words of errors.

    Whatever is wrong with the file, what is raised is Undecodable, a ValueError.
    """
    label = repr(name) if name else "the image"
    if not content:
        raise Undecodable(f"{label} is an empty file", "empty-file")
    if len(content) > MAX_BYTES:
        raise Undecodable(f"{label} has {len(content):,} bytes; the most that is read is {MAX_BYTES:,}", "too-large")
    _keep_pillow_quiet()
    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Undecodable(_too_many(label, f"{width:,} x {height:,}"), "too-large")
            image.seek(0)
            image.load()
            return np.array(_rgb(_upright(image)))  # a copy that may be written to
    except Undecodable:
        raise
    except Image.DecompressionBombError as error:
        raise Undecodable(_too_many(label, "far too many"), "too-large") from error
    except UnidentifiedImageError as error:
        raise Undecodable(
            f"{label} is not an image ({', '.join(KINDS)}) or is broken from its start, {content[:12]!r}",
            "not-an-image",
        ) from error
    except Exception as error:  # Pillow raises a dozen other kinds on broken files
        raise Undecodable(f"{label} cannot be decoded: {str(error) or type(error).__name__}") from error


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


def _rgb(image: Image.Image) -> Image.Image:
    """The one rule a mode."""
    if image.mode in _WIDE_MODES:
        return _stretched(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(image, mask=image)
        return page
    return image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Wide grey values in 8 bits: the finite ones from black to white. NaN and an image of one value are black."""
    values = np.asarray(image).astype(np.float32)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    scale = 255 / (high - low) if high > low else 0.0
    return Image.fromarray(np.round((values - low) * scale).astype(np.uint8)).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Pillow has already turned a TIFF, and taken the mark away, when it is loaded."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _UNREADABLE_EXIF:
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _encoded(pixels: np.ndarray, kind: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **settings)
    return buffer.getvalue()


def _too_many(label: str, size: str) -> str:
    return f"{label} has {size} pixels by its header; the most that is read is {MAX_PIXELS:,}"


def _keep_pillow_quiet() -> None:
    """Pillow warns of odd files that it reads all the same. A filter that stands first holds in every thread, where
    `warnings.catch_warnings` would not; it is looked for at each call, for others put theirs before it."""
    if not warnings.filters or warnings.filters[0] != _QUIET_PILLOW:
        warnings.filterwarnings("ignore", module=r"PIL\.")
