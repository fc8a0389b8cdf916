"""What if only fine structure were left?

The image less its coarse part, a Gaussian of which half remains at so many waves across the image, plus the mean
colour: edges and texture stay, and how light or coloured large areas are is gone.
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions._kernels import coarse
from seewhy.interventions._severity import STRENGTHS, graded
from seewhy.types import Batch

changes, keeps, exact = "coarse structure and colours", "fine structure", True
strengths = STRENGTHS

#: At how many waves across the image half is left, at strengths 1 to 5.
WAVES = (0.5, 1.0, 2.0, 4.0, 8.0)


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` from 0, unchanged, to 5. What would leave 0 to 1 is cut off."""

    def at(image: Tensor, severity: int) -> Tensor:
        return image - coarse(image, WAVES[severity - 1]) + image.mean((2, 3), keepdim=True)

    return graded(batch, strength, at)
