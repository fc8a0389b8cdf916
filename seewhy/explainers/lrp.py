"""How does the score add up from the pixels, each kind of layer by the rule that suits it?

Epsilon in linear layers, gamma in convolutions, and where the network meets the image the z-box rule, which knows that
a pixel lies between black and white:

    R_i = sum_j  (x_i w_ij - black_i w^+_ij - white_i w^-_ij) / (their sum over i)  R_j

The composite that Montavon et al. 2019 recommend, https://doi.org/10.1007/978-3-030-28954-6_10, section 10.3; the z-box
rule: Montavon et al. 2017, https://arxiv.org/abs/1512.02479. Black and white run along in the same batch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, epsilon: float = 0.01, gamma: float = 0.25, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by a rule for each kind of layer."""
    return (Relevance(Rule("gamma", gamma=gamma), Rule("epsilon", epsilon=epsilon), box=True, into=into),)


def heat(
    evidence: Evidence, question: Question, *, epsilon: float = 0.01, gamma: float = 0.25, into: str = "image"
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(epsilon=epsilon, gamma=gamma, into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(
    evidence: Evidence, question: Question, *, epsilon: float = 0.01, gamma: float = 0.25, into: str = "image"
) -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(epsilon=epsilon, gamma=gamma, into=into)[0]]
    return {"conserved": found.conserved}
