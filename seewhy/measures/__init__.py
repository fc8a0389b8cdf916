"""How well do maps of heat say what the network did? Each file measures it in one way, for several maps at once.

A member has `measure(trial, *, ...) -> values`, one number a map and example, NaN where it says nothing; `better`,
"higher" or "lower". No one measure can choose a map: they contradict each other, and noise does well on some (Binder et
al. 2022, https://arxiv.org/abs/2211.12486). So `CONTROLS`, three maps that never asked the network, can be measured
beside those that did.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import shelf
from seewhy.measures._controls import CONTROLS
from seewhy.measures._trial import Trial
from seewhy.passes import Unsuitable
from seewhy.passes.heating import Methods
from seewhy.types import Batch, Progress, Question

__all__ = ["CONTROLS", "Measured", "Trial", "measure"]


@dataclass(frozen=True, eq=False)
class Measured:
    """By measure, by method: one number an example; and of the measures that gave none why not."""

    values: Mapping[str, Mapping[str, Float[Tensor, " batch"]]]
    unsuitable: Mapping[str, str]


def measure(
    network: nn.Module,
    batch: Batch,
    question: Question,
    methods: Methods,
    measures: Mapping[str, Mapping[str, Any]],
    *,
    heat: Mapping[str, Float[Tensor, "batch height width"]] | None = None,
    rival: Question | None = None,
    chunk: int | None = None,
) -> Generator[Progress, None, Measured]:
    """How well each map does by each measure. All maps of a measure share its runs of the network.

    `measures` gives the settings of each; `heat` saves explaining once more; `rival` is another answer, which some
    measures need. A measure that this batch is unsuitable for (no masks, no rival) is left out and says why. The
    network is as before, errors included.
    """
    trial = Trial(network, batch, question, methods, heat, rival=rival, chunk=chunk)
    found: dict[str, dict[str, Tensor]] = {}
    unsuitable: dict[str, str] = {}
    for number, (name, settings) in enumerate(measures.items()):
        yield Progress("measure", number, len(measures), note=name)
        try:
            with trial.looking():
                values = shelf.load("measures", name).measure(trial, **settings)
        except Unsuitable as error:
            unsuitable[name] = str(error)
            continue
        found[name] = dict(zip(trial.methods, torch.as_tensor(values).unbind(0), strict=True))
    yield Progress("measure", len(measures), len(measures))
    return Measured(found, unsuitable)
