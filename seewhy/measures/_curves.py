"""The score while ever more of the image is taken away in the order of a map."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial
from seewhy.passes.fillings import filled


def share_left(trial: Trial, steps: int, fill: str, *, hottest_first: bool) -> Float[Tensor, "maps batch"]:
    """The mean over the curve, by the trapezoidal rule; all maps in the same runs."""
    if steps < 2:
        raise ValueError(f"steps is {steps}; a curve needs at least 2")
    maps, batch = trial.heat.shape[:2]
    ranks = trial.ranks() if hottest_first else 1 - trial.ranks()
    filling = filled(trial.image, fill, detail=min(trial.image.shape[2:]) / 5)
    between = steps - 1  # nothing taken away, and everything, are the same for all maps

    def covered(place: int) -> Tensor:
        if place == maps * between:
            return torch.ones_like(ranks[0], dtype=torch.bool)
        which, step = divmod(place, between)
        share = (step + 1) / steps
        return ranks[which] < share if hottest_first else ranks[which] <= share

    scores = trial.scores(maps * between + 1, covered, filling)
    whole, none = trial.run.baseline(), scores[-1]
    inner = scores[:-1].view(maps, between, batch).sum(1)
    share = (inner + (whole + none) / 2 - steps * none) / (steps * (whole - none))
    return torch.where(whole > none, share, torch.nan)
