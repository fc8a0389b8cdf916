"""Which pixels are the object's, which the background's?"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from seewhy.types import Batch

#: Rec. 601's weights of red, green and blue.
LUMA = (0.299, 0.587, 0.114)
PLACES = ("all", "object", "background")


def region(batch: Batch, where: str) -> Bool[Tensor, "batch height width"]:
    """All pixels, the mask's, or all others; the middle half of each side where an image has no mask.

    Raises ValueError for another word.
    """
    image = batch.inputs["image"]
    count, _, height, width = image.shape
    if where not in PLACES:
        raise ValueError(f"A region is one of {', '.join(PLACES)}, not {where!r}")
    if where == "all":
        return torch.ones(count, height, width, dtype=torch.bool, device=image.device)
    middle = torch.zeros(height, width, dtype=torch.bool, device=image.device)
    middle[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    objects = middle.expand(count, -1, -1)
    if batch.masks is not None:
        masks = batch.masks.to(image.device)
        objects = torch.where(masks.flatten(1).any(1)[:, None, None], masks, objects)
    return objects if where == "object" else ~objects
