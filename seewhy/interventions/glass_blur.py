"""What if the image were seen through frosted glass?

Blurred, each pixel taken from a random near one, and blurred again. Severities of ImageNet-C and CIFAR-10-C
(`_severity.py`). The published form swaps pixels one after the other over the image, so that one may be carried along;
here all are drawn at once, twice for each of its rounds, which moves them about as far.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.passes.fillings import blurred
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by pixels in disorder", "large shapes and colours", True
strengths = STRENGTHS

#: The blur and how far a pixel is taken from, in pixels; and how often.
SIGMA = Parameter((0.05, 0.25, 0.4, 0.25, 0.4), (0.7, 0.9, 1.0, 1.1, 1.5), pixels=True)
FARTHEST = Parameter((1, 1, 1, 1, 1), (1, 2, 2, 3, 4), pixels=True)
ROUNDS = Parameter((1, 1, 1, 2, 2), (2, 1, 3, 2, 2))


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""

    def at(image: Tensor, severity: int) -> Tensor:
        sigma = SIGMA.at(severity, image)
        seen = blurred(image, sigma=sigma)
        farthest = max(1, round(FARTHEST.at(severity, image)))
        for again in range(2 * round(ROUNDS.at(severity, image))):
            size = (image.shape[2], image.shape[3])
            drawn = _noise.uniform(batch, (2, *size), seed=seed, stream=f"glass blur {again}")
            seen = _from_near(seen, (drawn * (2 * farthest + 1)).floor().long() - farthest)
        return blurred(seen, sigma=sigma)

    return graded(batch, strength, at)


def _from_near(image: Tensor, offset: Tensor) -> Tensor:
    """Each pixel from where its offset in pixels (batch, (down, across), height, width) points, kept inside."""
    height, width = image.shape[2:]
    rows = (torch.arange(height, device=image.device)[:, None] + offset[:, 0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=image.device) + offset[:, 1]).clamp(0, width - 1)
    place = (rows * width + columns).flatten(1)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, place).view_as(image)
