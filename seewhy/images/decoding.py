"""Image files, read safely and by one rule, so that a picture is the same in training, in an audit and everywhere.

Whatever a file holds, an image here is uint8 RGB, height x width x 3, upright. The rule a mode:

    grey, black and white     the grey value three times
    palette                   its colours
    transparent of any kind   laid over white, as a page would show it
    CMYK                      by its colour profile; without one Pillow's plain formula
    YCbCr, HSV                Pillow's plain formula
    16-bit colour             the upper 8 bits
    16-bit grey, 32-bit       this image's own range stretched linearly: its smallest value black, its largest white
    several frames            the first one

Orientation in EXIF or TIFF is applied. A colour profile of RGB or CMYK is applied too, to sRGB, so that the photos of
two cameras show one red as one red; a broken one, and one of grey, is ignored. Only the kinds in KINDS are tried, and
none with more pixels than MAX_PIXELS by its header.

Imports neither PyTorch nor anything of ours: the child processes of `decoders` start with this file.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

KINDS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
#: Endings of the files of these kinds.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm".split()  # noqa: SIM905
)
MAX_PIXELS = 50_000_000
#: More than any image of MAX_PIXELS needs, even stored plainly in 16 bits a channel.
MAX_BYTES = 500_000_000

_WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
#: Pixels that are converted at once: an image of MAX_PIXELS, whole in two modes, would need most of a gigabyte.
_BAND = 2**20
#: A profile that moves no colour by more levels than this is sRGB, whatever it calls itself.
_UNMOVED = 2
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
    """A sentence on why an image cannot be read, a stable `code` for lists of problems, and the file's `size` in bytes
    where that is known without its content."""

    def __init__(self, sentence: str, code: str = "broken-image", size: int = 0) -> None:
        super().__init__(sentence)
        self.code, self.size = code, size


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
            upright = _upright(image)
            if upright is not image:
                image.close()  # lets its pixels go: two images of MAX_PIXELS are many
            return _converted(upright)
    except Undecodable:
        raise
    except Image.DecompressionBombError as error:
        raise Undecodable(_too_many(label, "far too many"), "too-large") from error
    except MemoryError as error:
        raise Undecodable(f"{label} needs more memory to be decoded than there is for it", "too-much-memory") from error
    except UnidentifiedImageError as error:
        raise Undecodable(
            f"{label} is not an image ({', '.join(KINDS)}) or is broken from its start, {content[:12]!r}",
            "not-an-image",
        ) from error
    except Exception as error:  # Pillow raises a dozen other kinds on broken files
        raise Undecodable(f"{label} cannot be decoded: {str(error) or type(error).__name__}") from error


def as_pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """A PIL image by the rules above, as if it had been read from its file; an array of one's own."""
    image.load()
    return _converted(_upright(image))


def _converted(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """By the rule of its mode, some rows after the others."""
    width, height = image.size
    tall = max(1, _BAND // max(1, width))
    bands = [(0, top, width, min(top + tall, height)) for top in range(0, height, tall)]
    wide = _range(image, bands) if image.mode in _WIDE_MODES else None
    pixels = np.empty((height, width, 3), np.uint8)
    for band in bands:
        part = image.crop(band) if len(bands) > 1 else image
        pixels[band[1] : band[3]] = np.asarray(_rgb(part)) if wide is None else _stretched(part, *wide)
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    """The one rule a mode, but for wide values."""
    profile = None if image.mode in ("1", "L", "LA") else image.info.get("icc_profile")
    if image.mode == "CMYK":
        return _in_srgb(image, profile)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(_in_srgb(image.convert("RGB"), profile), mask=image)
        return page
    return _in_srgb(image.convert("RGB"), profile)


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """RGB or CMYK as sRGB, by its colour profile if that says something."""
    transform = _transform(profile, image.mode) if isinstance(profile, bytes) and profile else None
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colours to sRGB, made once for all images that carry it; None where it is broken, is of another
    kind than the pixels, or is sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != mode:
            return None
        transform = ImageCms.ImageCmsTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "RGB":
            levels = np.arange(0, 256, 51, dtype=np.uint8)
            cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(6, 36, 3)
            moved = np.asarray(transform.apply(Image.fromarray(cube))).astype(int) - cube
            return transform if np.abs(moved).max() > _UNMOVED else None
        return transform
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None


def _range(image: Image.Image, bands: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
    """The smallest and the largest finite value; 0 and 0 where there is none."""
    low, high = np.inf, -np.inf
    for band in bands:
        values = np.asarray(image.crop(band)).astype(np.float32)
        values = values[np.isfinite(values)]
        low, high = min(low, values.min(initial=np.inf)), max(high, values.max(initial=-np.inf))
    return (float(low), float(high)) if low <= high else (0.0, 0.0)


def _stretched(image: Image.Image, low: float, high: float) -> UInt8[np.ndarray, "height width 1"]:
    """Wide grey values in 8 bits: `low` black, `high` white. NaN and an image of one value are black."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32), nan=low, posinf=high, neginf=low)
    scale = 255 / (high - low) if high > low else 0.0
    return np.round((values - low) * scale).astype(np.uint8)[:, :, None]


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Pillow has already turned a TIFF, and taken the mark away, when it is loaded."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _UNREADABLE_EXIF:
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _too_many(label: str, size: str) -> str:
    return f"{label} has {size} pixels by its header; the most that is read is {MAX_PIXELS:,}"


def _keep_pillow_quiet() -> None:
    """Pillow warns of odd files that it reads all the same. A filter that stands first holds in every thread, where
    `warnings.catch_warnings` would not; it is looked for at each call, for others put theirs before it."""
    if not warnings.filters or warnings.filters[0] != _QUIET_PILLOW:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def camera(content: bytes) -> str:
    """Maker and model of the camera that an image file names in its EXIF, read without decoding it; "" for none."""
    if not content or len(content) > MAX_BYTES:
        return ""
    _keep_pillow_quiet()
    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as image:
            tags = image.getexif()
            words = [str(tags.get(tag) or "") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    except Exception:  # noqa: BLE001 Pillow raises a dozen kinds on broken files, and a broken one names no camera
        return ""
    return " ".join("".join(sign for sign in word if sign.isprintable()).strip()[:80] for word in words).strip()
