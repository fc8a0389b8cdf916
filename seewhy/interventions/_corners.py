"""Squares in the corners of images, where marks are."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seewhy.shelf import nearest

CORNERS = ("upper left", "upper right", "lower left", "lower right")


def square(
    image: Float[Tensor, "batch channels height width"], corner: str, *, size: float, margin: float
) -> Bool[Tensor, "batch height width"]:
    """A square of `size` at a `margin` from the corner, both shares of the shorter side; at least one pixel.

    Raises ValueError for no such corner, and for a square that does not fit into the image.
    """
    if corner not in CORNERS:
        raise ValueError(f"There is no corner {corner!r}. {nearest(corner, CORNERS)}There are: {', '.join(CORNERS)}.")
    if size <= 0 or margin < 0 or size + margin > 1:
        raise ValueError(f"A square of {size:g} of the side, {margin:g} from the corner, does not fit into the image")
    shorter = min(image.shape[2:])
    first = int(margin * shorter)
    last = first + max(1, int(size * shorter))
    inside = torch.zeros((len(image), *image.shape[2:]), dtype=torch.bool, device=image.device)
    inside[:, first:last, first:last] = True
    flipped = [axis for axis, word in ((1, "lower"), (2, "right")) if word in corner]
    return inside.flip(flipped)
