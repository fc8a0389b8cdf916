"""What if the object were not there?

The object is covered and the background kept: `fill` "inpaint" draws the surroundings into the hole, "mean" is the
image's mean colour, "blur" the image without detail, "black" black. The object is where its mask says, else its box,
else a guess (seewhy/images/objects.py); a little around it goes too, lest its edge stays. What it threw, a shadow, stays.

The placebo covers a region of the same size and shape elsewhere, off the object, drawn by the id. An object that leaves
no such room gets a placebo that lacks what would lie on it.
"""

from __future__ import annotations

from seewhy.images import objects
from seewhy.interventions._covering import cover
from seewhy.types import Batch

changes, keeps, exact = "the object", "the background", False
needs = frozenset({"masks"})


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    fill: str = "inpaint",
) -> Batch:
    """Mixed with what it was by `strength`."""
    return cover(batch, objects.with_edge(batch), fill, strength)


def placebo(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    fill: str = "inpaint",
) -> Batch:
    """As much of the background covered in the same way."""
    region = objects.with_edge(batch)
    return cover(batch, objects.elsewhere(region, region, batch.ids, seed=seed), fill, strength)
