"""What if there were hardly any contrast?

Each channel is drawn towards its mean over the image. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the contrast", "shapes and the mean colour", True
strengths = STRENGTHS

#: The share of the contrast that stays.
STAYS = Parameter((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        mean = image.mean((2, 3), keepdim=True)
        return mean + STAYS.at(severity, image) * (image - mean)

    return graded(batch, strength, at)
