"""Which pixels would change the answer most, once the speckle of the gradient is averaged out?

    heat[y, x] = sum_c | mean over noise of d score / d image[c, y, x] |

Smilkov and others 2017, https://arxiv.org/abs/1706.03825, equation 1. Unlike the gradient it is that of a smoothed
score: what changes from one nearly equal image to the next cancels. It costs a pass a sample, which it shares with
`var_grad` and `square_grad`, and how much noise is right nobody knows beforehand.
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
    """Logits a unit of brightness, 0 or more, at the size of the input named by `into`."""
    found: NoisyGradient = evidence[NoisyGradients(into, samples, spread, seed)]
    return found.mean.abs().sum(1)  # batch, height, width
