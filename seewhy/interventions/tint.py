"""What if another scanner or camera had cast its colour?

White balance that is off: the channels are multiplied by 1 + `strength` x 0.04 x the cast's sign, so that black stays
black. At strength 5 white turns to (1, 1, .8) for a warm cast. One cast for all images, as one device has.
"""

from __future__ import annotations

from torch import Tensor

from seewhy.interventions._severity import STRENGTHS, graded
from seewhy.shelf import nearest
from seewhy.types import Batch

changes, keeps, exact = "the colour cast", "shapes and contrast", True
nuisance = True
strengths = STRENGTHS

#: Red, green and blue.
CASTS = {"warm": (1.0, 0.0, -1.0), "cold": (-1.0, 0.0, 1.0), "green": (-0.7, 0.7, -0.7), "magenta": (0.7, -0.7, 0.7)}
STEP = 0.04


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0, cast: str = "warm") -> Batch:
    """Images in [0, 1]; `strength` from 0 to 5. Raises ValueError for a cast that is none."""
    if cast not in CASTS:
        raise ValueError(f"No cast {cast!r}. {nearest(cast, CASTS)}There are: {', '.join(CASTS)}.")

    def at(image: Tensor, severity: int) -> Tensor:
        return image * (1 + severity * STEP * image.new_tensor(CASTS[cast]))[:, None, None]

    return graded(batch, strength, at)
