"""What if one region of the image could not be seen?

One cell of `cells` x `cells` is covered: the one at (`row`, `column`), or one drawn by the id where they are None.
`fill` "inpaint" draws the surroundings into the hole, "mean" is the image's mean colour, "blur" the image without
detail, "black" black. Each but the first brings an edge of its own, which a network may react to.
"""

from __future__ import annotations

import torch

from seewhy import chance
from seewhy.interventions import _covering
from seewhy.types import Batch

changes, keeps, exact = "one cell of the image", "all other cells", True


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    fill: str = "inpaint",
    cells: int = 4,
    row: int | None = None,
    column: int | None = None,
) -> Batch:
    """Mixed with what it was by `strength`. Raises ValueError for a cell that lies outside, and for no such filling."""
    if not all(place is None or 0 <= place < cells for place in (row, column)):
        raise ValueError(f"There is no cell ({row}, {column}) in {cells} x {cells} of them; they count from 0")
    image = batch.inputs["image"]
    drawn = (cells * chance.uniform(chance.keys(batch.ids), seed=seed, stream="cover", draws=2)).long()
    inside = []
    for axis, place in enumerate((row, column)):
        chosen = drawn[:, axis] if place is None else torch.full_like(drawn[:, axis], place)
        side = image.shape[2 + axis]
        pixel, chosen = torch.arange(side, device=image.device), chosen.to(image.device)[:, None]
        inside.append((pixel >= chosen * side // cells) & (pixel < (chosen + 1) * side // cells))  # batch, side
    return _covering.cover(batch, inside[0][:, :, None] & inside[1][:, None, :], fill, strength)
