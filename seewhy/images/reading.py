"""Whatever a person calls an image - a file, a PIL image, an array, a tensor - as floats in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from seewhy.images import decoding


def is_one(images: Any) -> bool:
    """Whether this is one image and not several."""
    if isinstance(images, (np.ndarray, Tensor)):
        return images.ndim < 4
    return isinstance(images, (str, Path, Image.Image))


def read(image: Any) -> Float[Tensor, "3 height width"]:
    """One image as float32 RGB in [0, 1].

    A path to a file; a PIL image, by the rules for files; a NumPy array of bytes, height x width x 3, or of floats in
    [0, 1], 3 x height x width; a tensor of either, channels first. Arrays and tensors may be grey. Raises
    FileNotFoundError where there is no such file, ValueError for what is no image.
    """
    if isinstance(image, (str, Path)):
        path = Path(image)
        if not path.is_file():
            raise FileNotFoundError(f"No image file {str(path)!r}")
        return _scaled(decoding.decode(path.read_bytes(), str(path)))
    if isinstance(image, Image.Image):
        return _scaled(decoding.as_pixels(image))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3:
        if image.shape[2] not in (1, 3):
            raise ValueError(f"An array of bytes is an image as height x width x 3 or grey; this one is {image.shape}")
        return _checked(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    if isinstance(image, np.ndarray) and image.dtype.kind in "uif":
        return _checked(torch.from_numpy(image.copy()))
    if isinstance(image, Tensor):
        return _checked(image.detach().cpu())
    raise ValueError(f"{type(image).__name__} is no image; give a path, a PIL image, an array of numbers or a tensor")


def _scaled(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[Tensor, "3 height width"]:
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def _checked(image: Tensor) -> Float[Tensor, "3 height width"]:
    """Channels first. Grey becomes RGB, bytes become floats; floats must lie in [0, 1] already."""
    image = image[None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not image.numel():
        raise ValueError(f"An image is 3 x height x width here, or grey; this one is {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        return image.expand(3, -1, -1).float() / 255
    if not image.is_floating_point():
        raise ValueError(f"An image holds bytes or floats, not {str(image.dtype).removeprefix('torch.')}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"A float image lies in [0, 1]; this one runs from {low:g} to {high:g}: divide bytes by 255")
    return image.float().expand(3, -1, -1).clone(memory_format=torch.contiguous_format)
