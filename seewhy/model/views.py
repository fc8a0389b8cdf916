"""What does a network say of an image that it sees in several ways? Test-time augmentation.

    flip    the image and its mirror                                                 2 passes
    crops   these two, and the four corners, 7/8 of a side each, with their mirrors   10 passes

The answer is the mean of the logits (Krizhevsky, Sutskever and Hinton 2012, section 4.1, who took ten crops and the
mean of the probabilities). Everything that is asked of such a network is asked of the mean: tables, gradients, heat.
The image as it is comes last, so that whoever reads a layer, which is as its last use left it, reads that of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Views = Literal["none", "flip", "crops"]
#: A corner takes in so much of each side.
CORNER = 7 / 8


def mean_over_views(
    network: Callable[..., Any], image: Float[Tensor, "batch 3 height width"], views: Views
) -> Float[Tensor, "batch classes"]:
    """Raises ValueError where the network does not put out one row of numbers an image."""
    outputs = [network(view) for view in _seen(image, views)]
    if not isinstance(outputs[-1], Tensor) or outputs[-1].ndim != 2:
        raise ValueError(f"The views {views!r} are for networks that put out logits, one row an image")
    return torch.stack(outputs).mean(0)


def _seen(
    image: Float[Tensor, "batch 3 height width"], views: Views
) -> Iterator[Float[Tensor, "batch 3 height width"]]:
    """The image in each of the ways, as it is last."""
    if views == "crops":
        height, width = image.shape[-2:]
        tall, wide = round(CORNER * height), round(CORNER * width)
        for top in (0, height - tall):
            for left in (0, width - wide):
                corner = image[..., top : top + tall, left : left + wide]
                corner = functional.interpolate(corner, (height, width), mode="bilinear", antialias=True)
                yield from (corner.flip(-1), corner)
    if views != "none":
        yield image.flip(-1)
    yield image
