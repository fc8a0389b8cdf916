"""How bright, how full of contrast, of which colour and how sharp is an image, or a part of it?

    brightness   mean luma, .299 R + .587 G + .114 B (Rec. 601)
    contrast     from the luma that 5 % of the pixels lie below to the one that 5 % lie above
    colour       mean colour less its luma: three numbers, of which two are free; 0 for grey
    sharpness    what a mean over 3 x 3 pixels takes away from the luma, at most, in three quarters of the pixels

Contrast and sharpness are shares of the pixels, not sums over them: a small white mark, or the outline of an object,
must not pass for either.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

#: Rec. 601's weights of red, green and blue.
LUMA = (0.299, 0.587, 0.114)
PROPERTIES = ("brightness", "contrast", "colour", "sharpness")


def measured(
    image: Float[Tensor, "batch 3 height width"], where: Bool[Tensor, "batch height width"]
) -> dict[str, Float[Tensor, "batch numbers"]]:
    """Each of PROPERTIES over the pixels of a region; 0 where the region is empty."""
    colour, gray = mean(image, where), luma(image)
    brightness = torch.einsum("bc,c->b", colour, colour.new_tensor(LUMA))[:, None]
    low, high = quantiles(gray, where, (0.05, 0.95)).unbind(1)
    detail = quantiles((gray - blurred(gray)).abs(), where, (0.75,))
    return {
        "brightness": brightness,
        "contrast": (high - low)[:, None],
        "colour": colour - brightness,
        "sharpness": detail,
    }


def luma(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """In [0, 1]."""
    return torch.einsum("bchw,c->bhw", image, image.new_tensor(LUMA))[:, None]


def blurred(image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """The mean over 3 x 3 pixels; the border goes on as it is."""
    return functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def mean(
    image: Float[Tensor, "batch channels height width"], where: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch channels"]:
    """Over the pixels of a region."""
    weight = where[:, None].to(image.dtype)
    return (image * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1)


def quantiles(
    plane: Float[Tensor, "batch 1 height width"], where: Bool[Tensor, "batch height width"], shares: tuple[float, ...]
) -> Float[Tensor, "batch shares"]:
    """The values that such shares of a region's pixels do not exceed; 0 where the region is empty."""
    count = where.flatten(1).sum(1)
    ordered = plane[:, 0].masked_fill(~where, torch.inf).flatten(1).sort(1).values
    places = torch.stack([(share * (count - 1).clamp(min=0)).round().long() for share in shares], 1)
    return torch.where(count[:, None] > 0, ordered.gather(1, places), 0.0)
