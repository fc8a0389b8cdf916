"""What if the image were out of focus?

The mean over a disc. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions import _kernels
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by a lens out of focus", "large shapes and colours", True
strengths = STRENGTHS

#: The disc, and how soft its edge is, in pixels.
RADIUS = Parameter((0.3, 0.4, 0.5, 1.0, 1.5), (3, 4, 6, 8, 10), pixels=True)
SOFT = Parameter((0.4, 0.5, 0.6, 0.2, 0.1), (0.1, 0.5, 0.5, 0.5, 0.5), pixels=True)


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        kernel = _kernels.disc(RADIUS.at(severity, image), SOFT.at(severity, image), like=image)
        return _kernels.convolved(image, kernel)

    return graded(batch, strength, at)
