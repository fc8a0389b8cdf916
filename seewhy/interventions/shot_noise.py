"""What if there were so little light that single photons counted?

A value x becomes a count, Poisson with mean `photons` * x, divided by `photons`: brighter pixels are noisier.
Severities of ImageNet-C and CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "single pixels, by the noise of light itself", "what the image shows", True
strengths = STRENGTHS

#: How many photons white is.
PHOTONS = Parameter((500, 250, 100, 75, 50), (60, 25, 12, 5, 3))
#: Up to this mean counts are exact; beyond it they are a quantile of their expansion in normal ones.
FEW = 4.0


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    drawn = _noise.uniform(batch, tuple(batch.inputs["image"].shape[1:]), seed=seed, stream="shot noise")

    def at(image: Tensor, severity: int) -> Tensor:
        photons = PHOTONS.at(severity, image)
        return counts(photons * image, drawn) / photons

    return graded(batch, strength, at)


def counts(mean: Float[Tensor, "*shape"], drawn: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Poisson counts from uniform numbers: the smallest k with P(X <= k) > u.

    Few are counted up one by one. For many (Cornish and Fisher 1938), with z the normal quantile of u and m the mean,

        k = round(m + sqrt(m) z + (z^2 - 1) / 6 + (z - z^3) / (72 sqrt(m)))
    """
    few = mean.clamp(max=FEW)
    chance = torch.exp(-few)
    cumulative, found = chance.clone(), torch.zeros_like(mean)
    highest = float(few.amax()) if few.numel() else 0.0
    for count in range(1, int(highest + 6 * highest**0.5 + 4)):
        found += drawn >= cumulative
        chance.mul_(few).div_(count)
        cumulative += chance
    z = torch.special.ndtri(drawn.clamp(min=2.0**-25))
    root = mean.clamp(min=FEW).sqrt()
    many = mean + root * z + (z.square() - 1) / 6 + (z - z**3) / (72 * root)
    return torch.where(mean < FEW, found, many.round().clamp(min=0))
