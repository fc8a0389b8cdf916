"""What if one plain property of the image were that of an image of another class?

`what` is moved to the donor's value in the region `where` ("all", "object" or "background"), and nothing else is:

    brightness   y = x + (mean luma of the donor - of the image)
    contrast     y = m + (x - m) s,   s = contrast of the donor / of the image, m the mean colour
    colour       y = x + (mean colour less its luma, of the donor - of the image)
    sharpness    y = b + (x - b) s,   s = sharpness of the donor / of the image, b the image blurred over 3 x 3 pixels

Contrast and sharpness are those of seewhy/images/measuring.py.

The placebo takes the value of an image of the same class: a change as large that ought to tell nothing. The object is
where its mask says, else its box, else a guess (seewhy/images/objects.py). Values that leave [0, 1] are cut off.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seewhy.images import measuring, objects
from seewhy.types import Batch

changes, keeps, exact = "one property of the image", "what the image shows", False
needs = frozenset({"donors", "masks"})
donors = "other"

PLACES = ("all", "object", "background")
#: How many times contrast and sharpness may grow: grain must not become a pattern.
MOST = 4.0


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    donors: Batch,
    what: str = "brightness",
    where: str = "all",
) -> Batch:
    """Strength 0 changes nothing, 1 goes all the way to the donor's value. Raises ValueError for another `what`."""
    if what not in measuring.PROPERTIES:
        raise ValueError(f"What is matched is one of {', '.join(measuring.PROPERTIES)}, not {what!r}")
    image, other = batch.inputs["image"], donors.inputs["image"]
    here, there = _region(batch, where), _region(donors, where)
    own, wanted = measuring.measured(image, here), measuring.measured(other, there)
    if what in ("brightness", "colour"):
        changed = image + (wanted[what] - own[what])[:, :, None, None]
    elif what == "contrast":
        middle = measuring.mean(image, here)[:, :, None, None]
        changed = middle + (image - middle) * _ratio(own, wanted, what, 1 / MOST)
    else:
        soft = measuring.blurred(image)
        changed = soft + (image - soft) * _ratio(own, wanted, what, 0.0)
    changed = torch.where(here[:, None], torch.lerp(image, changed, strength), image)
    return batch.with_inputs(image=changed.clamp(0, 1))


#: Handed donors of the same class.
placebo = apply


def _region(batch: Batch, where: str) -> Bool[Tensor, "batch height width"]:
    """All pixels, the object's, or all others. Raises ValueError for another word."""
    if where not in PLACES:
        raise ValueError(f"A property is matched in one of {', '.join(PLACES)}, not in {where!r}")
    if where == "all":
        image = batch.inputs["image"]
        return torch.ones(len(image), *image.shape[2:], dtype=torch.bool, device=image.device)
    found = objects.found(batch)
    return found if where == "object" else ~found


def _ratio(own: dict[str, Tensor], wanted: dict[str, Tensor], what: str, least: float) -> Float[Tensor, "batch 1 1 1"]:
    return (wanted[what] / own[what].clamp(min=1e-4)).clamp(least, MOST)[:, :, None, None]
