"""Images moved, turned and scaled, their masks and boxes with them; beyond the border the image goes on mirrored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from seewhy.types import Batch, Boxes


def rearranged(batch: Batch, rows: Int[Tensor, "batch height"], columns: Int[Tensor, "batch width"]) -> Batch:
    """Each image and mask made of these rows and columns of itself, whole pixels, to the bit; one beyond the border is
    mirrored. Boxes are left to the caller."""
    image = batch.inputs["image"]
    height, width = image.shape[2:]
    rows, columns = rows.to(image.device), columns.to(image.device)
    each = torch.arange(len(image), device=image.device)[:, None, None]
    down, right = mirrored(rows, height)[:, :, None], mirrored(columns, width)[:, None, :]
    masks = None if batch.masks is None else batch.masks.to(image.device)[each, down, right]
    image = image.permute(0, 2, 3, 1)[each, down, right].permute(0, 3, 1, 2)
    return replace(batch.with_inputs(image=image.contiguous()), masks=masks)


def warped(batch: Batch, maps: Float[Tensor, "batch 2 2"]) -> Batch:
    """Each image under a linear map about its middle, from (right, below) in pixels to where that goes.

    A pixel between four is their bilinear mean. A mask has in it what is at least half in it after.
    """
    image = batch.inputs["image"]
    height, width = image.shape[2:]
    sides = torch.tensor([width, height], dtype=torch.float64)
    back = torch.linalg.inv(maps.double()) * sides / sides[:, None]  # grids count from -1 to 1 over each side
    theta = torch.cat([back, torch.zeros(len(back), 2, 1)], 2).to(image)
    grid = functional.affine_grid(theta, list(image.shape), align_corners=False)

    def sampled(values: Tensor) -> Tensor:
        return functional.grid_sample(values, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    masks = None if batch.masks is None else sampled(batch.masks[:, None].to(image))[:, 0] >= 0.5
    middle = torch.tensor([width / 2, height / 2])
    boxes = carried(batch, lambda row, points: (points - middle) @ maps[row].float().T + middle)
    return replace(batch.with_inputs(image=sampled(image).clamp(0, 1)), masks=masks, boxes=boxes)


def carried(batch: Batch, move: Callable[[int, Float[Tensor, "points 2"]], Tensor]) -> tuple[Boxes | None, ...]:
    """The boxes of each row around where their corners go, cut off at the border; what is mirrored there has none.

    One that goes wholly outside stays, without area, so that labels keep their places.
    """
    height, width = batch.inputs["image"].shape[2:]
    most = torch.tensor([width, height] * 2)
    found: list[Boxes | None] = []
    for row, boxes in enumerate(batch.boxes):
        if boxes is None or not len(boxes):
            found.append(boxes)
            continue
        corners = boxes.corners[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # boxes, 4, 2
        there = move(row, corners.flatten(0, 1)).unflatten(0, (len(boxes), 4))
        around = torch.cat([there.amin(1), there.amax(1)], 1)
        found.append(Boxes(torch.minimum(around.clamp(min=0), most.to(around)), boxes.labels))
    return tuple(found)


def mirrored(places: Int[Tensor, "*places"], side: int) -> Int[Tensor, "*places"]:
    """Places inside: beyond the border it goes on as in a mirror that stands there."""
    places = places % (2 * side)
    return torch.where(places < side, places, 2 * side - 1 - places)
