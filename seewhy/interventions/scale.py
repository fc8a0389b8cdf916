"""What if everything in the image were larger?

About the middle, by `strength`: 0.2 is a fifth larger, -0.2 a fifth smaller. What grows over the border is lost; around
a smaller image it goes on in a mirror, so that no black frame gives the change away. Pixels are bilinear means.
"""

from __future__ import annotations

import torch

from seewhy.interventions._moving import warped
from seewhy.types import Batch

changes, keeps, exact = "how large everything is", "what is there, its shape and colours", True
strengths = (0.1, 0.2, 0.4)


def apply(batch: Batch, *, strength: float = 0.2, seed: int = 0) -> Batch:
    """Strength 0 changes nothing. Raises ValueError for -1 or less, which leaves nothing."""
    if strength <= -1:
        raise ValueError(f"The intervention 'scale' has strength {strength:g}; it must be above -1")
    if strength == 0:
        return batch
    return warped(batch, (1 + strength) * torch.eye(2).expand(len(batch), 2, 2))
