"""What the constants that a network adds at each layer do to the score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import hooks
from seewhy.hooks.rewriting import Call
from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run


@dataclass(frozen=True, slots=True)
class BiasGradients(Need):
    """The gradient at an input and, wherever a convolution or a batch norm adds a bias, bias * gradient.

    Gives a BiasGradient. The bias of a batch norm is what it adds in evaluation: beta - gamma * mean / deviation.
    """

    into: str = "image"
    traced = False

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass."""
        return Passes(1, 1)

    def gather(self, run: Run) -> Iterator[BiasGradient]:
        """In one pass."""
        leaf = run.leaf(self.into)
        taps: list[tuple[Tensor, Tensor]] = []

        def tapped(call: Call) -> Tensor:
            output, bias = call(), _bias(call)
            if bias is None or output.ndim != 4:
                return output
            taps.append((output.clone(), bias))
            return taps[-1][0].clone()

        with torch.enable_grad(), hooks.rewriting({"convolution": tapped, "batch_norm": tapped}):
            scores = run.unchanged({self.into: leaf})
        tensors = {f"input {self.into!r}": leaf} | {f"bias {place}": tap for place, (tap, _) in enumerate(taps)}
        at_input, *at_layers = run.gradients(scores, tensors, unused=tensors).values()
        products = tuple(gradient * bias[:, None, None] for gradient, (_, bias) in zip(at_layers, taps, strict=True))
        yield BiasGradient(leaf.detach(), at_input, products)


@dataclass(frozen=True, eq=False)
class BiasGradient:
    """An input, its gradient, and by layer, in the order in which they ran, bias * gradient."""

    input: Float[Tensor, "batch ..."]
    gradient: Float[Tensor, "batch ..."]
    biases: tuple[Float[Tensor, "batch _ _ _"], ...]  # batch, channels, height, width, each of its own size


def _bias(call: Call) -> Float[Tensor, " channels"] | None:
    """What the function adds whatever its input; None if nothing."""
    if call.kind == "convolution":
        return call["bias"]
    mean, variance = call["running_mean"], call["running_var"]
    if mean is None or variance is None:
        return call["bias"]
    weight = torch.ones_like(mean) if call["weight"] is None else call["weight"]
    offset = torch.zeros_like(mean) if call["bias"] is None else call["bias"]
    return offset - weight * mean / (variance + call["eps"]).sqrt()
