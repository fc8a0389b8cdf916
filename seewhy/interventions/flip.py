"""What if the image were seen in a mirror?

All or nothing: `strength` 0 leaves the image as it is, any other flips it. Left and right change places, or with
`along="vertical"` above and below. Text, digits and many organs are not what they were after it: there a changed answer
is no fault.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from seewhy.interventions._moving import carried, rearranged
from seewhy.types import Batch

changes, keeps, exact = "left and right", "what is there, and its size", True


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    along: str = "horizontal",
) -> Batch:
    """Raises ValueError for no such direction."""
    if along not in ("horizontal", "vertical"):
        raise ValueError(f"An image is flipped along 'horizontal' or 'vertical', not {along!r}")
    if strength == 0:
        return batch
    height, width = batch.inputs["image"].shape[2:]
    across = along == "horizontal"
    rows, columns = torch.arange(height), torch.arange(width)
    rows, columns = (rows, columns.flip(0)) if across else (rows.flip(0), columns)
    count = len(batch)
    flipped = rearranged(batch, rows.expand(count, -1), columns.expand(count, -1))
    sign, start = torch.tensor([(-1, 1), (width, 0)] if across else [(1, -1), (0, height)])
    return replace(flipped, boxes=carried(batch, lambda row, points: sign * points + start))
