"""How much weaker does the answer get without each channel of a late layer, and where is that channel?

    weight[c]  = score - score with activation[c] set to 0
    heat[y, x] = relu( sum_c weight[c] * activation[c, y, x] )

Desai and Ramaswamy 2020, https://doi.org/10.1109/WACV45572.2020.9093360, equation 6, who divide the weights by the
score: the same map up to a factor, and to its sign where the score is negative. Unlike Grad-CAM it makes a real change
and sees its whole effect. It costs a run of the head a channel; the trunk is run once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.channels import ChannelAblations, ChannelScores
from seewhy.passes.gradients import LayerGradients
from seewhy.types import Question


def needs(*, layer: str | None = None) -> tuple[Need, ...]:
    """The score by channel of a layer; without a name, of the last one that lies over the image and counts."""
    return LayerGradients(layer), ChannelAblations(layer)  # the layer, from the pass that serves all gradients


def heat(
    evidence: Evidence, question: Question, *, layer: str | None = None, relu: bool = True
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the layer's grid; 0 or more unless `relu` is off."""
    found: ChannelScores = evidence[ChannelAblations(layer)]
    weights = found.baseline - found.scores  # channels that were tried, batch
    signed = torch.einsum("cb,bchw->bhw", weights, found.activation[:, : len(weights)])
    return signed.relu() if relu else signed
