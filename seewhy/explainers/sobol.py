"""How much of the score's ups and downs, when everything is half hidden, goes back to this part of the image?

The total Sobol index of each cell of a grid whose cells are covered by more or less, by Jansen's estimate:

    heat[y, x] = mean over points a of ( score(a) - score(a, its cell (y, x) exchanged) )^2 / (2 variance of score)

Fel and others 2021, https://arxiv.org/abs/2111.04138, section 3. Unlike occlusion it counts what a cell does
together with others, and without a sign: a cell that speaks against the answer is as hot. It costs a pass a point and
cell. Over the shared table cells are turned wholly on and off, where about half is covered.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, Exchanges, Stars
from seewhy.passes.masks import MaskScores
from seewhy.passes.segments import Segments
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    points: int = 32,
    side: int = 11,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score at so many points, and with each of `side` x `side` cells exchanged there."""
    own = Exchanges(Segments(side, side), points)
    return (MaskScores(SHARED if design == "shared" else own, fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    points: int = 32,
    side: int = 11,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """A share of the variance, 0 or more, at the size of the input named by `into`; 0 where nothing varies."""
    (need,) = needs(design=design, points=points, side=side, fill=fill, into=into)
    stars = Stars.of(evidence[need])
    stars = stars.about_half() if design == "shared" else stars
    squares = (stars.turned - stars.at_centre[:, None]).square().mean(0)  # segments, batch
    squares = squares / 2 if design == "shared" else squares  # another value drawn is a turned one half the time
    scores = torch.cat([stars.at_centre[:, None], stars.turned], 1).flatten(0, 1)
    variance = scores.var(0, unbiased=False)
    return stars.masks.lay(torch.where(variance > 0, squares / (2 * variance), 0.0))
