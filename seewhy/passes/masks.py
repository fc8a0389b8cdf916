"""The score with parts of the image covered: one table of masks and scores for every method that reads such tables.

A *design* (`designs.py`) says which masks are tried. A method has its own, as it was published; with `design="shared"`
all read the table of `designs.SHARED`, which is then filled once for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes.budget import Passes
from seewhy.passes.fillings import Covering
from seewhy.passes.run import Need, Run


class Masks(ABC):
    """Masks in the order in which they are tried; made when they are asked for, since thousands fill the memory.

    Any beginning of them must be a fair sample, for the budget may end the trying.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def covered(self, some: slice) -> Float[Tensor, "masks alike height width"]:
        """How much of each pixel is covered, 0 to 1; the same for all examples where the second axis is 1."""


@runtime_checkable
class Design(Protocol):
    """Which masks are tried: a frozen dataclass, equal where it draws the same."""

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> Masks:
        """The masks for these images; the same for an image in any company."""

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The side in pixels of what is covered at a time: a blur that covers leaves nothing finer."""


@dataclass(frozen=True, slots=True)
class MaskScores(Need):
    """The score under each mask of a design; gives a MaskTable. `fill` is what covers (`fillings.COVERS`)."""

    design: Design
    fill: str = "mean"
    into: str = "image"

    def passes(self, run: Run) -> Passes:
        """One forward pass a mask."""
        return Passes(len(run.once(_drawn, self.design, self.into)), 0)

    def gather(self, run: Run) -> Iterator[MaskTable]:
        """In as few calls of the network as memory allows."""
        image, masks = run.image(self.into), run.once(_drawn, self.design, self.into)
        covering = Covering(image, self.fill, detail=self.design.detail(image))
        baseline, scores = run.baseline(), list[Tensor]()
        for some in run.chunks(len(masks)):
            images = covering.cover(masks.covered(some))  # masks, batch, channels, height, width
            scores.append(run.scores(run.repeated(len(images), {self.into: images.flatten(0, 1)}), len(images)))
            yield MaskTable(masks, torch.cat(scores), baseline)


def _drawn(run: Run, design: Design, into: str) -> Masks:
    return design.draw(run.image(into))


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
