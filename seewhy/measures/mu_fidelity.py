"""Is what the map says of parts of the image in step with what the score loses with them?

The correlation, over random subsets of cells, of the sum of heat they cover and the drop of the score when they show
the filling: -1 to 1. Bhatt, Weller and Moura 2020, https://arxiv.org/abs/2005.00631. It knows no scale, so it suits
maps that are no shares of the score. NaN for a map, or a score, that is the same for every subset.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._covering import said_and_lost
from seewhy.measures._likeness import correlation
from seewhy.measures._trial import Trial

better = "higher"


def measure(
    trial: Trial,
    *,
    count: int = 128,
    grid: int = 8,
    share: float = 0.25,
    fill: Literal["mean", "black", "blur"] = "mean",
) -> Float[Tensor, "maps batch"]:
    """`count` forward passes an example, for all maps together and for `infidelity` too; each covers about `share`."""
    return correlation(*said_and_lost(trial, count, grid, share, fill))
