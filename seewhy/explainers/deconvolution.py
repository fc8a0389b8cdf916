"""Which pixels would an image need for this answer, if it were drawn backwards from the top?

    heat[y, x] = sum_c | what comes back to image[c, y, x] |     where each activation passes back relu(gradient)

Zeiler and Fergus 2013, https://arxiv.org/abs/1311.2901, section 2.1. Unlike guided backpropagation it does not ask
which units were active on the way up: without max pooling, whose places are remembered, the map hardly depends on the
image.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.hooks import Call, redirected
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
    return redirected(call(), call.input, lambda gradient: gradient.relu())
