"""Does the map change when the network's weights are exchanged for noise, from the top down?

The mean, over stages of ever more spoiled layers, of Spearman's correlation of |heat| before and after. A map that
stays does not depend on what the network has learnt. Adebayo et al. 2018, https://arxiv.org/abs/1810.03292; the network
itself is not touched, a copy is spoiled. Noise-like maps pass easily (Binder et al. 2022,
https://arxiv.org/abs/2211.12486).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._likeness import rank_correlation
from seewhy.measures._spoiling import from_the_top, spoil
from seewhy.measures._trial import Trial

better = "lower"


def measure(trial: Trial, *, stages: int = 4, seed: int = 0) -> Float[Tensor, "maps batch"]:
    """Explains `stages` times again, by all methods together; after the last stage no weight is left."""
    network, random = trial.copied(), torch.Generator().manual_seed(seed)
    layers = from_the_top(trial, network)
    found, done = [], 0
    for stage in range(1, stages + 1):
        upto = -(-len(layers) * stage // stages)
        for layer in layers[done:upto]:
            spoil(layer, random)
        done = upto
        found.append(rank_correlation(trial.heat.abs(), trial.again(network=network).abs()))
    return torch.stack(found).nanmean(0)
