"""What if some pixels were dead, black or white?

Salt and pepper: each channel of each pixel is, with a chance that grows with severity, 0 or 1, as likely one as the
other. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "single pixels, by black and white ones", "all other pixels", True
strengths = STRENGTHS

#: The share of values that are lost.
LOST = Parameter((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    drawn = _noise.uniform(batch, tuple(batch.inputs["image"].shape[1:]), seed=seed, stream="impulse noise")

    def at(image: Tensor, severity: int) -> Tensor:
        lost = LOST.at(severity, image)
        return image.masked_fill(drawn < lost / 2, 0.0).masked_fill(drawn >= 1 - lost / 2, 1.0)

    return graded(batch, strength, at)
