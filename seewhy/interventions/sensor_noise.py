"""What if another scanner or camera had added its own noise?

As a sensor has it: noise that grows with light, noise that does not, both new in each image, and faint columns that are
the same in all of them (Foi and others 2008, https://doi.org/10.1109/TIP.2008.2001399, for the first two):

    x + sqrt(a x + b) z + c z_column        a = .002 s,  b = (.01 s)^2,  c = .006 s  at strength s
"""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy import chance
from seewhy.interventions import _noise
from seewhy.interventions._severity import STRENGTHS, graded
from seewhy.types import Batch

changes, keeps, exact = "the sensor's noise", "what the image shows", True
nuisance = True
strengths = STRENGTHS

#: At strength 1: the variance a unit of light, the deviation in the dark, and that of the columns.
LIGHT, DARK, COLUMNS = 0.002, 0.01, 0.006


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` from 0 to 5. `seed` is the sensor."""
    shape = tuple(batch.inputs["image"].shape[1:])
    drawn = _noise.gaussian(batch, shape, seed=seed, stream="sensor noise")
    sensor = chance.uniform(chance.keys(["the sensor"]), seed=seed, stream="columns", draws=shape[-1])[0]
    columns = torch.special.ndtri(sensor.clamp(min=2.0**-25)).to(drawn)

    def at(image: Tensor, severity: int) -> Tensor:
        spread = (LIGHT * severity * image + (DARK * severity) ** 2).sqrt()
        return image + spread * drawn + COLUMNS * severity * columns

    return graded(batch, strength, at)
