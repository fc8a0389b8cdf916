"""How soon is the answer there when the hottest pixels are shown first?

The mean score while ever more pixels, hottest first, are laid on the filling, as a share of what all of them give:
1 at once to 0 not before the end. It is one less deletion of the coldest first, so it costs as much.

Petsiuk, Das and Saenko 2018, https://arxiv.org/abs/1806.07421; the blurred image is their canvas.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._curves import share_left
from seewhy.measures._trial import Trial

better = "higher"


def measure(
    trial: Trial, *, steps: int = 16, fill: Literal["mean", "black", "blur"] = "blur"
) -> Float[Tensor, "maps batch"]:
    """`steps` forward passes a map and example."""
    return share_left(trial, steps, fill, hottest_first=False)
