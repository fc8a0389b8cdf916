"""What is each superpixel's fair share of the answer, if they joined in every possible order?

The Shapley value of each segment, by the regression of which it is the solution:

    heat[y, x] = phi of the segment of (y, x), of  min sum_S kernel(S) (score(S) - score(none) - sum_{i in S} phi_i)^2
    kernel(S)  = (n - 1) / (C(n, |S|) |S| (n - |S|)),  sum phi = score(all) - score(none)

Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874, theorem 2; coalitions in pairs of opposites after Covert and
Lee 2020, https://arxiv.org/abs/2012.01536. With few segments every coalition is tried and the values are exact. Unlike
LIME's weights these follow from axioms, and the heat adds up over segments. A fair share is not a cause: of two things
either of which is enough, each gets half. Over the shared table the value is the mean effect of a segment over shares
covered from none to all (Owen 1972, https://doi.org/10.1287/mnsc.18.5.64).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, Coalitions, SegmentMasks, Stars
from seewhy.passes.masks import MaskScores, MaskTable
from seewhy.passes.segments import Segments
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 2048,
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score of so many coalitions of `side` x `side` segments, or of all."""
    own = Coalitions(Segments(side, side, cut), masks, seed)
    return (MaskScores(SHARED if design == "shared" else own, fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 2048,
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, the same on a whole segment, at the size of the input named by `into`."""
    (need,) = needs(design=design, masks=masks, side=side, cut=cut, seed=seed, fill=fill, into=into)
    table: MaskTable = evidence[need]
    drawn = table.masks
    assert isinstance(drawn, SegmentMasks)
    return drawn.lay(_over_shares(Stars.of(table)) if design == "shared" else _regressed(table, drawn))


def _regressed(table: MaskTable, drawn: SegmentMasks) -> Float[Tensor, "segments batch"]:
    """The weighted least squares with the sum held fixed, by its normal equations."""
    tried = slice(1, len(table.scores))  # the first mask covers everything
    seen, weights = 1 - drawn.codes[tried].double(), drawn.weights[tried, None].double()
    none = table.scores[0].double()
    count = seen.shape[1]
    equations = seen.new_ones(count + 1, count + 1)
    equations[:count, :count] = seen.T @ (weights * seen) / max(1, len(seen))
    equations[count, count] = 0
    right = seen.T @ (weights * (table.scores[tried] - none)) / max(1, len(seen))
    right = torch.cat([right, (table.baseline - none)[None]])
    return (torch.linalg.pinv(equations, hermitian=True) @ right)[:count].to(table.scores)


def _over_shares(stars: Stars) -> Float[Tensor, "segments batch"]:
    """The integral of a segment's mean effect over the chance of the others to be covered."""
    if len(stars.centres) < 2:
        return stars.effects[0]
    chances, order = SHARED.chances()[: len(stars.centres)].sort()
    return torch.trapezoid(stars.effects[order.to(stars.effects.device)], chances.to(stars.effects), dim=0)
