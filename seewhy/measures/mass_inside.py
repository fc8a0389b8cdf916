"""How much of the heat lies on the object?

The share of the heat that speaks for the answer (above 0) inside the mask: Arras, Osman and Samek 2022, "relevance mass
accuracy", https://arxiv.org/abs/2003.07258. Heat spread evenly gives the object's share of the image. NaN where none
speaks for the answer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial
from seewhy.passes import Unsuitable

better = "higher"


def measure(trial: Trial) -> Float[Tensor, "maps batch"]:
    """Asks the network nothing. Raises Unsuitable without masks."""
    if trial.batch.masks is None:
        raise Unsuitable("The images have no masks of their objects")
    warm = trial.heat.clamp(min=0)
    total = warm.sum((2, 3))
    return torch.where(total > 0, (warm * trial.batch.masks.to(warm.device)).sum((2, 3)) / total, torch.nan)
