"""A network's inputs: which of them is the image, and copies that may be changed and differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.types import Batch


def image(inputs: Mapping[str, Any]) -> Tensor | None:
    """The input that layers lie over: the one named so, else the first that looks like images."""
    images = {name: value for name, value in inputs.items() if isinstance(value, Tensor) and value.ndim == 4}
    return images.get("image", next(iter(images.values()), None))


def placed(network: nn.Module, inputs: Batch | Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the inputs on the network's device, fit for a differentiable run and for changes in place."""
    given = inputs.inputs if isinstance(inputs, Batch) else inputs
    weight = next(chain(network.parameters(), network.buffers()), None)
    with torch.inference_mode(False):
        return {
            name: value.to(value.device if weight is None else weight.device, copy=True)
            if isinstance(value, Tensor)
            else value
            for name, value in given.items()
        }
