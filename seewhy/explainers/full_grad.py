"""Which places does the score come from, if what each layer adds by itself is counted too?

A network of ReLUs is linear near any image, so its score is a sum over the pixels and over all biases:

    score      = sum image * gradient + sum over layers of sum bias * gradient at that layer
    heat[y, x] = f(image * gradient) + sum over layers and channels of f(bias * gradient)

where f takes the size, scales it to 0 to 1 a channel and enlarges it to the image. Srinivas and Fleuret 2019,
https://arxiv.org/abs/1905.00780, equations 3 and 8. Unlike every other map of the gradient it leaves no part of the
score out; for that it counts each layer as much as any other, and like the gradient of everything it has no sign.
Biases of convolutions and batch norms are counted.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.passes import Evidence, Need
from seewhy.passes.biases import BiasGradient, BiasGradients
from seewhy.types import Question


def needs(*, into: str = "image") -> tuple[Need, ...]:
    """Gradients at one of the inputs and at every layer that adds a bias."""
    return (BiasGradients(into),)


def heat(evidence: Evidence, question: Question, *, into: str = "image") -> Float[Tensor, "batch height width"]:
    """Of no unit, 0 or more; at the size of the input named by `into`."""
    found: BiasGradient = evidence[BiasGradients(into)]
    size = found.input.shape[2:]
    total = _scaled((found.input * found.gradient), size).sum(1)
    for product in found.biases:
        total = total + _scaled(product, size).sum(1)
    return total  # batch, height, width


def _scaled(product: Float[Tensor, "batch channels _ _"], size: torch.Size) -> Float[Tensor, "batch channels _ _"]:
    strength = product.abs()
    low, high = strength.amin((2, 3), keepdim=True), strength.amax((2, 3), keepdim=True)
    scaled = torch.where(high > low, (strength - low) / (high - low).clamp(min=torch.finfo(low.dtype).tiny), 0)
    return functional.interpolate(scaled, size=tuple(size), mode="bilinear", align_corners=False)
