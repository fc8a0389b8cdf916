"""What does a layer see most of, whatever the question?

The activations at each place, projected on the direction in which they are longest over the image:

    activation[places, channels] = U S V^T            heat = relu( activation V[:, 0] )

Muhammad and Yeasin 2020, https://arxiv.org/abs/2008.00299, equation 3. It asks for no class and no gradient: it shows
what stands out to the layer, which need not be what the answer rests on. The sign of a direction is arbitrary; the one
that most of the activations have is taken.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.gradients import LayerGradient, LayerGradients
from seewhy.types import Question


def needs(*, layer: str | None = None) -> tuple[Need, ...]:
    """Activations at a layer; without a name, at the last one that lies over the image and counts."""
    return (LayerGradients(layer),)


def heat(
    evidence: Evidence, question: Question, *, layer: str | None = None, relu: bool = True
) -> Float[Tensor, "batch height width"]:
    """In the layer's own unit, at the size of its grid; 0 or more unless `relu` is off."""
    at_layer: LayerGradient = evidence[LayerGradients(layer)]
    places = at_layer.activation.flatten(2).transpose(1, 2)  # batch, places, channels
    _, _, directions = torch.linalg.svd(places, full_matrices=False)
    along = (places @ directions[:, 0, :, None])[..., 0]  # batch, places
    sign = torch.where(along.sum(1, keepdim=True) < 0, -1.0, 1.0).to(along)
    signed = (sign * along).unflatten(1, at_layer.activation.shape[2:])
    return signed.relu() if relu else signed
