"""What a map says that parts of the image are worth, and what the score loses with them, over random subsets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial
from seewhy.passes.designs import Subsets
from seewhy.passes.masks import MaskScores
from seewhy.passes.segments import Segments


def said_and_lost(
    trial: Trial, count: int, grid: int, share: float, fill: str
) -> tuple[Float[Tensor, "maps batch subsets"], Float[Tensor, "maps batch subsets"]]:
    """The sum of heat over the covered cells of each subset; and the drop of the score, the same for all maps."""
    table = trial.table(MaskScores(Subsets(Segments(grid, grid), count, share=share), fill=fill))
    covered = table.masks.covered(slice(0, len(table.scores)))[:, 0].flatten(1)  # subsets, pixels
    said = trial.heat.flatten(2).double() @ covered.T.double()
    lost = (table.baseline - table.scores).T.double().expand_as(said)  # batch, subsets
    return said, torch.as_tensor(lost)
