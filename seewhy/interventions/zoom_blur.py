"""What if the camera had moved towards the scene?

The mean of the image and of the same magnified by little and less little. Severities of ImageNet-C and CIFAR-10-C
(`_severity.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by a camera that comes nearer", "large shapes and colours", True
strengths = STRENGTHS

#: The largest magnification less one, and how many there are from 1 on.
MOST = Parameter((0.05, 0.10, 0.15, 0.20, 0.25), (0.10, 0.15, 0.20, 0.24, 0.30))
MANY = Parameter((6, 11, 16, 21, 26), (11, 16, 11, 13, 11))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        many = round(MANY.at(severity, image))
        total = image.clone()
        for larger in torch.linspace(1, 1 + MOST.at(severity, image), many).tolist():
            total += _magnified(image, larger)
        return total / (many + 1)

    return graded(batch, strength, at)


def _magnified(image: Tensor, factor: float) -> Tensor:
    """About the middle; what leaves the frame is gone."""
    theta = image.new_tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]]).expand(len(image), 2, 3)
    grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
