"""What if somebody had put a mark into the corner?

A small square of one colour, as a scanner, a hospital or a stock agency puts on its images: `size` of the shorter side,
`margin` from the `corner`, such as "lower right", both shares; white, black, red, green or blue. The placebo puts the
same mark at a place drawn by the id, off the object and off that corner: what it does there is what any square does.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from seewhy.images import objects
from seewhy.interventions._corners import square
from seewhy.shelf import nearest
from seewhy.types import Batch

changes, keeps, exact = "what stands in the corner", "all other pixels", True
nuisance = True

#: Red, green and blue in [0, 1].
COLOURS = {"white": (1, 1, 1), "black": (0, 0, 0), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    corner: str = "upper left",
    size: float = 1 / 8,
    margin: float = 1 / 32,
    colour: str = "white",
) -> Batch:
    """Seen through by 1 - `strength`. Raises ValueError for no such corner or colour, and where it does not fit."""
    return _put(batch, square(batch.inputs["image"], corner, size=size, margin=margin), colour, strength)


def placebo(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    corner: str = "upper left",
    size: float = 1 / 8,
    margin: float = 1 / 32,
    colour: str = "white",
) -> Batch:
    """The same mark elsewhere."""
    mark = square(batch.inputs["image"], corner, size=size, margin=margin)
    return _put(batch, objects.elsewhere(mark, mark | objects.found(batch), batch.ids, seed=seed), colour, strength)


def _put(batch: Batch, mark: Bool[Tensor, "batch height width"], colour: str, strength: float) -> Batch:
    if colour not in COLOURS:
        raise ValueError(f"No mark is {colour!r}. {nearest(colour, COLOURS)}There are: {', '.join(COLOURS)}.")
    image = batch.inputs["image"]
    marked = torch.lerp(image, image.new_tensor(COLOURS[colour])[:, None, None].expand_as(image), strength)
    return batch.with_inputs(image=torch.where(mark[:, None], marked.clamp(0, 1), image))
