"""What if only coarse structure were left?

A Gaussian of which half remains at so many waves across the image: the finer something is, the less of it
stays. What a mark or a texture has that a shape has not goes first.
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions._kernels import coarse
from seewhy.interventions._severity import STRENGTHS, graded
from seewhy.types import Batch

changes, keeps, exact = "fine structure", "coarse structure and colours", True
strengths = STRENGTHS

#: At how many waves across the image half is left, at strengths 1 to 5.
WAVES = (16.0, 8.0, 4.0, 2.0, 1.0)


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` from 0, unchanged, to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        return coarse(image, WAVES[severity - 1])

    return graded(batch, strength, at)
