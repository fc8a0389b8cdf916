"""How evenly heat is spread."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def entropy(heat: Float[Tensor, "maps batch height width"]) -> Float[Tensor, "maps batch"]:
    """-sum p ln p / ln pixels of p = |heat| / sum |heat|: 0 one pixel, 1 all alike; NaN for a map of zeros."""
    size = heat.abs().flatten(2)
    total = size.sum(2, keepdim=True)
    share = size / total
    return torch.where(total[..., 0] > 0, torch.special.entr(share).sum(2) / math.log(size.shape[2]), torch.nan)
