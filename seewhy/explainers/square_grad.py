"""Which pixels can change the answer most, in whatever direction, if the image is shaken a little?

    heat[y, x] = sum_c mean over noise of ( d score / d image[c, y, x] )^2

Hooker and others 2019, https://arxiv.org/abs/1806.10758, section 3. Unlike SmoothGrad gradients of changing sign do not
cancel; the square lets few pixels take most of the heat. It is `var_grad` plus the square of the mean.
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
    return found.square.sum(1)  # batch, height, width
