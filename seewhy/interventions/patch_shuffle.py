"""What if the image had its texture but no shape?

Cut into `strength` x `strength` cells, which change places: drawn by the id, and none stays where it was. What the
cells hold is kept to the bit, and so are all colours; what lies across two cells is broken (Zhang and Zhu 2019,
https://arxiv.org/abs/1905.09797, section 3.2). Where the sides do not divide, the last pixels stay. The seams are new
edges. Masks go with their cells; an object in pieces has no box.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from seewhy import chance
from seewhy.types import Batch

changes, keeps, exact = "shapes larger than a cell", "texture and colours", True
strengths = (2.0, 4.0, 8.0)


def apply(batch: Batch, *, strength: float = 4.0, seed: int = 0) -> Batch:
    """`strength` is a whole number of cells a side; 1 changes nothing. Raises ValueError where they do not fit."""
    image, cells = batch.inputs["image"], round(strength)
    height, width = image.shape[2:]
    if not 1 <= cells <= min(height, width):
        raise ValueError(f"An image of {width} x {height} pixels cannot be cut into {strength:g} x {strength:g} cells")
    if cells == 1:
        return batch
    count, tall, wide = len(batch), height // cells, width // cells
    drawn = chance.uniform(chance.keys(batch.ids), seed=seed, stream="patch_shuffle", draws=cells**2)
    order = drawn.argsort(1)  # one ring through all cells, so that none stays
    source = torch.empty_like(order).scatter_(1, order, order.roll(1, 1))  # batch, cells: which one comes there
    pixel = torch.arange(height * width).view(height, width)
    tiles = pixel[: cells * tall, : cells * wide].unflatten(0, (cells, tall)).unflatten(2, (cells, wide))
    tiles = tiles.transpose(1, 2).flatten(0, 1)  # cells, tall, wide
    taken = tiles[source].unflatten(1, (cells, cells)).transpose(2, 3)  # batch, cells, tall, cells, wide
    places = pixel.expand(count, -1, -1).clone()
    places[:, : cells * tall, : cells * wide] = taken.flatten(3, 4).flatten(1, 2)
    places = places.flatten(1).to(image.device)
    shuffled = image.flatten(2).gather(2, places[:, None].expand(-1, image.shape[1], -1)).view_as(image)
    masks = batch.masks
    if masks is not None:
        masks = masks.to(image.device).flatten(1).gather(1, places).view_as(masks)
    return replace(batch.with_inputs(image=shuffled), masks=masks, boxes=(None,) * len(batch.boxes))
