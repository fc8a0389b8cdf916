"""What if the camera had moved?

A streak in a direction of the image's own, up to 45 degrees off the horizontal. Severities of ImageNet-C and CIFAR-10-C
(`_severity.py`).
"""

from __future__ import annotations

import math

from torch import Tensor

from seewhy.interventions import _kernels, _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by a camera in motion", "large shapes and colours", True
strengths = STRENGTHS

#: Half of the longest streak, and how it fades, in pixels.
RADIUS = Parameter((6, 6, 6, 8, 9), (10, 15, 15, 15, 20), pixels=True)
FADES = Parameter((1.0, 1.5, 2.0, 2.0, 2.5), (3, 5, 8, 12, 15), pixels=True)


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    angle = (_noise.uniform(batch, (), seed=seed, stream="motion blur") - 0.5) * math.pi / 2

    def at(image: Tensor, severity: int) -> Tensor:
        kernel = _kernels.line(RADIUS.at(severity, image), FADES.at(severity, image), angle)
        return _kernels.convolved(image, kernel)

    return graded(batch, strength, at)
