"""How does the score add up from the pixels, by what speaks for each part alone?

    R_i = sum_j  (x_i w_ij)^+ / (sum_i (x_i w_ij)^+)  R_j

The z+ rule of deep Taylor decomposition (Montavon et al. 2017, https://arxiv.org/abs/1512.02479): alpha 1, beta 0.
Stable and rarely negative; it follows objects, whichever answer is asked for, and so tells answers apart badly.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by the same rule in all layers."""
    return (Relevance(Rule("alpha-beta", alpha=1.0), Rule("alpha-beta", alpha=1.0), into=into),)


def heat(evidence: Evidence, question: Question, *, into: str = "image") -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(evidence: Evidence, question: Question, *, into: str = "image") -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(into=into)[0]]
    return {"conserved": found.conserved}
