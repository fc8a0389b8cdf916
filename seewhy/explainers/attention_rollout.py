"""From which places of the image did attention carry something to where the answer is read?

Each block passes on half of what a token was and half of what it attended to; the blocks are multiplied:

    flow = product over blocks, the first to the right, of ( attention, mean over heads, + identity ) / 2
    heat = the row of flow of the token that is read (the class token; else the mean over the image's tokens)

Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928, equation 1. It knows no question: it shows what was mixed, not
what of it counted. `chefer` weighs attention by its gradient.
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
    """Shares, 0 to 1; at the size of the grid of tokens."""
    found: AttentionMaps = evidence[AttentionGradients()]
    tokens = torch.eye(found.maps[0].shape[-1]).to(found.maps[0])
    flow = tokens
    for attention in found.maps:
        flow = (attention.mean(1) + tokens) / 2 @ flow  # batch, queries, keys
    return found.read(flow)
