"""Which places of a late layer does the score read, each by its own weight?

    heat[y, x] = relu( sum_c d score / d activation[c, y, x] * activation[c, y, x] )

Draelos and Carin 2020, https://arxiv.org/abs/2011.08891, equation 5. Unlike Grad-CAM it takes no mean of the gradient,
so it never points at a place that the head did not use; where the head averages the map, both are the same up to a
factor.
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
    signed = (at_layer.gradient * at_layer.activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
