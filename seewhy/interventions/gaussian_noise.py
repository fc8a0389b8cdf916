"""What if the sensor were noisy, as in the dark?

Gaussian noise, every channel of every pixel on its own. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "single pixels, by Gaussian noise", "what the image shows", True
strengths = STRENGTHS

#: Standard deviation, of the range 0 to 1.
DEVIATION = Parameter((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    drawn = _noise.gaussian(batch, tuple(batch.inputs["image"].shape[1:]), seed=seed, stream="gaussian noise")

    def at(image: Tensor, severity: int) -> Tensor:
        return image + DEVIATION.at(severity, image) * drawn

    return graded(batch, strength, at)
