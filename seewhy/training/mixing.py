"""What if an image is made of two, and has both their answers?

mixup    share * a + (1 - share) * b              Zhang et al. 2017, https://arxiv.org/abs/1710.09412
cutmix   a, with a box of b laid over 1 - share   Yun et al. 2019, https://arxiv.org/abs/1905.04899

The loss is share * loss(a's target) + (1 - share) * loss(b's target), which for cross-entropy equals that of the mixed
target, and asks nothing new of a task. As in both papers a step has one share, drawn from Beta(strength, strength).

Partners are neighbours in the order of the epoch, which is random: first and second, third and fourth. So a batch may
be cut into pieces of even length and nothing changes. Unlike in the paper cutmix's box lies wholly inside the image,
each image's elsewhere, so that its share is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from scipy.special import betaincinv
from torch import Tensor

from seewhy import chance
from seewhy.types import Batch, Task


@dataclass(frozen=True, eq=False)
class Mixture:
    """A batch that a network sees, the partners whose answers it has too, and the share that is its own."""

    batch: Batch
    partners: Batch | None = None
    share: float = 1.0

    def objective(self, task: Task, output: Any) -> Float[Tensor, ""]:
        """The task's objective for both answers, each by its share."""
        own = task.objective(output, self.batch)
        if self.partners is None:
            return own
        return self.share * own + (1 - self.share) * task.objective(output, self.partners)


def mix(batch: Batch, *, mixup: float, cutmix: float, seed: int, epoch: int, step: int) -> Mixture:
    """Each image with its neighbour; where both kinds are asked for, a step is of one or the other by a coin."""
    if not (mixup or cutmix):
        return Mixture(batch)
    drawn, coin = chance.uniform(torch.tensor([step]), seed=seed, stream="mix", draws=2)[0].tolist()
    cuts = cutmix > 0 and (not mixup or coin < 0.5)
    strength = cutmix if cuts else mixup
    share = float(betaincinv(strength, strength, drawn))
    others = partners(batch)
    ours, theirs = batch.inputs["image"], others.inputs["image"]
    if cuts:
        inside, share = _boxes(batch, share, seed=seed, epoch=epoch)
        images = torch.where(inside, theirs, ours)
    else:
        images = torch.lerp(theirs, ours, share)
    return Mixture(batch.with_inputs(image=images), others, share)


def partners(batch: Batch) -> Batch:
    """Each example's neighbour; the last of an odd number is its own."""
    return batch.rows([min(place ^ 1, len(batch) - 1) for place in range(len(batch))])


def _boxes(batch: Batch, share: float, *, seed: int, epoch: int) -> tuple[Bool[Tensor, "batch 1 height width"], float]:
    """Where the partner's box lies, and the share that it leaves, in whole pixels."""
    height, width = batch.inputs["image"].shape[-2:]
    device = batch.inputs["image"].device
    tall, wide = round(height * (1 - share) ** 0.5), round(width * (1 - share) ** 0.5)
    draws = chance.uniform(chance.keys(batch.ids), seed=seed, stream=f"cut {epoch}", draws=2).to(device)
    top = (draws[:, 0] * (height - tall + 1)).floor()[:, None]
    left = (draws[:, 1] * (width - wide + 1)).floor()[:, None]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    inside_rows = (rows >= top) & (rows < top + tall)  # batch, height
    inside_columns = (columns >= left) & (columns < left + wide)  # batch, width
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None], 1 - tall * wide / (height * width)
