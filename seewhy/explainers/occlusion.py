"""How much weaker does the answer get when a patch of the image is covered?

A square slides over the image; a pixel's heat is the mean drop of the question's score over the squares that cover it:

    heat[y, x] = mean over squares m that cover (y, x) of ( score(image) - score(image with m covered) )

Zeiler and Fergus 2013, https://arxiv.org/abs/1311.2901. Unlike the gradient it makes a real change and sees its whole
effect, with a sign: where the score rises the heat is negative. It costs one forward pass a square. It fails where
the answer stands in two places, either of which is enough, and it asks about images that nobody has seen: a flat square
is itself a shape. Compare fillings before believing a map.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.masks import MaskScores, MaskTable, Squares
from seewhy.types import Question


def needs(
    *,
    patch: int | None = None,
    stride: int | None = None,
    fill: Literal["mean", "black", "blur"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score under each square; `patch` and `stride` in pixels, by default by the size of the image."""
    return (MaskScores(Squares(patch, stride), fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    patch: int | None = None,
    stride: int | None = None,
    fill: Literal["mean", "black", "blur"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`."""
    table: MaskTable = evidence[MaskScores(Squares(patch, stride), fill, into)]
    drops = table.baseline - table.scores  # squares, batch
    return table.spread(drops) / table.spread(drops.new_ones(drops.shape)).clamp(min=1)
