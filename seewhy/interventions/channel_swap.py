"""What if red, green and blue changed places?

`order` says from which channel each of the three is taken, mixed with what it was by `strength`. Grey stays grey; all
edges stay.
"""

from __future__ import annotations

import torch

from seewhy.types import Batch

changes, keeps, exact = "the colours", "shapes and grey", True


def apply(batch: Batch, *, strength: float = 1.0, seed: int = 0, order: str = "gbr") -> Batch:
    """Images in [0, 1]. Raises ValueError for an order that does not name each of r, g and b once."""
    if sorted(order) != ["b", "g", "r"]:
        raise ValueError(f"The order of channels is {order!r}; it must name r, g and b once each, as 'gbr' does")
    image = batch.inputs["image"]
    swapped = image[:, ["rgb".index(name) for name in order]]
    return batch.with_inputs(image=torch.lerp(image, swapped, strength).clamp(0, 1))
