"""How does the score add up from the pixels, when what speaks for it counts more?

    R_i = sum_j  (x_i w_ij + gamma (x_i w_ij)^+) / (their sum over i)  R_j          (+ is - where z_j is below 0)

Montavon et al. 2019, https://doi.org/10.1007/978-3-030-28954-6_10, table 1, in the form for inputs of any sign (Andéol
et al. 2021, https://arxiv.org/abs/2111.02272). Gamma 0 is epsilon 0, a large one is z+; between the two the map is less
noisy than the former and still knows what speaks against. About three forward and backward passes.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, gamma: float = 0.25, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by the same rule in all layers."""
    return (Relevance(Rule("gamma", gamma=gamma), Rule("gamma", gamma=gamma), into=into),)


def heat(
    evidence: Evidence, question: Question, *, gamma: float = 0.25, into: str = "image"
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(gamma=gamma, into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(evidence: Evidence, question: Question, *, gamma: float = 0.25, into: str = "image") -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(gamma=gamma, into=into)[0]]
    return {"conserved": found.conserved}
