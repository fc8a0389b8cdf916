"""How much of the image does the map speak of?

The entropy of the shares of |heat|, as a part of the largest there can be: 0 one pixel, 1 all pixels alike. Bhatt,
Weller and Moura 2020, https://arxiv.org/abs/2005.00631, equation 4. A simple map is easier to read, and no truer.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.measures._complexity import entropy
from seewhy.measures._trial import Trial

better = "lower"


def measure(trial: Trial) -> Float[Tensor, "maps batch"]:
    """Asks the network nothing."""
    return entropy(trial.heat)
