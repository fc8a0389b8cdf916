"""What if there were no mark in the corner?

The square of `size` of the shorter side in the corner is taken away and the surroundings are drawn into the hole,
whether or not a mark was there. It is as good as the surroundings are even: what else was in the corner is gone too.
The placebo does the same to a square at a place drawn by the id, off the object and off that corner.
"""

from __future__ import annotations

from seewhy.images import objects
from seewhy.interventions._corners import square
from seewhy.interventions._covering import cover
from seewhy.types import Batch

changes, keeps, exact = "what is in the corner", "all other pixels", False


def apply(
    batch: Batch, *, strength: float = 1.0, seed: int = 0, corner: str = "upper left", size: float = 3 / 16
) -> Batch:
    """Mixed with what it was by `strength`. Raises ValueError for no such corner, and where it does not fit."""
    return cover(batch, square(batch.inputs["image"], corner, size=size, margin=0), "inpaint", strength)


def placebo(
    batch: Batch, *, strength: float = 1.0, seed: int = 0, corner: str = "upper left", size: float = 3 / 16
) -> Batch:
    """As large a square elsewhere."""
    region = square(batch.inputs["image"], corner, size=size, margin=0)
    there = objects.elsewhere(region, region | objects.found(batch), batch.ids, seed=seed)
    return cover(batch, there, "inpaint", strength)
