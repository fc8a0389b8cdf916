"""Gradients at noisy copies of an input: one batch of noise serves every method that smooths or compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run


@dataclass(frozen=True, slots=True)
class NoisyGradients(Need):
    """Gradients at `samples` noisy copies of an input; gives a NoisyGradient.

    `spread` is the noise's standard deviation as a share of the range of the image's values.
    """

    into: str = "image"
    samples: int = 16
    spread: float = 0.15
    seed: int = 0
    scored = False

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass a sample."""
        return Passes(self.samples, self.samples)

    def gather(self, run: Run) -> Iterator[NoisyGradient]:
        """Better with each sample."""
        image = run.leaf(self.into).detach()
        shaken = noise(image, self.samples, self.spread, self.seed)
        count, total, square = 0, torch.zeros_like(image), torch.zeros_like(image)
        for some in run.chunks(self.samples, graph=True, cost=2):
            gradients = run.gradients_at(self.into, image + shaken(some))[1]
            count, total, square = count + len(gradients), total + gradients.sum(0), square + gradients.square().sum(0)
            yield NoisyGradient(image, total / count, square / count, count)


@dataclass(frozen=True, eq=False)
class NoisyGradient:
    """Over the samples: the gradient's mean and the mean of its square."""

    input: Float[Tensor, "batch ..."]
    mean: Float[Tensor, "batch ..."]
    square: Float[Tensor, "batch ..."]
    samples: int

    @property
    def variance(self) -> Float[Tensor, "batch ..."]:
        """Over the samples, each counted once."""
        return (self.square - self.mean.square()).clamp(min=0)


def noise(image: Tensor, samples: int, spread: float, seed: int) -> Callable[[slice], Tensor]:
    """Gaussian noise by sample, for the whole batch: an example gets the same in any company.

    Its standard deviation is `spread` times the range of the example's values.
    """
    axes = tuple(range(1, image.ndim))
    deviation = spread * (image.amax(axes, keepdim=True) - image.amin(axes, keepdim=True))

    def drawn(some: slice) -> Tensor:
        drawn = [
            torch.randn(image.shape[1:], generator=torch.Generator().manual_seed(seed * 1_000_003 + sample))
            for sample in range(samples)[some]
        ]
        return torch.stack(drawn).to(image)[:, None] * deviation  # samples, batch, ...

    return drawn
