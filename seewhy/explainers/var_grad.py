"""At which pixels does the network change its mind about what matters, if the image is shaken a little?

    heat[y, x] = sum_c variance over noise of d score / d image[c, y, x]

Adebayo and others 2018, https://arxiv.org/abs/1810.03307, section 3. Unlike SmoothGrad it is blind to a gradient that
stays the same: where a network is linear there is no heat at all.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.noise import NoisyGradient, NoisyGradients
from seewhy.types import Question


def needs(
    *,
    samples: int = 16,
    spread: float = 0.15,
    seed: int = 0,
    into: str = "image",
) -> tuple[Need, ...]:
    """Gradients at noisy copies; `spread` is the noise as a share of the range of the image's values."""
    return (NoisyGradients(into, samples, spread, seed),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    samples: int = 16,
    spread: float = 0.15,
    seed: int = 0,
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Squared logits a unit of brightness, 0 or more, at the size of the input named by `into`."""
    found: NoisyGradient = evidence[NoisyGradients(into, samples, spread, seed)]
    return found.variance.sum(1)  # batch, height, width
