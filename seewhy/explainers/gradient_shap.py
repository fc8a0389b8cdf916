"""How much does each pixel add to the score, on average over ways from a black image to shaken copies of this one?

    heat[y, x] = sum_c mean over t in [0, 1] and noise of
                 (image + noise - start)[c, y, x] * d score / d image at start + t (image + noise - start)

Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874; Erion and others 2019, https://arxiv.org/abs/1906.10670,
equation 4. Unlike integrated gradients, whose places on the way are evenly set, these are drawn at random, one a
sample, and the noise smooths what is found. It adds up to the change of the score only on average.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.path import ExpectedGradient, ExpectedGradients
from seewhy.types import Question


def needs(
    *,
    fill: Literal["black", "mean", "blur"] = "black",
    samples: int = 16,
    spread: float = 0.1,
    seed: int = 0,
    into: str = "image",
) -> tuple[Need, ...]:
    """Gradients at random places on the way; `spread` is the noise as a share of the range of the image's values."""
    return (ExpectedGradients(into, fill, samples, spread, seed),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    fill: Literal["black", "mean", "blur"] = "black",
    samples: int = 16,
    spread: float = 0.1,
    seed: int = 0,
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: ExpectedGradient = evidence[ExpectedGradients(into, fill, samples, spread, seed)]
    return found.attribution.sum(1)  # batch, height, width
