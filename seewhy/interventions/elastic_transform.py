"""What if the image were stretched here and squeezed there?

Every pixel is taken from a place that a smooth random field moves, after a small random affine map. Severities 3 to 5
at 224 pixels are those of ImageNet-C. Its 1 and 2, and those of CIFAR-10-C, move the whole image by up to a fifth of
its side and so change more than the stronger ones; here they are weaker forms of the stronger ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the geometry, in small waves", "what is next to what", True
strengths = STRENGTHS

#: The field's factor and smoothness, and how far the affine map moves a corner, as shares of the side.
FACTOR = Parameter((0.02, 0.04, 0.06, 0.08, 0.10), (0.02, 0.035, 0.05, 0.07, 0.12))
SMOOTH = Parameter((0.03, 0.03, 0.03, 0.03, 0.03), (0.01, 0.01, 0.01, 0.01, 0.01))
CORNERS = Parameter((0.01, 0.015, 0.02, 0.025, 0.03), (0.01, 0.015, 0.02, 0.02, 0.02))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5. Masks and boxes stay where they are: nothing moves far."""
    corners = _noise.uniform(batch, (3, 2), seed=seed, stream="elastic corners") * 2 - 1

    def at(image: Tensor, severity: int) -> Tensor:
        height, width = image.shape[2:]
        side = min(height, width)
        field = _noise.smooth(batch, (height, width), side * SMOOTH.at(severity, image), seed=seed, stream="elastic")
        field = field * side * FACTOR.at(severity, image)  # pixels, across and down
        grid = functional.affine_grid(_affine(corners * CORNERS.at(severity, image)), list(image.shape), False)
        moved = field.permute(0, 2, 3, 1) * 2 / image.new_tensor([width, height])
        return functional.grid_sample(
            image, grid + moved, mode="bilinear", padding_mode="reflection", align_corners=False
        )

    return graded(batch, strength, at)


def _affine(moved: Tensor) -> Tensor:
    """The maps (batch, 2, 3) that move three corners of a square by so much (batch, 3, 2), as shares of the side."""
    corners = moved.new_tensor(
        [[2 / 3, 2 / 3], [2 / 3, -2 / 3], [-2 / 3, -2 / 3]]
    )  # of -1 to 1, a third from the middle
    with_one = torch.cat([corners, corners.new_ones(3, 1)], 1)
    return torch.linalg.solve(with_one, corners + 2 * moved).mT
