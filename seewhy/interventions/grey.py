"""What if the image had no colour?

Each pixel becomes its luma, .299 R + .587 G + .114 B (Rec. 601), mixed with what it was by `strength`. Shapes,
brightness and texture stay; two colours of one luma become one grey.
"""

from __future__ import annotations

import torch

from seewhy.images.measuring import LUMA
from seewhy.types import Batch

changes, keeps, exact = "the colours", "shapes and brightness", True


def apply(batch: Batch, *, strength: float = 1.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; strength 0 changes nothing, 1 leaves no colour."""
    image = batch.inputs["image"]
    luma = torch.einsum("bchw,c->bhw", image, image.new_tensor(LUMA))[:, None]  # batch, 1, height, width
    return batch.with_inputs(image=torch.lerp(image, luma.expand_as(image), strength).clamp(0, 1))
