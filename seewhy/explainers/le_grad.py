"""Which places of the image would attention have to look at more, in every block, to make the answer stronger?

The head is asked what it says of each block's output, and that score is differentiated at the block's attention:

    heat = mean over blocks, heads and queries of relu( d score of the block / d attention to the place )

Bousselham and others 2024, https://arxiv.org/abs/2404.03214, equations 6 to 8. Unlike `chefer` it does not multiply
blocks, so that no early block is lost, and it asks for what could be attended to rather than for what was.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.attention import AttentionMaps, BlockAttentionGradients
from seewhy.types import Question

#: Which networks it is for.
only = "vision transformers whose attention is between all places of the image"


def needs() -> tuple[Need, ...]:
    """The attention maps of all blocks and gradients there."""
    return (BlockAttentionGradients(),)


def heat(evidence: Evidence, question: Question) -> Float[Tensor, "batch height width"]:
    """Logits a unit of attention, 0 or more; at the size of the grid of tokens."""
    found: AttentionMaps = evidence[BlockAttentionGradients()]
    found_in_blocks = [gradient.relu().mean((1, 2)) for gradient in found.gradients]  # batch, keys
    return found.over_image(torch.stack(found_in_blocks).mean(0))
