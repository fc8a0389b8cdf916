"""Does the map stay what it is when the image hardly changes?

    max over noise n of |map(image + n) - map(image)| / |map(image)|,      n uniform in -radius to radius

Yeh et al. 2019, https://arxiv.org/abs/1901.09392, equation 3, by drawing. 0 is a map that no noise moves, which a map
that never asked the network also is. NaN for a map of zeros.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial

better = "lower"


def measure(trial: Trial, *, count: int = 8, radius: float = 0.02, seed: int = 0) -> Float[Tensor, "maps batch"]:
    """Explains `count` times again, by all methods together; `radius` in the image's own 0 to 1."""
    random = torch.Generator().manual_seed(seed)
    size = trial.heat.flatten(2).norm(dim=2)
    largest = torch.zeros_like(size)
    for _ in range(count):
        noise = torch.empty(trial.image.shape[1:]).uniform_(-radius, radius, generator=random)  # the same for all
        moved = trial.again(batch=trial.batch.with_inputs(image=trial.image + noise.to(trial.image)))
        largest = torch.maximum(largest, (moved - trial.heat).flatten(2).norm(dim=2))
    return torch.where(size > 0, largest / size, torch.nan)
