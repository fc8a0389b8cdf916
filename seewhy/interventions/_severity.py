"""How strong is a corruption at a severity of 1 to 5, on an image of this size?

Published are parameters for photographs of 224 x 224 pixels (ImageNet-C) and for images of 32 x 32 (CIFAR-10-C):
Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261. A side between the two gets what lies between them, in
proportion to its logarithm; a smaller or a larger one gets what 32 or 224 get, lengths in pixels scaled with the side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.types import Batch

STRENGTHS = (1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A published parameter at severities 1 to 5, for sides of 32 and of 224; `pixels` if it is a length."""

    at_32: tuple[float, float, float, float, float]
    at_224: tuple[float, float, float, float, float]
    pixels: bool = False

    def at(self, severity: int, image: Float[Tensor, "batch 3 height width"]) -> float:
        """The value for images of this size; the shorter side counts."""
        side = min(image.shape[2:])
        inside = min(max(side, 32), 224)
        share = math.log(inside / 32) / math.log(224 / 32)
        small, large = self.at_32[severity - 1], self.at_224[severity - 1]
        return (small + share * (large - small)) * (side / inside if self.pixels else 1.0)


def graded(
    batch: Batch,
    strength: float,
    at: Callable[[Float[Tensor, "batch 3 height width"], int], Float[Tensor, "batch 3 height width"]],
) -> Batch:
    """The batch at a severity; `at` makes of images those of severity 1, 2, 3, 4 or 5.

    Between two severities their images are mixed, and below 1 that of severity 1 with the clean one, so that 0 changes
    nothing. Raises ValueError for a strength outside 0 to 5.
    """
    if not 0 <= strength <= 5:
        raise ValueError(f"A strength of {strength:g} is no severity: they run from 0, unchanged, to 5")
    image = batch.inputs["image"]
    below = math.floor(strength)
    lower = at(image, below).clamp(0, 1) if below else image
    if strength == below:
        return batch.with_inputs(image=lower)
    return batch.with_inputs(image=torch.lerp(lower, at(image, below + 1).clamp(0, 1), strength - below))
