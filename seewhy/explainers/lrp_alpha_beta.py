"""How does the score add up from the pixels, with what speaks for it and against it told apart?

    R_i = sum_j  ( alpha (x_i w_ij)^+ / sum_i (x_i w_ij)^+  -  (alpha - 1) (x_i w_ij)^- / sum_i (x_i w_ij)^- )  R_j

Bach et al. 2015, https://doi.org/10.1371/journal.pone.0130140, equation 60; alpha 2 is usual. What speaks against grows
from layer to layer, so in deep networks alpha near 1 is calmer.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, alpha: float = 2.0, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by the same rule in all layers."""
    return (Relevance(Rule("alpha-beta", alpha=alpha), Rule("alpha-beta", alpha=alpha), into=into),)


def heat(
    evidence: Evidence, question: Question, *, alpha: float = 2.0, into: str = "image"
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(alpha=alpha, into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(evidence: Evidence, question: Question, *, alpha: float = 2.0, into: str = "image") -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(alpha=alpha, into=into)[0]]
    return {"conserved": found.conserved}
