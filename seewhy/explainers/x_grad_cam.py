"""Where does the network find what it takes for the answer, with weights that add up to the score?

    weight[c]  = sum_yx activation[c, y, x] / (sum activation[c]) * d score / d activation[c, y, x]
    heat[y, x] = relu( sum_c weight[c] * activation[c, y, x] )

Fu and others 2020, https://arxiv.org/abs/2008.02312, equation 8. Unlike Grad-CAM the mean of the gradient counts each
place by its activation, which keeps the sum of the heat at sum(gradient * activation), as in HiResCAM. A channel that
adds up to 0 has no weight.
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
    """Logits, at the size of the layer's grid; 0 or more unless `relu` is off, then what speaks against is negative."""
    at_layer: LayerGradient = evidence[LayerGradients(layer)]
    activation = at_layer.activation
    total = activation.sum((2, 3), keepdim=True)
    read = (activation * at_layer.gradient).sum((2, 3), keepdim=True)
    weights = (read / total.where(total != 0, 1)).where(total != 0, 0)  # batch, channels, 1, 1
    signed = (weights * activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
