"""What is the least that must be blurred for the answer to fall?

A mask is found by descent, coarse and smooth so that it cannot draw a pattern that only this network sees:

    heat = argmin over m in [0, 1] of  score(image with m blurred) / fall + area * mean(m) + rough * mean |dm|^3
    fall = score(image) - score(all blurred)

Fong and Vedaldi 2017, https://arxiv.org/abs/1704.03296, equations 3 and 4, with three differences: the score is one in
logits, hence divided by how far it can fall; area and roughness are means over cells, not sums; the image is not
jittered. Unlike occlusion nobody chooses a patch: the mask takes the shape of what counts. It costs a forward and a
backward pass a step, its weights are a choice, and of parts either of which is enough it must take all. It has no use
for the shared table.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.perturbing import LeastCover, OptimisedMask
from seewhy.types import Question


def needs(
    *,
    fill: Literal["mean", "black", "blur"] = "blur",
    side: int = 28,
    steps: int = 300,
    area: float = 1.0,
    rough: float = 1.0,
    into: str = "image",
) -> tuple[Need, ...]:
    """A mask of `side` cells a side, at most half the image's pixels, after at most so many steps."""
    return (OptimisedMask(into, fill, side, steps, area=area, rough=rough),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    fill: Literal["mean", "black", "blur"] = "blur",
    side: int = 28,
    steps: int = 300,
    area: float = 1.0,
    rough: float = 1.0,
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """How much of each cell is blurred, 0 to 1, at the size of the mask."""
    found: LeastCover = evidence[OptimisedMask(into, fill, side, steps, area=area, rough=rough)]
    return found.cover
