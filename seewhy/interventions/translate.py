"""What if everything in the image lay a little to one side?

The image moves by `strength`, a share of the longer side, in whole pixels, at least one, so that nothing is blurred. To
where is said by `towards`, such as "left" or "down right", or drawn by the id from eight directions. What comes in from
beyond the border is the image in a mirror, so that no black bar gives the change away; what goes out at it is lost.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from seewhy import chance
from seewhy.interventions._moving import carried, rearranged
from seewhy.types import Batch

changes, keeps, exact = "the position of everything", "what is there, and its size", True
nuisance = True
strengths = (1 / 32, 1 / 16, 1 / 8)

#: To where, as (right, down).
DIRECTIONS = {
    "right": (1, 0),
    "left": (-1, 0),
    "down": (0, 1),
    "up": (0, -1),
    "down right": (1, 1),
    "down left": (-1, 1),
    "up right": (1, -1),
    "up left": (-1, -1),
}


def apply(
    batch: Batch,
    *,
    strength: float = 1 / 16,
    seed: int = 0,
    towards: str = "any",
) -> Batch:
    """Strength 0 changes nothing. Raises ValueError for no such direction."""
    if strength == 0:
        return batch
    if towards != "any" and towards not in DIRECTIONS:
        raise ValueError(f"There is no direction {towards!r}; there are: any, {', '.join(DIRECTIONS)}")
    height, width = batch.inputs["image"].shape[2:]
    pixels = max(1, round(strength * max(height, width)))
    known = torch.tensor(list(DIRECTIONS.values()))
    drawn = (chance.uniform(chance.keys(batch.ids), seed=seed, stream="translate")[:, 0] * len(known)).long()
    chosen = drawn if towards == "any" else torch.full_like(drawn, list(DIRECTIONS).index(towards))
    shift = pixels * known[chosen]  # batch, 2
    moved = rearranged(batch, torch.arange(height) - shift[:, 1:], torch.arange(width) - shift[:, :1])
    return replace(moved, boxes=carried(batch, lambda row, points: points + shift[row]))
