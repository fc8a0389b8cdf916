"""How far is the map, at its best scale, from telling what the score loses with parts of the image?

With a the sum of heat over a random subset of cells and b the drop of the score when they show the filling,

    E (s a - b)^2 / E b^2,      s = E ab / E a^2 the scale that suits the map best,      0 exact to 1 tells nothing

Yeh et al. 2019, https://arxiv.org/abs/1901.09392, equation 2 with their optimal scale, as a share of E b^2 so that
networks of other scales can be compared.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._covering import said_and_lost
from seewhy.measures._trial import Trial

better = "lower"


def measure(
    trial: Trial,
    *,
    count: int = 128,
    grid: int = 8,
    share: float = 0.25,
    fill: Literal["mean", "black", "blur"] = "mean",
) -> Float[Tensor, "maps batch"]:
    """`count` forward passes an example, for all maps together and for `mu_fidelity` too; each covers about `share`."""
    said, lost = said_and_lost(trial, count, grid, share, fill)
    square = (said**2).mean(-1, keepdim=True)
    scale = torch.where(square > 0, (said * lost).mean(-1, keepdim=True) / square, 0.0)
    power = (lost**2).mean(-1)
    return torch.where(power > 0, ((scale * said - lost) ** 2).mean(-1) / power, torch.nan).float()
