"""Where does the network find what it takes for the answer, if it is there more than once?

Grad-CAM, but places whose gradient is positive count by how much they would be needed for the channel's weight:

    share[c, y, x] = g^2 / (2 g^2 + sum_yx activation[c] * g^3)          where g = d score / d activation[c, y, x]
    weight[c]      = sum_yx share[c, y, x] * relu(g)
    heat[y, x]     = relu( sum_c weight[c] * activation[c, y, x] )

Chattopadhay and others 2018, https://arxiv.org/abs/1710.11063, equations 10 and 19, with exp(score) for the score,
whose constant factor is left out. Unlike Grad-CAM it does not let two objects of one kind share one mean; it never sees
what speaks against the answer.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.gradients import LayerGradient, LayerGradients
from seewhy.types import Question


def needs(*, layer: str | None = None) -> tuple[Need, ...]:
    """Activations and gradients at a layer; without a name, at the last one that lies over the image and counts."""
    return (LayerGradients(layer),)


def heat(
    evidence: Evidence, question: Question, *, layer: str | None = None, relu: bool = True
) -> Float[Tensor, "batch height width"]:
    """In proportion to logits, at the size of the layer's grid; 0 or more unless `relu` is off."""
    at_layer: LayerGradient = evidence[LayerGradients(layer)]
    gradient, activation = at_layer.gradient, at_layer.activation
    square = gradient.square()
    below = 2 * square + (activation * gradient.pow(3)).sum((2, 3), keepdim=True)
    share = square / below.where(below != 0, 1)
    weights = (share * gradient.relu()).sum((2, 3), keepdim=True)  # batch, channels, 1, 1
    signed = (weights * activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
