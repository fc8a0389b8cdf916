"""Where does the network find what it takes for the answer, as a late layer sees it?

The channels of a layer, each weighted by how much the question's score rises with it on average over the image:

    weight[c]  = mean_yx d score / d activation[c, y, x]
    heat[y, x] = relu( sum_c weight[c] * activation[c, y, x] )

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391. Two differences from the gradient: it is taken at a layer, so
the map is as coarse as that layer and follows objects more than edges, and what is there counts, not only what would
change. The trunk runs once, the backward pass goes through the head alone. It fails where one mean a channel cannot
speak for all places (a head that reads places differently, two objects of one kind), and the choice of layer changes
the map. In a ViT the tokens of the image are laid out as the image is; the class token has no place in it.
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
    weights = at_layer.gradient.mean((2, 3), keepdim=True)  # batch, channels, 1, 1
    signed = (weights * at_layer.activation).sum(1)  # batch, height, width
    return signed.relu() if relu else signed
