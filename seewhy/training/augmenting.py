"""Small changes to training images that leave their meaning alone: flip, shift, turn, zoom, light, distort, cover.

A whole batch at once, on the device, and each number a pure function of (seed, epoch, example id).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy import chance
from seewhy.training import distorting
from seewhy.types import Batch


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each change may go. `shift`, `zoom`, `light` and `cover` are shares; `turn` is in degrees; `rand_augment`
    is the strength of RandAugment, 0 to 10."""

    flip: bool = False
    shift: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    light: float = 0.0
    cover: float = 0.0
    rand_augment: float = 0.0

    def __post_init__(self) -> None:
        furthest = {"shift": 1.0, "turn": 180.0, "zoom": 0.9, "light": 1.0, "cover": 0.9, "rand_augment": 10.0}
        for name, most in furthest.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"Augmentation {name} is {value}; it must lie between 0 and {most:g}")


#: What is usual: small pictures of things, photographs, and pictures without colour (digits, scans), which a flip may
#: turn into something else.
PHOTOS = Augmentation(flip=True, shift=0.08, turn=8.0, zoom=0.15, light=0.15)
SMALL = Augmentation(flip=True, shift=0.125)
GREY = Augmentation(shift=0.1, turn=10.0, zoom=0.1)
NONE = Augmentation()


def augment(batch: Batch, how: Augmentation, *, seed: int, epoch: int) -> Batch:
    """The batch with each image changed a little."""
    if how == NONE:
        return batch
    images = batch.inputs["image"]
    keys = chance.keys(batch.ids)
    draws = chance.uniform(keys, seed=seed, stream=f"augment {epoch}", draws=9).to(images.device)
    spread = draws * 2 - 1  # -1 to 1
    if how.flip or how.shift or how.turn or how.zoom:
        images = _moved(images, how, draws[:, 0], spread[:, 1:5])
    if how.light:
        brightness = 1 + how.light * spread[:, 5].view(-1, 1, 1, 1)
        contrast = 1 + how.light * spread[:, 6].view(-1, 1, 1, 1)
        mean = images.mean((1, 2, 3), keepdim=True)
        images = ((images - mean) * contrast + mean * brightness).clamp(0, 1)
    if how.rand_augment:
        changes = chance.uniform(keys, seed=seed, stream=f"distort {epoch}", draws=distorting.DRAWS)
        images = distorting.distort(images, how.rand_augment, changes)
    if how.cover:
        images = _covered(images, how.cover, draws[:, 7:9])
    return batch.with_inputs(image=images)


def scaled(
    images: Float[Tensor, "batch channels height width"], share: float
) -> Float[Tensor, "batch channels rows columns"]:
    """Images with sides of that share of what they were, in even numbers of pixels, antialiased."""
    if share == 1:
        return images
    size = [max(2, 2 * round(side * share / 2)) for side in images.shape[-2:]]
    return functional.interpolate(images, size, mode="bilinear", antialias=True)


def _moved(
    images: Float[Tensor, "batch channels height width"],
    how: Augmentation,
    coin: Float[Tensor, " batch"],
    spread: Float[Tensor, "batch 4"],
) -> Float[Tensor, "batch channels height width"]:
    """One affine map an image, reading beyond the border as a mirror. Without turn and zoom it moves whole pixels,
    which blurs nothing."""
    height, width = images.shape[-2:]
    mirror = torch.where(coin < 0.5, -1.0, 1.0) if how.flip else torch.ones_like(coin)
    angle = spread[:, 0] * math.radians(how.turn)
    zoom = 1 + how.zoom * spread[:, 1]
    down, right = how.shift * spread[:, 2] * height, how.shift * spread[:, 3] * width  # pixels
    if not (how.turn or how.zoom):
        down, right = down.round(), right.round()
    aspect = height / width
    theta = torch.stack(
        [
            torch.stack([zoom * angle.cos() * mirror, -zoom * angle.sin() * aspect, 2 * right / width], 1),
            torch.stack([zoom * angle.sin() * mirror / aspect, zoom * angle.cos(), 2 * down / height], 1),
        ],
        1,
    )  # batch, 2, 3: from a place in the new image to the place in the old one
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _covered(
    images: Float[Tensor, "batch channels height width"], share: float, draws: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch channels height width"]:
    """A grey square a `share` of the side wide, somewhere (DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552)."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) / height
    columns = torch.arange(width, device=images.device) / width
    top, left = (draws * (1 - share)).unbind(1)
    inside_rows = (rows >= top[:, None]) & (rows < top[:, None] + share)  # batch, height
    inside_columns = (columns >= left[:, None]) & (columns < left[:, None] + share)  # batch, width
    return images.masked_fill((inside_rows[:, :, None] & inside_columns[:, None, :])[:, None], 0.5)
