"""What if there were fog?

Clouds are added, and the sum is brought back to the image's own brightest value. Severities of ImageNet-C and
CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "the air, by fog", "the scene behind it", True
strengths = STRENGTHS

#: How much fog, and how much finer clouds are fainter.
AMOUNT = Parameter((0.2, 0.5, 0.75, 1.0, 1.5), (1.5, 2.0, 2.5, 2.5, 3.0))
DECAY = Parameter((3.0, 3.0, 2.5, 2.0, 1.75), (2.0, 2.0, 1.7, 1.5, 1.4))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        size = (image.shape[2], image.shape[3])
        amount = AMOUNT.at(severity, image)
        most = image.amax((1, 2, 3), keepdim=True)
        clouds = _noise.plasma(batch, size, DECAY.at(severity, image), seed=seed, stream="fog")
        return (image + amount * clouds) * most / (most + amount)

    return graded(batch, strength, at)
