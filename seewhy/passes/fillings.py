"""What stands where the image is taken away: the colours that cover, and the image from which a path begins."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.shelf import nearest

#: Black is 0; "mean" the image's own mean colour; "blur" the image without detail.
FILLINGS = ("mean", "black", "blur")


def filled(
    image: Float[Tensor, "batch channels height width"], fill: str, *, detail: float
) -> Float[Tensor, "batch channels _ _"]:
    """An image with nothing to see; for "blur" nothing finer than `detail` pixels. Raises ValueError for others."""
    if fill == "black":
        return torch.zeros_like(image)
    if fill == "mean":
        return image.mean((2, 3), keepdim=True)
    if fill == "blur":
        return blurred(image, sigma=detail / 2)
    raise ValueError(f"No filling {fill!r}. {nearest(fill, FILLINGS)}There are: {', '.join(FILLINGS)}.")


def blurred(
    image: Float[Tensor, "batch channels height width"], *, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """A Gaussian blur of `sigma` pixels; beyond the edge the image goes on as it ends."""
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = (-(offset**2) / (2 * sigma**2)).softmax(0)
    channels = image.shape[1]
    padded = functional.pad(image, (radius,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(across, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)
