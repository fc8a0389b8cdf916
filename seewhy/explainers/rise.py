"""How well can the answer be given when this pixel happens to be seen, whatever else is hidden?

The image is shown through random windows; a pixel's heat is the mean score of those that show it:

    heat[y, x] = mean over windows m of ( score(image through m) - mean score ) * m[y, x] / share

Petsiuk and others 2018, https://arxiv.org/abs/1806.07421, equation 6, of scores less their mean: that takes the same
number from every pixel, so the map is theirs, and half the noise goes, as a score in logits is not near 0 like a
probability. Unlike occlusion it sees what stands in two places. It costs thousands of passes, is noise where they are
few, and never sharper than a window. Over the shared table it is the mean effect of a cell where about half is covered.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.designs import SHARED, Stars, Windows
from seewhy.passes.masks import MaskScores, MaskTable
from seewhy.types import Question


def needs(
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 4000,
    side: int = 7,
    share: float = 0.5,
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> tuple[Need, ...]:
    """The score through so many windows, of `side` x `side` cells, each seen with the probability `share`."""
    return (MaskScores(SHARED if design == "shared" else Windows(side, masks, share, seed), fill, into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    design: Literal["own", "shared"] = "own",
    masks: int = 4000,
    side: int = 7,
    share: float = 0.5,
    seed: int = 0,
    fill: Literal["mean", "black", "blur", "inpaint"] = "mean",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits above the mean of all windows, at the size of the input named by `into`."""
    (need,) = needs(design=design, masks=masks, side=side, share=share, seed=seed, fill=fill, into=into)
    table: MaskTable = evidence[need]
    if design == "shared":
        stars = Stars.of(table).about_half()
        return stars.masks.lay(stars.effects.mean(0) / 2)  # seen half the time: half the effect above the mean
    above = table.scores - table.scores.mean(0)  # windows, batch
    return -table.spread(above) / (share * len(above))  # what is seen is 1 less what is covered, and `above` sums to 0
