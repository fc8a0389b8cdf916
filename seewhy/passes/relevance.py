"""Relevance: the score, handed back from each layer to the one before it by rules that add up.

A layer gives the relevance R of its outputs to its inputs in proportion to what each contributes. Written as a backward
pass it carries g with R = x g, so whatever is linear and has no bias (sums, concatenation, means, reshaping) needs no
rule: the plain gradient conserves relevance there. Rules are for the rest:

    convolution, linear    as asked, with a batch normalisation behind it folded in; the bias keeps its share
    activation, LRN        R passes through unchanged: g = g_out y / x
    max pooling            to the place that was greatest (the plain gradient)
    layer, group norm      linear once the spread is held fixed
    product of two         half to each, as in gates and in attention; softmax by its gradient

Bach et al. 2015, https://doi.org/10.1371/journal.pone.0130140; Montavon et al. 2019,
https://doi.org/10.1007/978-3-030-28954-6_10; for attention Achtibat et al. 2024, https://arxiv.org/abs/2402.05602.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import hooks
from seewhy.hooks import Call, redirected
from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run, Unsuitable
from seewhy.passes.sharing import attended, halved, hangs, passed_on, refused, spread_fixed


@dataclass(frozen=True, slots=True)
class Rule:
    """How a linear map shares relevance among its inputs; z_ij = x_i w_ij is what input i gives to output j.

    "epsilon": z_ij / (z_j + epsilon rms(z) sign z_j). "gamma": z_ij + gamma (z_ij of the sign of z_j), over its sum.
    "alpha-beta": alpha of what speaks for j less (alpha - 1) of what speaks against; alpha 1 is the z+ rule.
    """

    kind: Literal["epsilon", "gamma", "alpha-beta"] = "epsilon"
    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 1.0


@dataclass(frozen=True, slots=True)
class Relevance(Need):
    """Relevance of the image to the score; gives a Relevances.

    `box` is for the layer that meets the image, as it is or laid flat: its rule then knows that a pixel lies between
    black and white (the z-box rule), for which two more images go through the network with each.
    """

    convolution: Rule = Rule()
    linear: Rule = Rule()
    box: bool = False
    into: str = "image"
    traced = False

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass; up to four of each in its layers where signs are told apart."""
        dear = 1 if {self.convolution.kind, self.linear.kind} == {"epsilon"} else 4
        return Passes(dear * (3 if self.box else 1), dear * (3 if self.box else 1))

    def gather(self, run: Run) -> Iterator[Relevances]:
        """In one run. Raises Unsuitable for what no rule is known for, and for a score that does not add up."""
        _check_adds_up(run)
        leaf = run.leaf(self.into)
        image = run.image(self.into)
        points = [leaf, torch.zeros_like(image), torch.ones_like(image)] if self.box else [leaf]
        sharing = _Sharing(self, image.shape, len(points))
        with torch.enable_grad():
            inputs = run.repeated(len(points), {self.into: torch.cat(points)})
            asked = run.scores(inputs, len(points), within=hooks.rewriting(sharing.rules))[0]
        tensors = {f"input {self.into!r}": leaf}
        gradient = run.gradients(asked, tensors, share=len(points), unused=tensors)
        found = sharing.met
        if found is None:  # no linear map meets the image itself
            found = (leaf * gradient[f"input {self.into!r}"]).detach()
        yield Relevances(found[: run.rows], asked.detach(), sharing.kept)


@dataclass(frozen=True, eq=False)
class Relevances:
    """The relevance of each value of the image, as the first layer meets it; the scores; and what constants of the
    network (biases, positions) kept of all of them together."""

    relevance: Float[Tensor, "batch channels height width"]
    score: Float[Tensor, " batch"]
    kept: float

    @property
    def conserved(self) -> float:
        """Relevance of the images as a share of their scores less what was kept: 1 where none was lost or made; NaN
        where there was nothing to share."""
        shared = float(self.score.sum()) - self.kept
        return float(self.relevance.sum()) / shared if shared else math.nan


def _check_adds_up(run: Run) -> None:
    """Raises Unsuitable where a question at a layer does not double when what the layer puts out does (a square)."""
    if run.question.at is None:
        return
    name = hooks.resolve(run.network, run.question.at)
    shape = next((layer.shape for layer in run.layers if layer.name == name), None)
    if shape is not None:
        once, twice = (run.question.score(torch.full(shape, value, device=run.device)) for value in (1.0, 2.0))
        if not torch.allclose(twice, 2 * once):
            raise Unsuitable(
                f"Relevance shares out a score that is a sum, and {run.question.text!r} is none of what the layer puts "
                "out; ask for one of its channels"
            )


