"""Which places add how much to the score of a network that averages its last map?

    score      = bias + mean_yx sum_c weight[c] * activation[c, y, x]
    heat[y, x] = sum_c weight[c] * activation[c, y, x]

Zhou and others 2016, https://arxiv.org/abs/1512.04150, equation 2. Nothing is approximated: the mean of the heat is the
score less the bias. The weights are read off the gradient, which at such a layer is weight / places at every place; a
network in which it differs from place to place has no such map, and is told so. Grad-CAM is this map for any head.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need, Unsuitable
from seewhy.passes.gradients import LayerGradient, LayerGradients
from seewhy.types import Question

#: Which networks it is for.
only = "networks that average their last map before one linear layer"


def needs(*, layer: str | None = None) -> tuple[Need, ...]:
    """Activations and gradients at a layer; without a name, at the last one that lies over the image and counts."""
    return (LayerGradients(layer),)


def heat(
    evidence: Evidence, question: Question, *, layer: str | None = None, relu: bool = False
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the layer's grid. Raises Unsuitable where the head does not average the layer."""
    at_layer: LayerGradient = evidence[LayerGradients(layer)]
    gradient = at_layer.gradient
    weights = gradient.sum((2, 3), keepdim=True)  # batch, channels, 1, 1
    places = gradient.shape[2] * gradient.shape[3]
    if ((gradient * places - weights).abs() > 1e-3 * weights.abs().amax(1, keepdim=True)).any():
        raise Unsuitable(
            f"The head of this network does not average the layer {at_layer.layer.name!r}: its gradient differs from "
            "place to place. grad_cam and hires_cam read such heads"
        )
    signed = (weights * at_layer.activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
