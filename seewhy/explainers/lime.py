"""Which superpixels does a linear model need, to answer as the network does near this image?

Random halves of the image's segments are covered, and a ridge regression is fitted to the scores:

    weight(m)  = exp( -d(m)^2 / (2 width^2) ),  d(m) = 1 - sqrt(share of segments seen)
    heat[y, x] = coefficient of the segment of (y, x), of  min sum_m weight(m) (score(m) - a - b . seen(m))^2 + |b|^2

Ribeiro and others 2016, https://arxiv.org/abs/1602.04938, equation 2, with the distance (cosine to the whole image),
the width and the ridge of the authors' own code for images. Unlike KernelSHAP its weights are a choice, and with them
the map changes. It is as good as the linear model is, which nobody sees from the map. Over the shared table the model
has a constant of its own at each centre, so that b is the mean effect of a segment, weighted, where about half is
covered.
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
    masks: int = 1000,
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score under so many random halves of `side` x `side` segments."""
    own = Subsets(Segments(side, side, cut), masks, seed)
    return (MaskScores(SHARED if design == "shared" else own, fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 1000,
    side: int = 7,
    cut: Literal["superpixels", "grid"] = "superpixels",
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
    width: float = 0.25,
    ridge: float = 1.0,
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; `width` is of the kernel, `ridge` weighs |b|^2."""
    (need,) = needs(design=design, masks=masks, side=side, cut=cut, seed=seed, fill=fill, into=into)
    table: MaskTable = evidence[need]
    drawn = table.masks
    assert isinstance(drawn, SegmentMasks)
    if design == "shared":
        stars = Stars.of(table).about_half()
        weights = _nearness(1 - stars.centres, width)[:, None, None]
        return drawn.lay((weights * stars.effects).sum(0) / (weights.sum() + ridge))
    whole = drawn.codes.new_zeros(1, drawn.codes.shape[1])
    seen = 1 - torch.cat([whole, drawn.codes[: len(table.scores)]]).double()  # masks, segments
    scores = torch.cat([table.baseline[None], table.scores]).double()  # masks, batch
    weights = _nearness(seen, width)[:, None]
    seen, scores = (x - (weights * x).sum(0) / weights.sum() for x in (seen, scores))  # the constant, taken out
    squares = seen.T @ (weights * seen) + ridge * torch.eye(seen.shape[1]).to(seen)
    found = torch.linalg.solve(squares, seen.T @ (weights * scores))
    return drawn.lay(found.to(table.scores))


def _nearness(seen: Float[Tensor, "masks segments"], width: float) -> Float[Tensor, " masks"]:
    """The weight of a mask, by the cosine between what it shows and everything."""
    distance = 1 - seen.mean(1).sqrt()
    return (-distance.square() / (2 * width**2)).exp()
