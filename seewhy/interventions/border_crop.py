"""What if the border of the image were not there?

Marks, captions, rulers and frames lie at the border. `strength` is how much goes at each side, as a share of it; `into`
what comes there: "mirrored", what is inside in a mirror, so that everything keeps its place and size; "plain", the mean
colour of what is inside; "scaled", nothing: what is inside is scaled up, as `scale` does it. At least one pixel goes.
"""

from __future__ import annotations

import torch

from seewhy.interventions._moving import mirrored, rearranged, warped
from seewhy.types import Batch

changes, keeps, exact = "the border", "what is inside", True
nuisance = True
strengths = (1 / 16, 1 / 8)


def apply(
    batch: Batch,
    *,
    strength: float = 1 / 8,
    seed: int = 0,
    into: str = "mirrored",
) -> Batch:
    """Strength 0 changes nothing. Raises ValueError for one that leaves nothing inside, and for no such filling."""
    if not 0 <= strength < 0.5:
        raise ValueError(f"The intervention 'border_crop' has strength {strength:g}; it must lie between 0 and 0.5")
    if into not in ("mirrored", "plain", "scaled"):
        raise ValueError(f"A border is changed into 'mirrored', 'plain' or 'scaled', not {into!r}")
    if strength == 0:
        return batch
    if into == "scaled":
        return warped(batch, torch.eye(2).expand(len(batch), 2, 2) / (1 - 2 * strength))
    image, count = batch.inputs["image"], len(batch)
    cut = [min(max(1, round(strength * side)), (side - 1) // 2) for side in image.shape[2:]]
    if into == "mirrored":
        rows, columns = (
            width + mirrored(torch.arange(side) - width, side - 2 * width)
            for side, width in zip(image.shape[2:], cut, strict=True)
        )
        return rearranged(batch, rows.expand(count, -1), columns.expand(count, -1))
    (above, left), (height, width) = cut, image.shape[2:]
    rows, columns = slice(above, height - above), slice(left, width - left)
    inside = image[:, :, rows, columns]
    plain = inside.mean((2, 3), keepdim=True).expand_as(image).clone()
    plain[:, :, rows, columns] = inside
    return batch.with_inputs(image=plain)
