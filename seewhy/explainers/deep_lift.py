"""How much does each pixel add to the score, against what the network says of a black image?

Contributions go back from layer to layer. An activation passes on, instead of its slope, how much its output differed
for how much its input did:

    multiplier = (f(x) - f(reference)) / (x - reference)
    heat[y, x] = sum_c (image - reference)[c, y, x] * multiplier of the score[c, y, x]

Shrikumar and others 2017, https://arxiv.org/abs/1704.02685, the rescale rule (section 3.5.1). Unlike the gradient it
does not vanish where an activation is flat. Where linear layers, ReLUs and max pooling are all there is, the heat adds
up to score(image) - score(reference); products of two activations, as in attention and gates, pass on the gradient, and
then it does not quite. It costs one pass of a double batch.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.hooks import Call, redirected
from seewhy.passes import Evidence, Need
from seewhy.passes.rules import RuleGradient, RuleGradients
from seewhy.types import Question

#: Below this difference from the reference a multiplier is the slope.
SMALL = 1e-10


def needs(*, fill: Literal["black", "mean", "blur"] = "black", into: str = "image") -> tuple[Need, ...]:
    """Multipliers at one of the inputs, against the same image filled as `fill` says."""
    return (RuleGradients((("activation", rescaled), ("max_pool", shared)), into, fill),)


def heat(
    evidence: Evidence,
    question: Question,
    *,
    fill: Literal["black", "mean", "blur"] = "black",
    into: str = "image",
) -> Float[Tensor, "batch height width"]:
    """Logits, at the size of the input named by `into`; positive speaks for the answer."""
    found: RuleGradient = evidence[needs(fill=fill, into=into)[0]]
    return ((found.input - found.reference) * found.gradient).sum(1)  # batch, height, width


def rescaled(call: Call) -> Tensor:
    """An activation of a batch and, behind it, of its reference, that passes back multipliers to the former."""
    with torch.enable_grad():
        x = call.input.detach().requires_grad_()
        output = call(x)
        (slope,) = torch.autograd.grad(output.sum(), x)
    (x, before), (y, after) = call.input.detach().chunk(2), output.detach().chunk(2)
    step = x - before
    small = step.abs() < SMALL
    multiplier = torch.where(small, slope.chunk(2)[0], (y - after) / step.where(~small, 1))
    return redirected(output, call.input, lambda gradient: torch.cat([gradient.chunk(2)[0] * multiplier] * 2))


def shared(call: Call) -> Tensor:
    """A max pooling, whose difference is shared by the place that is greatest now and the one that was before.

    What comes back is each window's difference over that of the place: from the reference to the greater of both at
    the former, from there to the output at the latter; where windows overlap, the sum over them. The paper's rule is
    for functions of one input; this is how SHAP's DeepExplainer extends it, and every difference arrives.
    """
    sized = {name: value for name, value in call.arguments.items() if name != "return_indices"}
    whole = functional.adaptive_max_pool2d if "output_size" in sized else functional.max_pool2d
    output, places = whole(call.input, **sized, return_indices=True)
    (x, before), (y, after) = call.input.detach().chunk(2), output.detach().chunk(2)
    step = x - before
    small = step.abs() < SMALL

    def back(gradient: Tensor) -> Tensor:
        gradient = gradient.chunk(2)[0]
        greater = torch.maximum(y, after)
        parts = torch.cat([gradient * (greater - after), gradient * (y - greater)])
        laid = torch.zeros_like(call.input).flatten(2).scatter_add_(2, places.flatten(2), parts.flatten(2))
        now, was = laid.unflatten(2, x.shape[2:]).chunk(2)
        slope = torch.zeros_like(x).flatten(2).scatter_add_(2, places.chunk(2)[0].flatten(2), gradient.flatten(2))
        given = torch.where(small, slope.unflatten(2, x.shape[2:]), (now + was) / step.where(~small, 1))
        return torch.cat([given, given])

    return redirected(output, call.input, back)
