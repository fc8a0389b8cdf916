"""How much does each pixel add to the score, on the way from a black image to this one?

    heat[y, x] = sum_c (image - start)[c, y, x] * mean over t in [0, 1] of
                 d score / d image[c, y, x] at start + t (image - start)

Sundararajan and others 2017, https://arxiv.org/abs/1703.01365, equation 1. The heat adds up to score(image) -
score(start). That is used as the measure of enough: steps are doubled until it holds to within `tolerance` (a share of
the difference) or `most` are made. Unlike input x gradient it sees what the network has long since made up its mind
about. It depends on the start: where the image is as the start is, there is never any heat.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.path import PathGradient, PathGradients
from seewhy.types import Question


def needs(
    *,
    fill: Literal["black", "mean", "blur"] = "black",
    tolerance: float = 0.01,
    most: int = 256,
    steps: int | None = None,
    into: str = "image",
) -> tuple[Need, ...]:
    """The mean gradient on the way; with `steps` so many, else as many as `tolerance` asks for."""
    return (PathGradients(into, fill, tolerance, most, steps),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    fill: Literal["black", "mean", "blur"] = "black",
    tolerance: float = 0.01,
    most: int = 256,
    steps: int | None = None,
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: PathGradient = evidence[PathGradients(into, fill, tolerance, most, steps)]
    return ((found.input - found.start) * found.gradient).sum(1)  # batch, height, width
