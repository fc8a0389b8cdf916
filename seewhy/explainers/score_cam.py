"""How well can the answer be given from only what each channel of a late layer sees?

The image is shown through each channel, scaled to 0 to 1 and enlarged; the channels are weighed by the scores:

    weight     = softmax over channels of ( score(image * channel) - score(image) )
    heat[y, x] = relu( sum_c weight[c] * activation[c, y, x] )

Wang and others 2020, https://arxiv.org/abs/1910.01279, equations 5 to 7. Unlike Grad-CAM it needs no gradient. It costs
a run of the whole network a channel, and images in a black frame are such as nobody has seen. A shift of all scores
cancels in the softmax, so that any baseline gives the same map.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.channels import ChannelMasks, ChannelScores
from seewhy.passes.gradients import LayerGradients
from seewhy.types import Question


def needs(*, layer: str | None = None, into: str = "image") -> tuple[Need, ...]:
    """The score by channel of a layer; without a name, of the last one that lies over the image and counts."""
    return LayerGradients(layer), ChannelMasks(layer, into)  # the layer, from the pass that serves all gradients


def heat(
    evidence: Evidence, question: Question, *, layer: str | None = None, into: str = "image", relu: bool = True
) -> Float[Tensor, "batch height width"]:
    """In the layer's own unit, at the size of the layer's grid; 0 or more unless `relu` is off."""
    found: ChannelScores = evidence[ChannelMasks(layer, into)]
    weights = (found.scores - found.baseline).softmax(0)  # channels that were tried, batch
    signed = torch.einsum("cb,bchw->bhw", weights, found.activation[:, : len(weights)])
    return signed.relu() if relu else signed
