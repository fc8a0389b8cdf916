"""What is the smallest change of an image that makes a network answer otherwise? Two searches for a counterfactual.

`edited` descends on a mask and on what is painted under it; `swapped` replaces as few cells as it can by those of a
look-alike of the other class. Both are upper bounds: a smaller change may exist that they did not find. And both find
what changes *this* network: an edit that other networks, trained on the same images, do not follow is an adversarial
example and no reason (Freiesleben 2022, https://doi.org/10.1007/s11023-021-09580-9).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.types import Batch

#: One number an example: the log-odds of the class that is to be answered. Above 0 it is answered.
Score = Callable[[Any, Batch], Tensor]
#: How many images go through the network at once.
AT_ONCE = 512
#: A pixel that was changed by less than so many of 256 levels is put back, where the answer allows.
FAINT = 4
#: By what a row's weight is multiplied while its answer is the wanted one, and divided while it is not.
EASE = 0.93


@dataclass(frozen=True, eq=False)
class Edit:
    """Images that are answered otherwise, in [0, 1] and of 256 levels, with their log-odds; `found` says which are.

    `cells` are those swapped, by number, row by row of the grid, in the order of their worth; empty for a free edit.
    `passes` counts forward passes of one image, a backward pass as two.
    """

    images: Float[Tensor, "batch 3 height width"]
    found: Bool[Tensor, " batch"]
    logodds: Float[Tensor, " batch"]
    cells: tuple[tuple[int, ...], ...] = ()
    passes: float = 0.0

    def pixels(self, before: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """The share of pixels that differ."""
        return (self.images != before).any(1).float().mean((1, 2))

    def distance(self, before: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """The Euclidean distance over all pixels and channels, of levels in [0, 1]."""
        return (self.images - before).flatten(1).norm(dim=1)


def edited(
    network: nn.Module,
    batch: Batch,
    score: Score,
    *,
    steps: int = 100,
    rate: float = 0.05,
    margin: float = 1.0,
    area: float = 1.0,
    rough: float = 1.0,
    side: int = 14,
) -> Generator[int, None, Edit]:
    """A smooth edit, small in area; yields the number of each step.

        minimise over mask m and paint p in [0, 1]
            weight * max(0, margin - score(x')) + area * mean m + rough * mean |d(x' - x)|,     x' = x + m (p - x)

    with Adam; the mask has `side` cells a side, so that it cannot draw a pattern of single pixels, and d is the
    difference of neighbours (total variation). `weight` is a row's own: it falls while the row is answered as wanted
    and grows while it is not, so that each row stays at the edge, and the smallest edit on the way is kept. After Fong
    and Vedaldi 2017, https://arxiv.org/abs/1704.03296, and Wachter and others 2017, https://arxiv.org/abs/1711.00399.
    """
    before = batch.inputs["image"]
    rows, (height, width) = len(batch), before.shape[2:]
    sides = [max(2, min(side, length // 2)) for length in (height, width)]
    mask = before.new_full((rows, 1, *sides), 0.5).requires_grad_()  # not 0: there the paint would have no slope
    paint = before.clone().requires_grad_()
    weight = before.new_ones(rows)
    least, best = before.new_full((rows,), torch.inf), before.clone()
    adam = torch.optim.Adam([mask, paint], lr=rate)
    for step in range(steps):
        with torch.enable_grad():
            cover = functional.interpolate(mask, size=(height, width), mode="bilinear")
            seen = before + cover * (paint - before)
            reached = score(network(**batch.with_inputs(image=seen).inputs), batch)
            size = area * mask.mean((1, 2, 3)) + rough * _roughness(seen - before)
            cost = weight * functional.relu(margin - reached) + size
        gradients = torch.autograd.grad(cost.sum(), [mask, paint], allow_unused=True)
        with torch.no_grad():
            there, smaller = reached >= margin, size < least
            least = torch.where(there & smaller, size, least)
            best = torch.where((there & smaller)[:, None, None, None], seen, best)
            weight = torch.where(there, weight * EASE, weight / EASE)
            for leaf, gradient in zip((mask, paint), gradients, strict=True):
                leaf.grad = torch.zeros_like(leaf) if gradient is None else gradient
            adam.step()
            mask.clamp_(0, 1)
            paint.clamp_(0, 1)
            mask.grad = paint.grad = None
        yield step
    images, logodds = _levelled(network, batch, best, score)
    found = torch.isfinite(least) & (logodds > 0)
    return Edit(images, found, logodds, ((),) * rows, rows * (3.0 * steps + 2))


def swapped(
    network: nn.Module, batch: Batch, donors: Float[Tensor, "batch 3 height width"], score: Score, *, cells: int = 6
) -> Generator[int, None, Edit]:
    """As few cells of a grid of `cells` x `cells` as a greedy search needs, each from the donor at the same place.

    Yields the number of each image.

    Each step tries every cell that is left, in one batch, and keeps the one after which the wanted class is likeliest;
    at the end each cell is put back that is not needed after all. Goyal and others 2019,
    https://arxiv.org/abs/1904.07451, section 3.3, with cells of the image instead of a layer's, and each at its own
    place, so that the result is an image to look at. Where all cells are swapped the image is the donor.
    """
    before = batch.inputs["image"]
    grid = _cells(cells, *before.shape[2:]).to(before.device)  # cells^2, height, width
    swapped_cells, images, logodds, passes = [], [], [], 0.0
    for row in range(len(batch)):
        search = _Search(network, batch.rows([row]), donors[row : row + 1], score, grid)
        chosen, reached = search.fewest()
        images.append(search.mixed([chosen])[0])
        swapped_cells.append(tuple(chosen))
        logodds.append(reached)
        passes += search.passes
        yield row
    reached_all = torch.tensor(logodds, device=before.device)
    return Edit(torch.stack(images), reached_all > 0, reached_all, tuple(swapped_cells), passes)


@dataclass(eq=False)
class _Search:
    """For one image the cells to be taken from its donor, and what the search has cost so far."""

    network: nn.Module
    one: Batch
    donor: Float[Tensor, "1 3 height width"]
    score: Score
    grid: Bool[Tensor, "cells height width"]
    passes: float = 0.0

    def fewest(self) -> tuple[list[int], float]:
        """The cells in the order in which they were taken, and the log-odds with them; all where none are enough."""
        chosen: list[int] = []
        (reached,) = self.scores([chosen])
        while reached <= 0 and (left := [cell for cell in range(len(self.grid)) if cell not in chosen]):
            scores = self.scores([[*chosen, cell] for cell in left])
            best = max(range(len(left)), key=scores.__getitem__)
            chosen, reached = [*chosen, left[best]], scores[best]
        for cell in chosen[:-1] if reached > 0 else ():  # those taken first may have lost their use
            without = [other for other in chosen if other != cell]
            (less,) = self.scores([without])
            if less > 0:
                chosen, reached = without, less
        return chosen, reached

    def scores(self, tried: Sequence[Sequence[int]]) -> list[float]:
        """The log-odds with each of these choices of cells."""
        self.passes += len(tried)
        found: list[float] = []
        for start in range(0, len(tried), AT_ONCE):
            some = tried[start : start + AT_ONCE]
            many = self.one.rows([0] * len(some)).with_inputs(image=self.mixed(some))
            with torch.no_grad():
                found += self.score(self.network(**many.inputs), many).tolist()
        return found

    def mixed(self, tried: Sequence[Sequence[int]]) -> Float[Tensor, "tried 3 height width"]:
        """The image with each of these choices of cells taken from the donor."""
        where = torch.stack([self.grid[list(cells)].any(0) for cells in tried])[:, None]
        return torch.where(where, self.donor, self.one.inputs["image"])


def _cells(cells: int, height: int, width: int) -> Bool[Tensor, "cells height width"]:
    """Each cell as a mask, row by row; cells that would hold no pixel are empty."""
    rows, columns = (torch.arange(length) * cells // length for length in (height, width))
    return torch.stack([(rows == cell // cells)[:, None] & (columns == cell % cells) for cell in range(cells**2)])


def _levelled(
    network: nn.Module, batch: Batch, edited: Float[Tensor, "batch 3 height width"], score: Score
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, " batch"]]:
    """Rounded to 256 levels, as an image file holds it, without what is too faint to see where the answer allows."""
    before = batch.inputs["image"]
    rounded = (edited * 255).round() / 255
    faint = ((rounded - before).abs() * 255 < FAINT - 0.5).all(1, keepdim=True)
    with torch.no_grad():
        cleared = torch.where(faint, before, rounded)
        of_rounded, of_cleared = (
            score(network(**batch.with_inputs(image=image.clone()).inputs), batch) for image in (rounded, cleared)
        )
    use = of_cleared > 0
    return torch.where(use[:, None, None, None], cleared, rounded), torch.where(use, of_cleared, of_rounded)


def _roughness(change: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
    """The mean difference of neighbours, down and across."""
    return change.diff(dim=2).abs().mean((1, 2, 3)) + change.diff(dim=3).abs().mean((1, 2, 3))
