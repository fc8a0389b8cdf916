"""Does the score depend at all, in any way, on whether this part of the image is seen?

The Hilbert-Schmidt independence criterion between a cell's being seen, z, and the score:

    heat[y, x] = 1/n^2 sum over masks a, b of k(z_a, z_b) (H L H)_ab,  k = 2 (z_a - 1/2) (z_b - 1/2)
    L_ab       = exp( -(score_a - score_b)^2 / (2 width^2) ),  width = median |score_a - score_b|,  H centres

Novello and others 2022, https://arxiv.org/abs/2206.06219. Unlike the Sobol index it sees the whole
distribution of the score, not only its variance, and needs fewer passes. It has no sign, and chance alone gives it
about 1/n. Over the shared table each cell is seen and covered as often, all else alike, where about half is covered.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, SegmentMasks, Stars, Subsets
from seewhy.passes.masks import MaskScores, MaskTable
from seewhy.passes.segments import Segments
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 1500,
    side: int = 7,
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score under so many random halves of `side` x `side` cells."""
    own = Subsets(Segments(side, side), masks, seed)
    return (MaskScores(SHARED if design == "shared" else own, fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 1500,
    side: int = 7,
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """0 or more, without a unit, at the size of the input named by `into`."""
    (need,) = needs(design=design, masks=masks, side=side, seed=seed, fill=fill, into=into)
    table: MaskTable = evidence[need]
    drawn = table.masks
    assert isinstance(drawn, SegmentMasks)
    widths = [(scores[:, None] - scores).abs().median() for scores in table.scores.T]
    if design == "own":
        seen = drawn.codes[: len(table.scores)] - 0.5  # masks, segments; which way round is all the same
        found = [_dependence(seen, scores, width) for scores, width in zip(table.scores.T, widths, strict=True)]
        return drawn.lay(torch.stack(found, 1))
    stars = Stars.of(table).about_half()
    both = torch.cat([stars.seen, stars.seen - stars.effects])  # twice the centres, segments, batch
    seen = both.new_ones(len(both), 1) / 2
    seen[len(both) // 2 :] *= -1
    values = [
        torch.cat([_dependence(seen, scores, width) for scores in example.T])
        for example, width in zip(both.movedim(2, 0), widths, strict=True)
    ]
    return drawn.lay(torch.stack(values, 1))


def _dependence(
    seen: Float[Tensor, "masks segments"], scores: Float[Tensor, " masks"], width: Float[Tensor, ""]
) -> Float[Tensor, " segments"]:
    """The criterion for each segment; `seen` is a half for masks of one kind and minus a half for the other."""
    alike = (-((scores[:, None] - scores) / width.clamp(min=1e-12)).square() / 2).exp()
    centred = seen - seen.mean(0)
    return (2 * (centred * (alike @ centred)).sum(0) / len(scores) ** 2).clamp(min=0)
