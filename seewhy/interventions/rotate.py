"""What if the image were turned a little?

By `strength` degrees about the middle, clockwise or against the clock as drawn by the id. The corners show what lies
beyond the border in a mirror, so that no black wedge gives the change away. Pixels are bilinear means, so the image
also gets a little softer: what a slight blur does to the answer is no effect of turning. A box grows to hold its
turned corners.
"""

from __future__ import annotations

import math

import torch

from seewhy import chance
from seewhy.interventions._moving import warped
from seewhy.types import Batch

changes, keeps, exact = "which way up everything is", "what is there, its size and colours", True
strengths = (5.0, 10.0, 20.0)


def apply(batch: Batch, *, strength: float = 10.0, seed: int = 0) -> Batch:
    """Strength 0 changes nothing."""
    if strength == 0:
        return batch
    coin = chance.uniform(chance.keys(batch.ids), seed=seed, stream="rotate")[:, 0] < 0.5
    angle = torch.where(coin, 1.0, -1.0).double() * math.radians(strength)
    cosine, sine = angle.cos(), angle.sin()
    maps = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)  # batch, 2, 2
    return warped(batch, maps)
