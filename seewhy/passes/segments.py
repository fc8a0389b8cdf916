"""Which pixels are covered together: a regular grid, or superpixels, which follow what is in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

#: Rounds of moving each superpixel to the mean of its pixels.
ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Segments:
    """How an image is cut into `rows` x `columns` segments.

    A "grid" cuts every image alike. "superpixels" start from that grid and keep their number; where one ends up without
    pixels it covers nothing. `compactness` is the difference of colour, each channel from 0 to 1, that weighs as much
    as the side of a cell: the greater, the more like the grid.
    """

    rows: int = 7
    columns: int = 7
    kind: Literal["grid", "superpixels"] = "grid"
    compactness: float = 0.2

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.rows * self.columns < 2:
            raise ValueError(f"{self.rows} x {self.columns} segments are too few; there must be two or more")

    def __len__(self) -> int:
        return self.rows * self.columns

    def of(self, image: Float[Tensor, "batch channels height width"]) -> Int[Tensor, "alike height width"]:
        """The segment to which each pixel belongs, from 0 on; one map for all images where they are cut alike."""
        grid = cells(self.rows, self.columns, *image.shape[2:]).to(image.device)
        if self.kind == "grid":
            return grid[None]
        return torch.stack([superpixels(each, self.rows, self.columns, self.compactness) for each in image])


def cells(rows: int, columns: int, height: int, width: int) -> Int[Tensor, "height width"]:
    """A regular grid, row by row."""
    down, across = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    return down[:, None] * columns + across


def superpixels(
    image: Float[Tensor, "channels height width"], rows: int, columns: int, compactness: float
) -> Int[Tensor, "height width"]:
    """Pixels that are near each other in place and colour, by k-means that looks only at the nine nearest centres.

    Achanta and others 2012, https://doi.org/10.1109/TPAMI.2012.120 (SLIC), in the image's own channels and without
    joining what came apart: a superpixel may have several pieces, all within the nine cells around its own.
    """
    _, height, width = image.shape
    grid = cells(rows, columns, height, width).to(image.device)
    down = torch.arange(height, device=image.device)[:, None].expand(height, width) * rows / height
    across = torch.arange(width, device=image.device).expand(height, width) * columns / width
    place = torch.stack([down, across]).to(image) * compactness  # one cell's side is worth `compactness`
    points = torch.cat([image, place]).flatten(1).T  # pixels, channels + 2
    home_row, home_column = grid.flatten() // columns, grid.flatten() % columns
    near = torch.stack(
        [
            (home_row + up).clamp(0, rows - 1) * columns + (home_column + left).clamp(0, columns - 1)
            for up in (0, -1, 1)
            for left in (0, -1, 1)
        ]
    )  # nine, pixels
    centres, member = _means(points, grid.flatten(), rows * columns), grid.flatten()
    for _ in range(ROUNDS):
        distances = torch.stack([(points - centres[candidate]).square().sum(1) for candidate in near])
        moved = near.gather(0, distances.argmin(0, keepdim=True))[0]
        if torch.equal(moved, member):
            break
        member = moved
        centres = _means(points, member, rows * columns)
    return member.view(height, width)


def _means(
    points: Float[Tensor, "pixels features"], member: Int[Tensor, " pixels"], count: int
) -> Float[Tensor, "segments features"]:
    """The mean of each segment's pixels; one without pixels is infinitely far from all."""
    ones = functional.one_hot(member, count).to(points)  # pixels, segments
    sizes = ones.sum(0)[:, None]
    return torch.where(sizes > 0, (ones.T @ points) / sizes.clamp(min=1), torch.inf)
