"""How much weaker does the answer get when a patch of the image is covered?

A square slides over the image; a pixel's heat is the mean drop of the question's score over the squares that cover it:

    heat[y, x] = mean over squares m that cover (y, x) of ( score(image) - score(image with m covered) )

Zeiler and Fergus 2013, https://arxiv.org/abs/1311.2901. Unlike the gradient it makes a real change and sees its whole
effect, with a sign: where the score rises the heat is negative. It costs one forward pass a square. It fails where
the answer stands in two places, either of which is enough, and it asks about images that nobody has seen: a flat square
is itself a shape. Compare fillings before believing a map. Of the shared table it reads the cells that were covered
alone: squares that do not overlap.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, Squares, Stars
from seewhy.passes.masks import MaskScores, MaskTable
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    patch: int | None = None,
    stride: int | None = None,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score under each square; `patch` and `stride` in pixels, by default by the size of the image."""
    return (MaskScores(SHARED if design == "shared" else Squares(patch, stride), fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    patch: int | None = None,
    stride: int | None = None,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`."""
    (need,) = needs(design=design, patch=patch, stride=stride, fill=fill, into=into)
    table: MaskTable = evidence[need]
    if design == "shared":
        stars = Stars.of(table)
        return stars.masks.lay(stars.effects[0])
    drops = table.baseline - table.scores  # squares, batch
    return table.spread(drops) / table.spread(drops.new_ones(drops.shape)).clamp(min=1)
