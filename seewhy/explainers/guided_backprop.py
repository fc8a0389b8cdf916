"""Which pixels are seen by what speaks for the answer, layer by layer?

    heat[y, x] = sum_c | what comes back to image[c, y, x] |    where each activation passes back relu(gradient) * slope

Springenberg and others 2014, https://arxiv.org/abs/1412.6806, figure 1. Unlike the gradient nothing that speaks against
the answer is let through on the way back, which gives sharp pictures. They are close to an edge filter: the map changes
little when the upper layers are made random (Adebayo and others 2018, https://arxiv.org/abs/1810.03292), so do not read
it as evidence of what the answer rests on. For activations other than ReLU the slope is the derivative.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.hooks import Call
from seewhy.passes import Evidence, Need
from seewhy.passes.rules import RuleGradient, RuleGradients
from seewhy.types import Question


def needs(*, into: str = "image") -> tuple[Need, ...]:
    """What comes back to one of the inputs."""
    return (RuleGradients((("activation", positive),), into),)


def heat(evidence: Evidence, question: Question, *, into: str = "image") -> Float[Tensor, "batch height width"]:
    """Of no unit, 0 or more; at the size of the input named by `into`."""
    found: RuleGradient = evidence[needs(into=into)[0]]
    return found.gradient.abs().sum(1)  # batch, height, width


def positive(call: Call) -> Tensor:
    """An activation that passes back only what is positive."""
    output = call()
    if output.requires_grad:
        output.register_hook(torch.relu)
    return output
