"""Backward passes that follow rules of their own: guided backpropagation, DeepLIFT, relevance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import hooks
from seewhy.hooks.rewriting import Rule
from seewhy.passes.budget import Passes
from seewhy.passes.fillings import filled
from seewhy.passes.run import Need, Run


@dataclass(frozen=True, slots=True)
class RuleGradients(Need):
    """What a backward pass gives at an input if functions of some kinds follow rules; gives a RuleGradient.

    `rules` are pairs of a kind (`hooks.rewriting.KINDS`) and a rule, a function of a Call. Rules change what comes back
    and leave alone what goes forward, so that this pass gives the baseline too. With `fill` the network sees
    the inputs and, behind them in the same batch, the same number of inputs that are filled so, and the score is
    differentiated at the former alone: rules may compare both halves of what they are given.
    """

    rules: tuple[tuple[str, Rule], ...]
    into: str = "image"
    fill: str | None = None
    traced = scored = False

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass, two of each with a reference."""
        return Passes(1, 1) if self.fill is None else Passes(2, 2)

    def gather(self, run: Run) -> Iterator[RuleGradient]:
        """In one run."""
        leaf, start = run.leaf(self.into), None
        if self.fill is not None:
            image = run.image(self.into)
            start = filled(image, self.fill, detail=min(image.shape[2:]) / 2).expand_as(image)
        with torch.enable_grad(), hooks.rewriting(dict(self.rules)):
            points = leaf[None] if start is None else torch.stack([leaf, start])
            scores = run.scores(run.repeated(len(points), {self.into: points.flatten(0, 1).clone()}), len(points))
            asked = scores[0]
        run.learned(asked)
        name = f"input {self.into!r}"
        gradient = run.gradients(asked, {name: leaf}, share=len(points))[name]
        reference = torch.zeros_like(leaf) if start is None else start
        yield RuleGradient(leaf.detach(), reference.detach(), gradient, scores.detach())


@dataclass(frozen=True, eq=False)
class RuleGradient:
    """The input and the reference (0 where there is none), what came back to the input, and the scores of both."""

    input: Float[Tensor, "batch ..."]
    reference: Float[Tensor, "batch ..."]
    gradient: Float[Tensor, "batch ..."]
    scores: Float[Tensor, "copies batch"]
