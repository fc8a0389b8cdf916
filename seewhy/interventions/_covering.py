"""A region of each image covered."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from seewhy.passes.fillings import COVERS, filled, imputed
from seewhy.shelf import nearest
from seewhy.types import Batch

#: What is no detail for "blur", as a share of the longer side.
DETAIL = 1 / 4


def cover(batch: Batch, region: Bool[Tensor, "batch height width"], fill: str, strength: float) -> Batch:
    """What is inside the region mixed by `strength` with what covers it; "inpaint" is drawn smoothly into the hole.

    Raises ValueError for no such filling.
    """
    if fill not in COVERS:
        raise ValueError(f"No filling {fill!r}. {nearest(fill, COVERS)}There are: {', '.join(COVERS)}.")
    image, side = batch.inputs["image"], max(batch.inputs["image"].shape[2:])
    covering = imputed(image, region, noise=0) if fill == "inpaint" else filled(image, fill, detail=DETAIL * side)
    covered = torch.lerp(image, covering.expand_as(image), strength).clamp(0, 1)
    return batch.with_inputs(image=torch.where(region[:, None], covered, image))
