"""Which pixels speak for the answer, by being as bright as they are?

    heat[y, x] = sum_c image[c, y, x] * d score / d image[c, y, x]

Shrikumar and others 2016, https://arxiv.org/abs/1605.01713. Unlike the gradient it has a sign. For a network of ReLUs
without biases it is what DeepLIFT and epsilon-LRP give, and adds up to the score. A black pixel never gets any heat,
however much it matters, and it is as speckled as the gradient.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.gradients import InputGradient, InputGradients
from seewhy.types import Question


def needs(
    *,
    into: str = "image",
) -> tuple[Need, ...]:
    """The gradient at one of the inputs."""
    return (InputGradients(into),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: InputGradient = evidence[InputGradients(into)]
    return (found.input * found.gradient).sum(1)  # batch, height, width
