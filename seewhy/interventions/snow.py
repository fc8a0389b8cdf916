"""What if it snowed?

Flakes are thresholded noise, magnified and drawn out in a direction of the image's own; once more turned by half a
turn; the image is whitened. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.interventions import _kernels, _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the air, by snow", "the scene behind it", True
strengths = STRENGTHS

#: Noise: its mean, deviation, by how much it is magnified and what lies below becomes none.
MEAN = Parameter((0.1, 0.1, 0.15, 0.25, 0.3), (0.1, 0.2, 0.55, 0.55, 0.55))
DEVIATION = Parameter((0.2, 0.2, 0.3, 0.3, 0.3), (0.3, 0.3, 0.3, 0.3, 0.3))
MAGNIFIED = Parameter((1, 1, 1.75, 2.25, 1.25), (3, 2, 4, 4.5, 2.5))
LEAST = Parameter((0.6, 0.5, 0.55, 0.6, 0.65), (0.5, 0.5, 0.9, 0.85, 0.85))
#: Half of the longest streak and how it fades, in pixels; and how much of the image stays as it is.
RADIUS = Parameter((8, 10, 10, 12, 14), (10, 12, 12, 12, 12), pixels=True)
FADES = Parameter((3, 4, 4, 6, 12), (4, 4, 8, 8, 12), pixels=True)
STAYS = Parameter((0.95, 0.9, 0.9, 0.85, 0.8), (0.8, 0.7, 0.7, 0.65, 0.55))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    shape = (1, *batch.inputs["image"].shape[2:])
    drawn = _noise.gaussian(batch, shape, seed=seed, stream="snow")
    angle = -math.pi / 4 - _noise.uniform(batch, (), seed=seed, stream="where snow falls") * math.pi / 2

    def at(image: Tensor, severity: int) -> Tensor:
        flakes = MEAN.at(severity, image) + DEVIATION.at(severity, image) * drawn
        flakes = _magnified(flakes, MAGNIFIED.at(severity, image))
        flakes = flakes.where(flakes >= LEAST.at(severity, image), 0).clamp(0, 1)
        kernel = _kernels.line(RADIUS.at(severity, image), FADES.at(severity, image), angle)
        flakes = _kernels.convolved(flakes, kernel)
        luma = torch.einsum("bchw,c->bhw", image, image.new_tensor((0.299, 0.587, 0.114)))[:, None]
        white = torch.lerp(torch.maximum(image, luma * 1.5 + 0.5), image, STAYS.at(severity, image))
        return white + flakes + flakes.rot90(2, (2, 3))

    return graded(batch, strength, at)


def _magnified(field: Tensor, factor: float) -> Tensor:
    """Its middle at the size of the whole."""
    height, width = field.shape[2:]
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = field[:, :, top : top + rows, left : left + columns]
    return functional.interpolate(middle, (height, width), mode="bilinear", align_corners=True)
