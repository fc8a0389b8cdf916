"""How does the score add up from the pixels, when all that is known of them is that they lie between black and white?

    R_i = sum_j  (x_i w_ij - black_i w^+_ij - white_i w^-_ij) / (their sum over i)  R_j    where a layer meets the image
    R_i = sum_j  (x_i w_ij)^+ / (sum_i (x_i w_ij)^+)  R_j                                  in all others

Deep Taylor decomposition, Montavon et al. 2017, https://doi.org/10.1016/j.patcog.2016.11.008: the z-box rule, and z+.
The normalisation counts as part of the first layer: black and white run along in the same batch. Biases keep their
share, but in the first layer, where the pixels get all. Like z+ it follows objects, whichever answer is asked for; and
a pixel counts by how far it is from what would suit the answer least, so a dark one is heard as well as a bright one.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by z-box at the image and by z+ in all other layers."""
    return (Relevance(Rule("alpha-beta", alpha=1.0), Rule("alpha-beta", alpha=1.0), box=True, into=into),)


def heat(evidence: Evidence, question: Question, *, into: str = "image") -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(evidence: Evidence, question: Question, *, into: str = "image") -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(into=into)[0]]
    return {"conserved": found.conserved}
