"""What if one plain property of the image were that of an image of another class?

`what` is moved to the donor's value in the region `where` ("all", "object" or "background"), and nothing else is:

    brightness   y = x + (mean luma of the donor - of the image)
    contrast     y = m + (x - m) s,   s = contrast of the donor / of the image, m the mean colour
    colour       y = x + (mean colour less its luma, of the donor - of the image)
    sharpness    y = b + (x - b) s,   s = sharpness of the donor / of the image, b the image blurred over 3 x 3 pixels

Contrast and sharpness are those of seewhy/measuring.py.

The placebo takes the value of an image of the same class: a change as large that ought to tell nothing. The object is
where its mask says, else its box, else a guess (seewhy/objects.py). Values that leave [0, 1] are cut off.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import measuring
from seewhy.types import Batch

changes, keeps, exact = "one property of the image", "what the image shows", False
needs = frozenset({"donors", "masks"})
donors = "other"

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
    here, there = measuring.region(batch, where), measuring.region(donors, where)
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


def _ratio(own: dict[str, Tensor], wanted: dict[str, Tensor], what: str, least: float) -> Float[Tensor, "batch 1 1 1"]:
    return (wanted[what] / own[what].clamp(min=1e-4)).clamp(least, MOST)[:, :, None, None]
