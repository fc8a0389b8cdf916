"""What if the same object stood before another background?

    image' = alpha image + (1 - alpha) background',        alpha = min(1, 2 blurred mask), and 1 on the mask

`into` is what comes: "another" image's background, of which the object is taken away and the hole drawn over from its
surroundings; "plain", the background's own mean colour, so that the object alone is left; "blurred", the background
without detail. The object is where its mask says, else its box, else a guess (seewhy/images/objects.py): then it may lose a
part of itself, or bring some of its background. So it is an approximate edit; the seam is soft over 1/32 of the side.
The light on the object stays that of where it was.

The placebo takes the background from an image of the same class: the same seams, and the same filled hole.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seewhy.images import objects
from seewhy.passes.fillings import blurred, drawn_over
from seewhy.types import Batch

changes, keeps, exact = "the background", "the object", False
nuisance = True
needs = frozenset({"masks", "donors"})
donors = "other"

#: How soft the seam is, as a share of the longer side; and what is no detail for "blurred", likewise.
SEAM, DETAIL = 1 / 64, 1 / 8


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    donors: Batch,
    into: str = "another",
) -> Batch:
    """Mixed with what it was by `strength`. Raises ValueError for another kind of background."""
    image, mask = batch.inputs["image"], objects.found(batch)
    side = max(image.shape[2:])
    if into == "another":
        behind = without_object(donors)
    elif into == "plain":
        off = (~mask)[:, None]
        behind = ((image * off).sum((2, 3), keepdim=True) / off.sum((2, 3), keepdim=True).clamp(min=1)).expand_as(image)
    elif into == "blurred":
        behind = blurred(drawn_over(image, mask), sigma=DETAIL * side)
    else:
        raise ValueError(f"A background is changed into 'another', 'plain' or 'blurred', not {into!r}")
    alpha = _soft(mask, sigma=SEAM * side)
    return batch.with_inputs(image=torch.lerp(image, torch.lerp(behind, image, alpha), strength).clamp(0, 1))


def placebo(batch: Batch, *, strength: float = 1.0, seed: int = 0, donors: Batch) -> Batch:
    """Handed donors of the same class."""
    return apply(batch, strength=strength, seed=seed, donors=donors)


def without_object(batch: Batch) -> Float[Tensor, "batch 3 height width"]:
    """The backgrounds alone: where the object is, and a little around it, drawn over from the surroundings."""
    image = batch.inputs["image"]
    return drawn_over(image, objects.with_edge(batch))


def _soft(mask: Bool[Tensor, "batch height width"], *, sigma: float) -> Float[Tensor, "batch 1 height width"]:
    """1 on the mask, falling to 0 within about two `sigma` of it."""
    solid = mask[:, None].float()
    return torch.maximum(solid, (2 * blurred(solid, sigma=sigma)).clamp(max=1))
