"""How much weaker does the answer get without each superpixel of the image?

    heat[y, x] = score(image) - score(image with the superpixel of (y, x) covered)

What captum calls feature ablation, over segments that follow the image (SLIC: Achanta and others 2012,
https://doi.org/10.1109/TPAMI.2012.120). Unlike occlusion it covers things rather than squares, each once. It costs a
forward pass a segment, and shares occlusion's blindness for what stands in two places. Over the shared table, whose
segments are the cells of a grid, it is occlusion by cells.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, Flips, Stars
from seewhy.passes.masks import MaskScores
from seewhy.passes.segments import Segments
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score without each of `side` x `side` segments."""
    own = Flips(Segments(side, side, cut), centres=1)
    return (MaskScores(SHARED if design == "shared" else own, fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`."""
    (need,) = needs(design=design, side=side, cut=cut, fill=fill, into=into)
    stars = Stars.of(evidence[need])
    return stars.masks.lay(stars.effects[0])
