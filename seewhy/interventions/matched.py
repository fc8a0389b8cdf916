"""What if one plain property of the image were that of an image of another class?

`what` is moved to the donor's value in the region `where` ("all", "object" or "background"), and nothing else is:

    brightness   y = x + (mean luma of the donor - of the image)
    contrast     y = m + (x - m) s,   s = spread of the donor's luma / of the image's, m the mean colour
    colour       y = x + (mean colour less its luma, of the donor - of the image)
    sharpness    y = b + (x - b) s,   b the image blurred over 3 x 3 pixels, s = spread of the donor's x - b / of its own

The placebo takes the value of an image of the same class: a change as large that ought to tell nothing. Where an image
has no mask, its object is taken to lie in the middle half of each side. Values that leave [0, 1] are cut off.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from seewhy.interventions._regions import LUMA, region
from seewhy.types import Batch

changes, keeps, exact = "one property of the image", "what the image shows", False
needs = frozenset({"donors"})
donors = "other"

PROPERTIES = ("brightness", "contrast", "colour", "sharpness")
#: How many times a spread may grow: grain must not become a pattern.
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
    if what not in PROPERTIES:
        raise ValueError(f"What is matched is one of {', '.join(PROPERTIES)}, not {what!r}")
    image, other = batch.inputs["image"], donors.inputs["image"]
    here, there = region(batch, where), region(donors, where)
    if what in ("brightness", "colour"):
        mean, wanted = _mean(image, here), _mean(other, there)  # batch, 3
        luma, luma_wanted = (_luma(each[:, :, None, None])[:, :, 0, 0] for each in (mean, wanted))  # batch, 1
        step = luma_wanted - luma if what == "brightness" else (wanted - luma_wanted) - (mean - luma)
        changed = image + step[:, :, None, None]
    elif what == "contrast":
        middle = _mean(image, here)[:, :, None, None]
        scale = _spread(_luma(other), there) / _spread(_luma(image), here).clamp(min=1e-3)
        changed = middle + (image - middle) * scale.clamp(1 / MOST, MOST)[:, None, None, None]
    else:
        soft = _blurred(image)
        scale = _spread(_luma(other - _blurred(other)), there) / _spread(_luma(image - soft), here).clamp(min=1e-4)
        changed = soft + (image - soft) * scale.clamp(0, MOST)[:, None, None, None]
    changed = torch.where(here[:, None], torch.lerp(image, changed, strength), image)
    return batch.with_inputs(image=changed.clamp(0, 1))


#: Handed donors of the same class.
placebo = apply


def _luma(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
    return torch.einsum("bchw,c->bhw", image, image.new_tensor(LUMA))[:, None]


def _blurred(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    return functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _mean(
    image: Float[Tensor, "batch channels height width"], where: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch channels"]:
    weight = where[:, None].to(image.dtype)
    return (image * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1)


def _spread(
    plane: Float[Tensor, "batch 1 height width"], where: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    middle = _mean(plane, where)[:, :, None, None]
    return _mean((plane - middle).square(), where)[:, 0].sqrt()
