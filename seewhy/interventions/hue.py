"""What if all colours were others?

Hues are turned by `strength` of the colour circle, .5 to the opposite one; saturation and value stay, and grey stays
grey. Luma does not: blue is darker than yellow.
"""

from __future__ import annotations

from torchvision.transforms.v2 import functional

from seewhy.types import Batch

changes, keeps, exact = "the hues", "shapes, saturation and value", True


def apply(batch: Batch, *, strength: float = 0.5, seed: int = 0) -> Batch:
    """Images in [0, 1]; 0 and 1 change nothing."""
    turned = (strength + 0.5) % 1.0 - 0.5
    return batch.with_inputs(image=functional.adjust_hue(batch.inputs["image"], turned).clamp(0, 1))
