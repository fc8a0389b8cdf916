"""Is the map another one for another answer?

Spearman's correlation of |heat| for the question and for its rival: 1 says the same of both, so it cannot be about
either. Sixt, Granz and Landgraf 2020, https://arxiv.org/abs/1912.09818.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._likeness import rank_correlation
from seewhy.measures._trial import Trial
from seewhy.passes import Unsuitable

better = "lower"


def measure(trial: Trial) -> Float[Tensor, "maps batch"]:
    """Explains once again, by all methods together. Raises Unsuitable where the trial has no rival."""
    if trial.rival is None:
        raise Unsuitable("There is no rival answer to explain")
    return rank_correlation(trial.heat.abs(), trial.again(question=trial.rival).abs())
