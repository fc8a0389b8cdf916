"""The least that must be taken from an image for the score to fall: a mask, found by descent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.passes.budget import Passes
from seewhy.passes.fillings import Covering
from seewhy.passes.run import Need, Run

#: Adam's own constants (Kingma and Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8
#: Progress is told after so many steps.
TOLD = 20


@dataclass(frozen=True, slots=True)
class OptimisedMask(Need):
    """A coarse mask, 0 to 1, that makes the score fall by covering little and smoothly; gives a LeastCover.

    The score counts from 1 for the whole image to 0 for nothing but filling. `area` weighs the share that is covered,
    `rough` the mean absolute difference of neighbouring cells to the power `power`. An example whose mask moves by less
    than `tolerance` anywhere in `TOLD` steps is finished, and the work ends when all are.
    """

    into: str = "image"
    fill: str = "blur"
    side: int = 28
    steps: int = 300
    rate: float = 0.1
    area: float = 1.0
    rough: float = 1.0
    power: float = 3.0
    tolerance: float = 0.01

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass a step at most, and the score of the filling."""
        return Passes(self.steps + 1, self.steps)

    def gather(self, run: Run) -> Iterator[LeastCover]:
        """Better with every step; descent is by Adam, cell by cell."""
        run.leaf(self.into)  # words of its own for an input without gradient
        image = run.image(self.into)
        height, width = image.shape[2:]
        sides = [max(2, min(self.side, side // 2)) for side in (height, width)]
        covering = Covering(image, self.fill, detail=min(height, width) / 4)
        empty = run.scores(run.repeated(1, {self.into: covering.cover(image.new_ones(1, 1, height, width))[0]}))[0]
        fall = run.baseline() - empty
        scale = fall.abs().clamp(min=1e-6)  # a score that stands still is not blown up
        cover = image.new_zeros(run.rows, *sides)
        mean, square = torch.zeros_like(cover), torch.zeros_like(cover)
        moving, before = torch.ones(run.rows, dtype=torch.bool, device=image.device), cover
        for step in range(1, self.steps + 1):
            if run.left < 2 or run.out_of_budget():
                run.cut_short = True
                return
            slope = self._slope(run, covering, cover, scale)
            mean, square = FIRST * mean + (1 - FIRST) * slope, SECOND * square + (1 - SECOND) * slope.square()
            change = (mean / (1 - FIRST**step)) / ((square / (1 - SECOND**step)).sqrt() + SMALL)
            moved = (cover - self.rate * change).clamp(0, 1)
            cover = torch.where(moving[:, None, None], moved, cover)
            if step % TOLD == 0 or step == self.steps:
                yield LeastCover(cover, run.baseline(), empty, step)
                moving = moving & ((cover - before).abs().amax((1, 2)) >= self.tolerance)
                before = cover
                if not moving.any():
                    return

    def _slope(self, run: Run, covering: Covering, cover: Tensor, scale: Tensor) -> Float[Tensor, "batch rows columns"]:
        """Of what is to be made small, with respect to each cell's cover."""
        with torch.enable_grad():
            leaf = cover.clone().requires_grad_()
            enlarged = functional.interpolate(leaf[:, None], size=covering.image.shape[2:], mode="bilinear")[:, 0]
            seen = covering.cover(enlarged[None])
            cost = (self.area * leaf.mean((1, 2)) + self.rough * _roughness(leaf, self.power)).sum()
        _, gradient = run.gradients_at(self.into, seen.detach())
        (through,) = torch.autograd.grad(seen, leaf, gradient / scale[:, None, None, None])
        (beside,) = torch.autograd.grad(cost, leaf)
        return through + beside


@dataclass(frozen=True, eq=False)
class LeastCover:
    """How much of each cell is covered, 0 to 1; the score of the image and of the filling alone; steps made."""

    cover: Float[Tensor, "batch rows columns"]
    baseline: Float[Tensor, " batch"]
    empty: Float[Tensor, " batch"]
    steps: int


def _roughness(cover: Float[Tensor, "batch rows columns"], power: float) -> Float[Tensor, " batch"]:
    """The mean over neighbours, down and across, of their difference to a power."""
    return sum(cover.diff(dim=axis).abs().pow(power).mean((1, 2)) for axis in (1, 2))  # type: ignore[return-value]
