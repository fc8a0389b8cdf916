"""What if the image had fewer pixels?

Scaled down and up again, each new pixel the mean of what it covers, so that one across two old ones takes its share of
both. Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by large pixels", "large shapes and colours", True
strengths = STRENGTHS

#: The share of the side that stays.
STAYS = Parameter((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        height, width = image.shape[2:]
        stays = STAYS.at(severity, image)
        down, across = (_there_and_back(side, max(1, int(side * stays))).to(image) for side in (height, width))
        return down @ image @ across.mT

    return graded(batch, strength, at)


def _there_and_back(side: int, fewer: int) -> Float[Tensor, "side side"]:
    """What share each old pixel along a side has in each new one, after both steps."""
    return _covering(fewer, side) @ _covering(side, fewer)


def _covering(old: int, new: int) -> Float[Tensor, "new old"]:
    """What share of each new pixel along a side each old one covers."""
    edge = torch.arange(new + 1) * (old / new)
    start = torch.arange(old)
    left, right = torch.maximum(edge[:-1, None], start), torch.minimum(edge[1:, None], start + 1)
    return (right - left).clamp(min=0) * (new / old)
