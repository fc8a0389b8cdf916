"""What if one cell of the image came from an image of another class?

The image is cut into `cells` x `cells`; the cell at (`row`, `column`) is taken from the donor at the same place, mixed
by `strength`. What carries a class with it although it lies off the object is a shortcut. The placebo takes the same
cell from an image of the same class: it has the same seams, and what differs is only whose content it is.
"""

from __future__ import annotations

import torch

from seewhy.types import Batch

changes, keeps, exact = "one cell of the image", "all other cells", True
needs = frozenset({"donors"})
donors = "other"


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    donors: Batch,
    cells: int = 4,
    row: int = 0,
    column: int = 0,
) -> Batch:
    """Raises ValueError for a cell that lies outside."""
    if not (0 <= row < cells and 0 <= column < cells):
        raise ValueError(f"There is no cell ({row}, {column}) in {cells} x {cells} of them; they count from 0")
    image, other = batch.inputs["image"].clone(), donors.inputs["image"]
    height, width = image.shape[2:]
    rows = slice(row * height // cells, (row + 1) * height // cells)
    columns = slice(column * width // cells, (column + 1) * width // cells)
    image[:, :, rows, columns] = torch.lerp(image[:, :, rows, columns], other[:, :, rows, columns], strength)
    return batch.with_inputs(image=image)


#: Handed donors of the same class.
placebo = apply
