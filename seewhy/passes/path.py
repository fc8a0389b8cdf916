"""Gradients on the way from an image with nothing to see to the image itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes.budget import Passes
from seewhy.passes.fillings import filled
from seewhy.passes.noise import noise
from seewhy.passes.run import Need, Run

#: The first number of steps; it is doubled until the path is complete.
FIRST_STEPS = 8


@dataclass(frozen=True, slots=True)
class PathGradients(Need):
    """The mean gradient on the straight line from a filling to the input; gives a PathGradient.

    Steps are doubled, and all earlier ones used again, until the attributions add up to the difference of the scores to
    within `tolerance` of it, for every example, or `most` steps are made. With `steps` the number is fixed and they
    are placed by Gauss and Legendre, as others do.
    """

    into: str = "image"
    fill: str = "black"
    tolerance: float = 0.01
    most: int = 256
    steps: int | None = None
    scored = False

    def passes(self, run: Run) -> Passes:
        """At most; fewer where the path is complete before."""
        if self.steps is not None:
            return Passes(self.steps, self.steps)
        return Passes(self.most + 1, self.most + 1)

    def gather(self, run: Run) -> Iterator[PathGradient]:
        """Better with each doubling."""
        run.leaf(self.into)  # words of its own for an input without gradient
        image = run.image(self.into)
        if run.left < 2 * (FIRST_STEPS + 1 if self.steps is None else self.steps):
            run.cut_short = True
            return
        start = filled(image, self.fill, detail=min(image.shape[2:]) / 2).expand_as(image)
        yield from self._fixed(run, image, start) if self.steps is not None else self._adaptive(run, image, start)

    def _fixed(self, run: Run, image: Tensor, start: Tensor) -> Iterator[PathGradient]:
        places, weights = (torch.tensor(x / 2) for x in np.polynomial.legendre.leggauss(self.steps or 1))
        places, weights = (x.to(image) for x in (places + 0.5, weights))
        mean, _ = _weighted(run, self.into, start, image, places, weights)
        yield PathGradient(image, start, mean, None, self.steps or 1)

    def _adaptive(self, run: Run, image: Tensor, start: Tensor) -> Iterator[PathGradient]:
        ends = torch.tensor([0.0, 1.0]).to(image)
        mean, scores = _weighted(run, self.into, start, image, ends, torch.full_like(ends, 0.5))  # one trapezium
        change, steps = scores[1] - scores[0], 1
        for finer in self._levels():
            if steps > 1 and (run.left < 2 * (finer - steps) or run.out_of_budget()):
                run.cut_short = True
                return
            # Halved steps have every other point in the middle of an old one; from one step all inner ones are new.
            new = torch.arange(1, finer, 1 if steps == 1 else 2).to(image) / finer
            added, _ = _weighted(run, self.into, start, image, new, torch.full_like(new, 1 / finer))
            mean, steps = mean * (steps / finer) + added, finer
            found = PathGradient(image, start, mean, change, steps)
            yield found
            if bool((found.gap.abs() <= self.tolerance * change.abs()).all()):
                return

    def _levels(self) -> list[int]:
        """Numbers of steps, each twice the one before."""
        if self.most < FIRST_STEPS:
            raise ValueError(f"A path of at most {self.most} steps is too short; `most` must be {FIRST_STEPS} or more")
        return [FIRST_STEPS << doubled for doubled in range((self.most // FIRST_STEPS).bit_length())]


@dataclass(frozen=True, eq=False)
class PathGradient:
    """The input, where the path began, the mean gradient between, and how far the score went.

    The last is None for a number of steps that was given: nobody asks whether they were enough.
    """

    input: Float[Tensor, "batch channels height width"]
    start: Float[Tensor, "batch channels height width"]
    gradient: Float[Tensor, "batch channels height width"]
    change: Float[Tensor, " batch"] | None
    steps: int

    @property
    def gap(self) -> Float[Tensor, " batch"]:
        """What the attributions lack of the change of the score: 0 where the path is complete."""
        assert self.change is not None, "the number of steps was given"
        return self.change - ((self.input - self.start) * self.gradient).flatten(1).sum(1)


@dataclass(frozen=True, slots=True)
class ExpectedGradients(Need):
    """Gradients at random places between a filling and the noisy input; gives an ExpectedGradient.

    `spread` is the noise's standard deviation as a share of the range of the image's values.
    """

    into: str = "image"
    fill: str = "black"
    samples: int = 16
    spread: float = 0.1
    seed: int = 0
    scored = False

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass a sample."""
        return Passes(self.samples, self.samples)

    def gather(self, run: Run) -> Iterator[ExpectedGradient]:
        """Better with each sample; the noise is that of `noise.NoisyGradients` with the same seed."""
        run.leaf(self.into)
        image = run.image(self.into)
        start = filled(image, self.fill, detail=min(image.shape[2:]) / 2)
        generator = torch.Generator().manual_seed(self.seed)
        places = torch.rand(self.samples, generator=generator).to(image)
        shaken = noise(image, self.samples, self.spread, self.seed)
        total, count = torch.zeros_like(image), 0
        for some in run.chunks(self.samples, graph=True, cost=2):
            away = image + shaken(some) - start  # samples, batch, channels, height, width
            points = start + places[some, None, None, None, None] * away
            total = total + (run.gradients_at(self.into, points)[1] * away).sum(0)
            count += len(points)
            yield ExpectedGradient(image, total / count, count)


@dataclass(frozen=True, eq=False)
class ExpectedGradient:
    """The mean over samples of (noisy input - filling) * gradient."""

    input: Float[Tensor, "batch channels height width"]
    attribution: Float[Tensor, "batch channels height width"]
    samples: int


def _weighted(
    run: Run, name: str, start: Tensor, end: Tensor, places: Tensor, weights: Tensor
) -> tuple[Tensor, Float[Tensor, "places batch"]]:
    """The weighted sum of the gradients at these places of the way, 0 to 1, and the scores there."""
    total, scores = torch.zeros_like(end), []
    size = max(1, run.rows_at_once(graph=True) // run.rows)
    for at, weight in zip(places.split(size), weights.split(size), strict=True):
        points = torch.lerp(start, end, at[:, None, None, None, None])
        found, gradient = run.gradients_at(name, points)
        total = total + (gradient * weight[:, None, None, None, None]).sum(0)
        scores.append(found)
    return total, torch.cat(scores)
