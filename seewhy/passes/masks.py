"""The score with parts of the image covered: one table of masks and scores for every method that reads such tables.

A *design* says which masks are tried. A method has its own, as it was published; with `design="shared"` all read the
table of `SHARED`, which is then filled once for all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seewhy.passes.fillings import filled
from seewhy.passes.needs import Need, Passes
from seewhy.passes.run import Run


class Masks(ABC):
    """Masks in the order in which they are tried; made when they are asked for, since thousands fill the memory.

    Any beginning of them must be a fair sample, for the budget may end the trying.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def covered(
        self, some: slice
    ) -> Float[
        Tensor,
        (
            masks  # batch height width
        ),
    ]:
        """How much of each pixel is covered, 0 to 1; the same for all examples where the second axis is 1."""


@runtime_checkable
class Design(Protocol):
    """Which masks are tried: a frozen dataclass, equal where it draws the same."""

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> Masks:
        """The masks for these images; the same for an image in any company."""

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The side in pixels of what is covered at a time: a blur that covers leaves nothing finer."""


@dataclass(frozen=True, slots=True)
class Squares:
    """One square of the image at a time, on a regular grid.

    `patch` and `stride` are in pixels; None is a fifth of the image's short side, at least 2, and half the patch. The
    last square of a row may stand out over the edge.
    """

    patch: int | None = None
    stride: int | None = None

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> _Squares:
        """Every square once."""
        height, width = image.shape[2:]
        patch, stride = self.sides(image)
        places = [
            (top, left)
            for top in range(0, height - patch + stride, stride)
            for left in range(0, width - patch + stride, stride)
        ]
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))
        return _Squares([places[place] for place in order.tolist()], patch, (height, width), image.device, image.dtype)

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The side of the square."""
        return self.sides(image)[0]

    def sides(self, image: Float[Tensor, "batch channels height width"]) -> tuple[int, int]:
        """Patch and stride for this size of image. Raises ValueError where they do not fit or leave gaps."""
        height, width = image.shape[2:]
        patch = min(max(2, round(min(height, width) / 5)), height, width) if self.patch is None else self.patch
        stride = math.ceil(patch / 2) if self.stride is None else self.stride
        if not 1 <= patch <= min(height, width):
            raise ValueError(f"A patch of {patch} pixels does not fit an image of {height} x {width}")
        if not 1 <= stride <= patch:
            raise ValueError(
                f"A stride of {stride} pixels leaves gaps between patches of {patch}; it must be 1 to {patch}"
            )
        return patch, stride


class _Squares(Masks):
    def __init__(
        self,
        places: list[tuple[int, int]],
        patch: int,
        size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.places, self.patch, self.size, self.device, self.dtype = places, patch, size, device, dtype

    def __len__(self) -> int:
        return len(self.places)

    def covered(self, some: slice) -> Float[Tensor, "masks one height width"]:
        chosen = self.places[some]
        masks = torch.zeros(len(chosen), 1, *self.size, device=self.device, dtype=self.dtype)
        for mask, (top, left) in zip(masks, chosen, strict=True):
            mask[:, top : top + self.patch, left : left + self.patch] = 1
        return masks


@dataclass(frozen=True, slots=True)
class Cells:
    """Random halves of a regular grid of cells: each cell is covered with probability `share`, at random by `seed`.

    The codes say which cells were covered: what linear models, Shapley values and sensitivity indices are fitted to.
    """

    rows: int = 7
    columns: int = 7
    count: int = 512
    share: float = 0.5
    seed: int = 0

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> CellMasks:
        """As many masks as `count` says."""
        generator = torch.Generator().manual_seed(self.seed)
        codes = torch.rand(self.count, self.rows * self.columns, generator=generator) < self.share
        height, width = image.shape[2:]
        down = torch.arange(height) * self.rows // height
        across = torch.arange(width) * self.columns // width
        cells = (down[:, None] * self.columns + across).to(image.device)
        return CellMasks(codes.to(image.device), cells, image.dtype)

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The longer side of a cell."""
        return max(image.shape[2] / self.rows, image.shape[3] / self.columns)


@dataclass(frozen=True, eq=False)
class CellMasks(Masks):
    """`codes`: which cells each mask covers; `cells`: to which cell each pixel belongs."""

    codes: Bool[Tensor, "masks cells"]
    cells: Tensor
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.codes)

    def covered(self, some: slice) -> Float[Tensor, "masks one height width"]:
        return self.codes[some][:, None, self.cells].to(self.dtype)


#: The design whose table all mask methods can share.
SHARED = Cells()


@dataclass(frozen=True, slots=True)
class MaskScores(Need):
    """The score under each mask of a design; gives a MaskTable. `fill` is what covers (`fillings.FILLINGS`)."""

    design: Design = Squares()
    fill: str = "mean"
    into: str = "image"

    def passes(self, run: Run) -> Passes:
        """One forward pass a mask."""
        return Passes(len(self.design.draw(run.image(self.into))), 0)

    def gather(self, run: Run) -> Iterator[MaskTable]:
        """In as few calls of the network as memory allows."""
        image = run.image(self.into)
        masks = self.design.draw(image)
        filling = filled(image, self.fill, detail=self.design.detail(image))
        scores: list[Tensor] = []
        for some in run.chunks(len(masks)):
            covered = masks.covered(some)[:, :, None]  # masks, batch or 1, 1, height, width
            images = torch.lerp(image, filling.expand_as(image), covered.expand(-1, run.rows, *image.shape[1:]))
            scores.append(run.scores(run.repeated(len(images), {self.into: images.flatten(0, 1)}), len(images)))
            yield MaskTable(masks, torch.cat(scores), run.baseline())


@dataclass(frozen=True, eq=False)
class MaskTable:
    """What the score was under each mask that was tried, in the masks' order, and what it is with nothing covered."""

    masks: Masks
    scores: Float[Tensor, "tried batch"]
    baseline: Float[Tensor, " batch"]

    def spread(self, values: Float[Tensor, "tried batch"]) -> Float[Tensor, "batch height width"]:
        """The sum over masks of a value an example and mask, laid where the mask covers."""
        total: Tensor | None = None
        for start in range(0, len(values), 64):
            covered = self.masks.covered(slice(start, min(start + 64, len(values))))
            part = values[start : start + 64]
            if covered.shape[1] == 1:
                laid = (part.T @ covered.flatten(1)).unflatten(1, covered.shape[2:])
            else:
                laid = (part[:, :, None, None] * covered).sum(0)
            total = laid if total is None else total + laid
        assert total is not None  # at least one mask was tried
        return total
