"""Does the hottest pixel lie on the object?

1 if it does, 0 if not; of several hottest, the share that does. Zhang et al. 2016, https://arxiv.org/abs/1608.00507,
without their margin. It takes masks of the objects, and that the network should look there.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._trial import Trial
from seewhy.passes import Unsuitable

better = "higher"


def measure(trial: Trial) -> Float[Tensor, "maps batch"]:
    """Asks the network nothing. Raises Unsuitable without masks."""
    if trial.batch.masks is None:
        raise Unsuitable("The images have no masks of their objects")
    hottest = trial.heat == trial.heat.amax((2, 3), keepdim=True)
    return (hottest & trial.batch.masks.to(hottest.device)).sum((2, 3)) / hottest.sum((2, 3))
