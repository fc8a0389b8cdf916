"""Are the images arrays or tensors in memory, with a label each?

(images, labels), or {"images": ..., "labels": ..., "tags": {"scanner": [...]}, "splits": [...], "ids": [...]} of which
only the images and labels are needed. Images are uint8, or floats in [0, 1] (kept as 256 levels): rows x height x width
x 1 or 3, or rows x height x width, or with the channels first as torch has them; or a list of single images of any
sizes, Pillow's included. A label is text or a number; None, NaN or an empty text is no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from seewhy.data import _listing
from seewhy.images import decoding, imaging
from seewhy.types import Dataset

KEYS = ("images", "labels", "tags", "splits", "ids")


def recognises(location: object) -> bool:
    """A pair, or a mapping with "images"."""
    pair = isinstance(location, (tuple, list)) and len(location) == 2
    return pair or (isinstance(location, Mapping) and "images" in location)


def open(location: tuple[Any, Any] | list[Any] | Mapping[str, Any]) -> Dataset:
    """Raises ValueError where shapes, lengths or ranges are not as they should be."""
    parts = location if isinstance(location, Mapping) else dict(zip(KEYS, location, strict=False))
    unknown = [key for key in parts if key not in KEYS]
    if unknown or "labels" not in parts:
        raise ValueError(
            f"Arrays come as {', '.join(KEYS)}, of which images and labels are needed; got {', '.join(parts)}"
        )
    images = tuple(_as_pixels(image, row) for row, image in enumerate(_single(parts["images"])))
    columns = {"labels": _values(parts["labels"])}
    columns |= {key: _values(parts[key]) for key in ("splits", "ids") if key in parts}
    tags = {str(name): _values(values) for name, values in parts.get("tags", {}).items()}
    for name, values in {**columns, **tags}.items():
        if len(values) != len(images):
            raise ValueError(f"There are {len(images)} images but {len(values)} {name}; each image needs one")
    targets, classes, alike = _listing.labelled(columns["labels"])
    plain, left_out = _listing.tags_of(tags, ())
    ids = tuple(_listing.visible(str(id)) for id in columns.get("ids", range(len(images))))
    if len(set(ids)) < len(ids):
        raise ValueError(f"Ids must differ, but there are {len(set(ids))} different ones for {len(ids)} images")
    return Dataset(
        name="arrays",
        source=Arrays(images),
        ids=ids,
        targets=targets,
        classes=classes,
        rows=np.arange(len(images)),
        tags=plain,
        splits=_listing.split_column(columns["splits"], "the arrays") if "splits" in columns else (),
        problems=(*left_out, *alike),
    )


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images in memory; their content is a PPM of them."""

    images: tuple[UInt8[np.ndarray, "_ _ 3"], ...]

    def content(self, row: int) -> bytes:
        return imaging.encode_ppm(self.images[row])

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.images[row].copy()

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return None


def _single(images: Any) -> Sequence[Any]:
    """The images one by one; a tensor's channels come first, an array's last unless only the first can be channels."""
    if isinstance(images, (list, tuple)):
        return images
    array = images.detach().cpu() if isinstance(images, torch.Tensor) else np.asarray(images)
    if array.ndim not in (3, 4):
        raise ValueError(
            f"Images have the shape {tuple(array.shape)}; expected rows x height x width, with 1 or 3 channels last "
            "(numpy) or second (torch)"
        )
    return list(array)


def _as_pixels(image: Any, row: int) -> np.ndarray:
    """One image as uint8, height x width x 3."""
    if isinstance(image, Image.Image):
        return decoding.as_pixels(image)
    first = isinstance(image, torch.Tensor)
    array = np.asarray(image.detach().cpu() if isinstance(image, torch.Tensor) else image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[0] in (1, 3) and (first or array.shape[2] not in (1, 3)):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"Image {row} has the shape {np.shape(image)}; expected height x width, with 1 or 3 channels")
    if array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN fails as well
            raise ValueError(f"Image {row} has values from {low:g} to {high:g}; floats lie in [0, 1], or give uint8")
        array = np.round(array.astype(np.float32) * 255)
    elif array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise ValueError(f"Image {row} is {array.dtype} beyond 0 to 255; expected uint8, or floats in [0, 1]")
    array = array.astype(np.uint8)
    return np.ascontiguousarray(array if array.shape[2] == 3 else np.repeat(array, 3, axis=2))


def _values(values: Any) -> list[Any]:
    """A column as plain values."""
    return values.tolist() if isinstance(values, (torch.Tensor, np.ndarray)) else list(values)
