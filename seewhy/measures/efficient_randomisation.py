"""Does the map lose its shape when all weights are exchanged for noise?

    (complexity of the map on the spoiled network - complexity on the network) / complexity on the network

A map of what was learnt gets more even. One explanation in place of one a layer: Hedström et al. 2024, "eMPRT",
https://arxiv.org/abs/2405.02383. Complexity is that of the measure of this name.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._complexity import entropy
from seewhy.measures._spoiling import from_the_top, spoil
from seewhy.measures._trial import Trial

better = "higher"


def measure(trial: Trial, *, seed: int = 0) -> Float[Tensor, "maps batch"]:
    """Explains once again, by all methods together."""
    network, random = trial.copied(), torch.Generator().manual_seed(seed)
    for layer in from_the_top(trial, network):
        spoil(layer, random)
    before = entropy(trial.heat)
    return torch.where(before > 0, entropy(trial.again(network=network)) / before - 1, torch.nan)
