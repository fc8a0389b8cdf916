"""Which places speak for the answer, also in a layer early enough to tell small ones apart?

    heat[y, x] = relu( sum_c relu( d score / d activation[c, y, x] ) * activation[c, y, x] )

Jiang and others 2021, https://mmcheng.net/mftp/Papers/21TIP_LayerCAM.pdf, equations 6 and 7. Unlike Grad-CAM each place
has a weight of its own, and gradients that speak against the answer are dropped, so that it still says something at
early layers, whose mean gradients are noise. What speaks against the answer is never seen.
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
    signed = (at_layer.gradient.relu() * at_layer.activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
