"""How strongly may training images be distorted? By one number: RandAugment.

Two of fourteen changes an image, chosen at random, each with the same strength of 0 to 10; where a change has two
directions, one of them at random (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719). What strength 10 means:

    turn 30 degrees · shear 0.3 · shift 0.45 of the side · brightness, contrast, colour and sharpness times 0.1 or 1.9
    posterise to 4 bits · solarise from 0 · equalise, stretch the contrast, and nothing at all have no strength

The changes themselves are torchvision's. What comes in from beyond the border is grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

#: How many changes an image gets, and how many numbers each draws: which one, and in which direction.
CHANGES = 2
DRAWS = 2 * CHANGES
GREY = [0.5, 0.5, 0.5]


def distort(
    images: Float[Tensor, "batch 3 height width"], strength: float, draws: Float[Tensor, "batch numbers"]
) -> Float[Tensor, "batch 3 height width"]:
    """Images in [0, 1], each changed as its DRAWS numbers in [0, 1) say."""
    images, draws = images.clone(), draws.cpu()
    for number in range(CHANGES):
        chosen = (draws[:, 2 * number] * len(KINDS)).int()
        positive = draws[:, 2 * number + 1] < 0.5
        for place, change in enumerate(KINDS):
            for sign in (1.0, -1.0):
                rows = ((chosen == place) & (positive == (sign > 0))).nonzero()[:, 0].to(images.device)
                if len(rows):
                    images[rows] = change(images[rows], sign * strength / 10).clamp(0, 1)
    return images


def _affine(
    images: Tensor, *, turn: float = 0.0, right: float = 0.0, down: float = 0.0, across: float = 0.0, along: float = 0.0
) -> Tensor:
    """Turned by degrees, shifted by shares of the side, sheared by the tangent of an angle, about the centre."""
    height, width = images.shape[-2:]
    shear = [math.degrees(math.atan(value)) for value in (across, along)]
    return functional.affine(
        images,
        angle=turn,
        translate=[round(right * width), round(down * height)],
        scale=1.0,
        shear=shear,
        interpolation=InterpolationMode.BILINEAR,
        fill=GREY,
    )


#: Each change by a signed amount, -1 to 1, of its greatest strength.
KINDS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda images, amount: images,
    lambda images, amount: functional.autocontrast(images),
    lambda images, amount: functional.equalize(images),
    lambda images, amount: _affine(images, turn=30 * amount),
    lambda images, amount: functional.solarize(images, 1 - abs(amount)),
    lambda images, amount: functional.adjust_saturation(images, 1 + 0.9 * amount),
    lambda images, amount: functional.posterize(images, 8 - round(4 * abs(amount))),
    lambda images, amount: functional.adjust_contrast(images, 1 + 0.9 * amount),
    lambda images, amount: functional.adjust_brightness(images, 1 + 0.9 * amount),
    lambda images, amount: functional.adjust_sharpness(images, 1 + 0.9 * amount),
    lambda images, amount: _affine(images, across=0.3 * amount),
    lambda images, amount: _affine(images, along=0.3 * amount),
    lambda images, amount: _affine(images, right=0.45 * amount),
    lambda images, amount: _affine(images, down=0.45 * amount),
)
