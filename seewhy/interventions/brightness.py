"""What if the image were brighter?

The largest of a pixel's three channels grows, the other two in proportion: hue and saturation stay, until it is cut off
at 1. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the brightness", "shapes, hue and saturation", True
strengths = STRENGTHS

#: Added to the value (of hue, saturation, value).
ADDED = Parameter((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        value = image.amax(1, keepdim=True)
        brighter = (value + ADDED.at(severity, image)).clamp(max=1)
        return torch.where(value > 0, image * brighter / value.clamp(min=1e-6), brighter)

    return graded(batch, strength, at)
