"""Which pixels would change the answer most, if each moved a little?

The size of the gradient of the question's score with respect to each pixel, summed over channels:

    heat[y, x] = sum_c | d score / d image[c, y, x] |

Simonyan, Vedaldi and Zisserman 2013, https://arxiv.org/abs/1312.6034, who take the largest channel instead of the sum.
Unlike occlusion it costs one forward and one backward pass and tells single pixels apart. It sees small changes only: a
pixel the network has long since made up its mind about shows nothing, and behind ReLUs and pooling the map is speckled.
It has no sign: it says where the answer can be moved, not what speaks for it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.gradients import InputGradient, InputGradients
from seewhy.types import Question


def needs(*, into: str = "image") -> tuple[Need, ...]:
    """The gradient at one of the inputs."""
    return (InputGradients(into),)


def heat(evidence: Evidence, question: Question, *, into: str = "image") -> Float[Tensor, "batch height width"]:
    """Logits a unit of brightness, 0 or more; at the size of the input named by `into`."""
    at_input: InputGradient = evidence[InputGradients(into)]
    return at_input.gradient.abs().sum(1)  # batch, height, width