class _Sharing:
    """The rules of one run, with what they find out on the way: what the image got, and what biases kept."""

    def __init__(self, need: Relevance, shape: torch.Size, copies: int) -> None:
        self.need, self.image, self.copies = need, (shape[0] * copies, *shape[1:]), copies
        self.met: Tensor | None = None
        self.kept = 0.0
        self._first: Tensor | None = None
        self.rules: dict[str, Callable[[Call], Tensor]] = {
            "convolution": self.linear,
            "linear": self.linear,
            "batch_norm": self.batch_norm,
            "layer_norm": spread_fixed,
            "activation": passed_on,
            "response_norm": passed_on,
            "add": self.added,
            "concatenate": self.concatenated,
            "multiply": halved,
            "matmul": halved,
            "attention": attended,
            "refused": refused,
        }

    def linear(self, call: Call) -> Tensor:
        """A convolution or a linear layer, by its rule; a batch normalisation behind it will find it again."""
        if not hangs(call.input):
            return call()
        weight, bias = call["weight"], call.arguments.get("bias")
        output = self.shared(call, weight, bias, call.name == "linear")
        output.shared_from = (call, weight, bias)  # type: ignore[attr-defined]
        return output

    def batch_norm(self, call: Call) -> Tensor:
        """Folded into the linear map before it; by itself where there is none."""
        scale = (call["running_var"] + call["eps"]).rsqrt()
        if call["weight"] is not None:
            scale = scale * call["weight"]
        offset = -call["running_mean"] * scale
        if call["bias"] is not None:
            offset = offset + call["bias"]
        before = getattr(call.input, "shared_from", None)
        if before is not None:
            linear, weight, bias = before
            folded = weight * (scale[:, None] if weight.ndim == 2 else scale.view(-1, *(1,) * (weight.ndim - 1)))
            if "output_padding" in linear.arguments:  # a transposed convolution has its outputs second
                folded = weight * scale.view(1, -1, *(1,) * (weight.ndim - 2))
            return self.shared(linear, folded, offset if bias is None else offset + bias * scale, weight.ndim == 2)
        shape = (1, -1, *(1,) * (call.input.ndim - 2))
        return self.scaled(call.input, scale.view(shape), offset.view(shape))

    def scaled(self, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        """y = scale x + offset: each input gets its own share, the offset keeps the rest."""

        def back(gradient: Tensor) -> Tensor:
            self.keep(offset * gradient)
            return scale * gradient

        return redirected(scale * x + offset, x, back)

    def added(self, call: Call) -> Tensor:
        """A sum gives each term its own share, a constant (a position's code) too."""
        names = [name for name in call.arguments if name != "alpha"]
        terms = {"": call.input, **{name: call[name] for name in names}}
        for name, term in terms.items():
            if hangs(term) or not any(hangs(other) for key, other in terms.items() if key != name):
                continue
            offset = term * call.arguments.get("alpha", 1) if name else term
            output = call()

            def back(gradient: Tensor, offset: Any = offset) -> Tensor:
                self.keep(offset * gradient)
                return gradient

            return redirected(output.detach(), output, back)
        return call()

    def concatenated(self, call: Call) -> Tensor:
        """Each part keeps what comes back to it; a constant (the token of the class) keeps it for good."""
        parts = [self.constant(part) if not hangs(part) else part for part in call.input]
        return call(type(call.input)(parts) if isinstance(call.input, (list, tuple)) else call.input)

    def constant(self, x: Tensor) -> Tensor:
        """The same, as something relevance can come back to."""

        def back(gradient: Tensor) -> Tensor:
            self.keep(x * gradient)
            return gradient

        return redirected(x, x.detach().requires_grad_(x.is_floating_point()), back)

    def shared(self, call: Call, weight: Tensor, bias: Tensor | None, dense: bool) -> Tensor:
        """The output of a linear map that gives relevance back by its rule, and to the image by the rule of the box."""
        x = call.input
        meets = self._meets(x)
        rule = self.need.linear if dense else self.need.convolution
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            plain = call(leaf, weight=weight, bias=None)
        offset = torch.zeros(()) if bias is None else bias
        if bias is not None and not dense:
            offset = bias.view(-1, *(1,) * (plain.ndim - 2 if plain.ndim == x.ndim else 0))
        output = plain.detach() + offset

        def run(values: Tensor, signed: Tensor) -> Tensor:
            return call(values, weight=signed, bias=None)

        def back(gradient: Tensor) -> Tensor:
            relevance = output * gradient
            if meets and self.need.box:
                return self.boxed(x.detach(), weight, relevance, run)
            given = _given(rule, leaf, weight, offset, plain, output, relevance, run, self.keep)
            if meets:
                self.meet(leaf.detach() * given)
            return given

        return redirected(output, x, back)

    def boxed(self, x: Tensor, weight: Tensor, relevance: Tensor, run: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """R_i = sum_j (x_i w_ij - low_i w+_ij - high_i w-_ij) / (their sum over i) R_j. The black and the white image
        stand behind each in the batch, so `low` and `high` are whatever the network makes of these."""
        x, black, white = x.chunk(3)
        low, high = torch.minimum(black, white), torch.maximum(black, white)
        with torch.enable_grad():
            parts = [part.detach().requires_grad_() for part in (x, low, high)]
            signs = weight, weight.clamp(min=0), weight.clamp(max=0)
            each = [run(part, signed) for part, signed in zip(parts, signs, strict=True)]
        own = relevance.chunk(3)[0]
        share = own / _away_from_zero(each[0].detach() - each[1].detach() - each[2].detach(), 1e-9)
        back = [torch.autograd.grad(made, part, share)[0] for made, part in zip(each, parts, strict=True)]
        self.meet(torch.cat([x * back[0] - low * back[1] - high * back[2]] * 3))
        return torch.cat([torch.zeros_like(x)] * 3)

    def _meets(self, x: Tensor) -> bool:
        """Whether a linear map reads the image: as it is, or laid flat with every value in its place."""
        whole = x if x.ndim == len(self.image) or x._base is None else x._base
        laid_flat = whole.data_ptr() == x.data_ptr() and whole.numel() == x.numel() and whole.is_contiguous()
        if tuple(whole.shape) != self.image or not (whole is x or (laid_flat and x.is_contiguous())):
            return False
        self._first = x if self._first is None else self._first
        return x is self._first

    def meet(self, relevance: Tensor) -> None:
        """What the image got; of several layers that meet it, the sum."""
        relevance = relevance.view(self.image)
        self.met = relevance if self.met is None else self.met + relevance

    def keep(self, relevance: Tensor) -> None:
        """What a constant kept."""
        self.kept += float(relevance.sum())


def _given(
    rule: Rule,
    leaf: Tensor,
    weight: Tensor,
    bias: Tensor,
    plain: Tensor,
    output: Tensor,
    relevance: Tensor,
    run: Callable[[Tensor, Tensor], Tensor],
    keep: Callable[[Tensor], None],
) -> Tensor:
    """g of the inputs, where R = x g. `plain` hangs on `leaf` by the weights as they are."""
    if rule.kind == "epsilon":
        share = relevance / _away_from_zero(output, rule.epsilon)
        keep(bias * share)
        return torch.autograd.grad(plain, leaf, share, retain_graph=True)[0]
    sides = _Sides(leaf.detach(), weight, run)
    for_it, against = sides.forth(True) + bias.clamp(min=0), sides.forth(False) + bias.clamp(max=0)
    if rule.kind == "alpha-beta":
        # Where all contributions have one sign, the one there is gets all.
        alpha = torch.where(for_it == 0, 0.0, torch.where(against == 0, 1.0, rule.alpha))
        up = alpha * relevance / _away_from_zero(for_it, 1e-9)
        down = (1 - alpha) * relevance / _away_from_zero(against, 1e-9)
        keep(bias.clamp(min=0) * up + bias.clamp(max=0) * down)
        return sides.back(up, down)
    more = output + rule.gamma * torch.where(output > 0, for_it, against)
    share = relevance / _away_from_zero(more, 1e-9)
    up, down = (rule.gamma * torch.where(side, share, 0) for side in (output > 0, output <= 0))
    keep(bias * share + bias.clamp(min=0) * up + bias.clamp(max=0) * down)
    return torch.autograd.grad(plain, leaf, share, retain_graph=True)[0] + sides.back(up, down)


class _Sides:
    """What speaks for each output of a linear map and what against, told apart by the signs of inputs and weights."""

    def __init__(self, x: Tensor, weight: Tensor, run: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.x, self.signed = x, (bool((x > 0).any()), bool((x < 0).any()))
        self.made: dict[tuple[bool, bool], tuple[Tensor, Tensor]] = {}
        with torch.enable_grad():
            for positive, part, there in (
                (True, x.clamp(min=0), self.signed[0]),
                (False, x.clamp(max=0), self.signed[1]),
            ):
                for upward in (True, False):
                    if there:
                        leaf = part.detach().requires_grad_()
                        signed = weight.clamp(min=0) if positive == upward else weight.clamp(max=0)
                        self.made[positive, upward] = leaf, run(leaf, signed)
        self.zero = run(torch.zeros_like(x), weight).detach() if not self.made else None

    def forth(self, upward: bool) -> Tensor:
        """The sum over inputs of what speaks for (or against) each output."""
        found = [made.detach() for (_, up), (_, made) in self.made.items() if up == upward]
        return sum(found[1:], found[0]) if found else self.zero  # type: ignore[return-value]

    def back(self, up: Tensor, down: Tensor) -> Tensor:
        """What comes back to each input: `up` through what speaks for, `down` through what speaks against."""
        given = torch.zeros_like(self.x)
        for (positive, upward), (leaf, made) in self.made.items():
            part = torch.autograd.grad(made, leaf, up if upward else down, retain_graph=True)[0]
            given = given + torch.where(self.x > 0 if positive else self.x < 0, part, 0)
        return given


def _away_from_zero(values: Tensor, epsilon: float) -> Tensor:
    """values + epsilon rms(values) sign(values), never 0; rms an example."""
    scale = values.square().flatten(1).mean(1).sqrt().view(-1, *(1,) * (values.ndim - 1))
    sign = torch.where(values >= 0, 1.0, -1.0).to(values)
    moved = values + epsilon * scale * sign
    return torch.where(moved == 0, torch.ones_like(moved), moved)  # all 0: there is no relevance to share
