"""What if there were ice on the lens?

The image is darkened and ice laid over it: needles in a few directions over clouds with ridges, bluish white.
Severities of ImageNet-C and CIFAR-10-C (`_severity.py`); those lay photographs of ice over the image, which are
not ours to give away, so the ice here is generated: as bright and as coarse, not the same.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.interventions import _kernels, _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the lens, by ice on it", "the scene behind it", True
strengths = STRENGTHS

#: How much of the image stays, and how much ice is added.
STAYS = Parameter((1.0, 1.0, 0.9, 0.85, 0.75), (1.0, 0.8, 0.7, 0.65, 0.6))
ADDED = Parameter((0.2, 0.3, 0.4, 0.4, 0.45), (0.4, 0.6, 0.7, 0.7, 0.75))
#: The colour of ice; how many directions needles have, and what share of pixels one begins at.
COLOUR = (0.86, 0.95, 1.0)
DIRECTIONS, NEEDLES = 3, 0.02


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    layer = ice(batch, seed=seed)

    def at(image: Tensor, severity: int) -> Tensor:
        return STAYS.at(severity, image) * image + ADDED.at(severity, image) * layer

    return graded(batch, strength, at)


def ice(batch: Batch, *, seed: int = 0) -> Float[Tensor, "batch 3 height width"]:
    """A sheet of ice for each example, in [0, 1]."""
    image = batch.inputs["image"]
    size = (image.shape[2], image.shape[3])
    side = min(size)
    clouds = _noise.plasma(batch, size, 1.35, seed=seed, stream="frost")
    ridges = (1 - (2 * clouds - 1).abs()).pow(3)  # bright where the clouds pass their middle
    turns = _noise.uniform(batch, (DIRECTIONS,), seed=seed, stream="where needles point") * math.pi
    needles = torch.zeros_like(clouds)
    for way in range(DIRECTIONS):
        begins = (_noise.uniform(batch, (1, *size), seed=seed, stream=f"needles {way}") < NEEDLES).to(image.dtype)
        streaks = _kernels.convolved(begins, _kernels.line(side / 8, side / 16, turns[:, way]))
        needles = torch.maximum(needles, streaks / streaks.amax((2, 3), keepdim=True).clamp(min=1e-6))
    grey = (0.25 * clouds + 0.45 * ridges + 0.7 * needles * (0.3 + clouds)).clamp(0, 1)
    return grey * image.new_tensor(COLOUR)[:, None, None]
