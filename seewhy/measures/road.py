"""What do the hottest pixels tell the network that the coldest do not, when neither leaves a hole?

Pixels are taken away, hottest first or coldest first, and put back from their neighbours, so that the network sees no
holes that give their shape away:

    mean over shares of (score without the coldest - score without the hottest) / (score - score of the mean colour)

Above 0 the map tells what matters from what does not. Rong et al. 2022, "ROAD", https://arxiv.org/abs/2202.00449, on
the question's score where they took the accuracy. NaN where the score is no higher than that of the mean colour.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial
from seewhy.passes.fillings import imputed

better = "higher"


def measure(
    trial: Trial, *, shares: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9), noise: float = 0.01
) -> Float[Tensor, "maps batch"]:
    """Twice as many forward passes a map and example as there are `shares`, and one more for all."""
    ranks, image, run = trial.ranks(), trial.image, trial.run
    hidden = [which < share for share in shares for which in (*ranks, *(1 - ranks))]
    found = []
    for some in run.chunks(len(hidden)):
        copies = len(hidden[some])
        images = imputed(image.repeat(copies, 1, 1, 1), torch.cat(hidden[some]), noise=noise)
        found.append(run.scores(run.repeated(copies, {"image": images}), copies))
    hot, cold = torch.cat(found).view(len(shares), 2, len(ranks), run.rows).mean(0)
    none = run.scores(run.repeated(1, {"image": image.mean((2, 3), keepdim=True).expand_as(image)}))[0]
    whole = run.baseline()
    return torch.where(whole > none, (cold - hot) / (whole - none), torch.nan)
