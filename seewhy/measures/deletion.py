"""How soon is the answer gone when the hottest pixels are taken away first?

The mean score while ever more pixels, hottest first, show the filling, as a share of what taking all away costs:

    mean over k of (score_k - score_all) / (score_0 - score_all),    0 at once to 1 not before the end

Petsiuk, Das and Saenko 2018, https://arxiv.org/abs/1806.07421, on the question's score (log-odds or logits), where
they took the probability, which stands still near 1. Images with holes are unlike any the network has seen, so a low
value may also mean that the map finds what confuses it. NaN where the score is no higher on the whole image.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._curves import share_left
from seewhy.measures._trial import Trial

better = "lower"


def measure(
    trial: Trial, *, steps: int = 16, fill: Literal["mean", "black", "blur"] = "mean"
) -> Float[Tensor, "maps batch"]:
    """`steps` forward passes a map and example."""
    return share_left(trial, steps, fill, hottest_first=True)
