"""How does the score add up from the pixels, when small sums are not trusted?

Layer-wise relevance propagation: each layer hands the score back in proportion to what each input contributed,

    R_i = sum_j  x_i w_ij / (z_j + epsilon rms(z) sign z_j)  R_j

Bach et al. 2015, https://doi.org/10.1371/journal.pone.0130140, equation 58, epsilon measured by the root mean square of
the layer's outputs so that it means the same in every network. At epsilon 0 on a network of ReLUs it is the gradient
times the input that the first layer meets. A larger epsilon lets go of what nearly cancels out. One forward and one
backward pass.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from seewhy.passes import Evidence, Need
from seewhy.passes.relevance import Relevance, Relevances, Rule
from seewhy.types import Question


def needs(*, epsilon: float = 0.01, into: str = "image") -> tuple[Need, ...]:
    """Relevance, by the same rule in all layers."""
    return (Relevance(Rule("epsilon", epsilon=epsilon), Rule("epsilon", epsilon=epsilon), into=into),)


def heat(
    evidence: Evidence, question: Question, *, epsilon: float = 0.01, into: str = "image"
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: Relevances = evidence[needs(epsilon=epsilon, into=into)[0]]
    return found.relevance.sum(1)  # batch, height, width


def told(evidence: Evidence, question: Question, *, epsilon: float = 0.01, into: str = "image") -> dict[str, float]:
    """How much of the scores arrived at the images, less what biases kept: 1 is all of it."""
    found: Relevances = evidence[needs(epsilon=epsilon, into=into)[0]]
    return {"conserved": found.conserved}
