"""From which places of the image did attention carry what speaks for the answer?

    flow <- flow + ( mean over heads of relu( d score / d attention * attention ) ) flow    block by block, from 1
    heat = the row of flow of the token that is read (the class token; else the mean over the image's tokens)

Chefer and others 2021, https://arxiv.org/abs/2103.15679, equations 5 and 6. Unlike attention rollout it asks the
question: attention whose gradient is 0 or speaks against the answer passes nothing on. What happens in the layers
between is left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.attention import AttentionGradients, AttentionMaps
from seewhy.types import Question

#: Which networks it is for.
only = "vision transformers whose attention is between all places of the image"


def needs() -> tuple[Need, ...]:
    """The attention maps of all blocks and gradients there."""
    return (AttentionGradients(),)


def heat(evidence: Evidence, question: Question) -> Float[Tensor, "batch height width"]:
    """In proportion to logits, 0 or more; at the size of the grid of tokens."""
    found: AttentionMaps = evidence[AttentionGradients()]
    tokens = torch.eye(found.maps[0].shape[-1]).to(found.maps[0])
    flow = tokens.expand(len(found.maps[0]), -1, -1)
    for attention, gradient in zip(found.maps, found.gradients, strict=True):
        flow = flow + (attention * gradient).relu().mean(1) @ flow  # batch, queries, keys
    return found.read(flow - tokens)  # what a token kept of itself tells no places apart
