"""Attention maps of a transformer and their gradients, whatever computes them: modules, functions, fused or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import hooks
from seewhy.hooks.contexts import hooked
from seewhy.hooks.rewriting import Call, attention_of
from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run, Unsuitable


@dataclass(frozen=True, slots=True)
class AttentionGradients(Need):
    """The attention map of every block and the gradient of the score there; gives AttentionMaps."""

    def passes(self, run: Run) -> Passes:
        """One forward and one backward pass, which ends at the first map."""
        return Passes(1, 1)

    def gather(self, run: Run) -> Iterator[AttentionMaps]:
        """In one pass; the trunk before the first map has no graph."""
        with torch.enable_grad(), _caught(run.network) as caught:
            scores = run.unchanged({})
        grid = _grid(run, caught)
        maps = {f"attention of {name!r}": taps for name, taps in caught}
        found = run.gradients(scores, maps)
        yield AttentionMaps(grid, tuple(taps.detach() for _, taps in caught), tuple(found.values()))


@dataclass(frozen=True, slots=True)
class BlockAttentionGradients(Need):
    """The attention map of every block, and the gradient there of the score that the head gives to that block's output.

    Gives AttentionMaps. Each block is asked for itself: no gradient flows from a later one.
    """

    def passes(self, run: Run) -> Passes:
        """One forward pass and the head's once a block; a backward pass through each block and the head."""
        return Passes(3, 2)

    def gather(self, run: Run) -> Iterator[AttentionMaps]:
        """In one pass through the blocks, then one through the head for all."""
        with _caught(run.network) as caught:
            run.unchanged({})
        grid, blocks = _grid(run, caught), _blocks([name for name, _ in caught])
        outputs: list[Tensor] = []

        def cut(output: Tensor) -> Tensor:
            outputs.append(output)
            return output.detach()

        changes = hooks.change(run.network, dict.fromkeys(blocks, cut))
        recorded = hooks.recording(run.network, blocks[-1])
        with torch.enable_grad(), _caught(run.network) as caught, changes, recorded as trunk:
            run.scores(run.repeated(1, {}))
        copies = len(outputs)
        with torch.enable_grad(), hooks.replaying(run.network, trunk, lambda _: torch.cat(outputs), copies=copies):
            scores = run.scores(run.repeated(copies, {}), copies, share=1 / copies)
        found = run.gradients(scores, {f"attention of {name!r}": taps for name, taps in caught})
        yield AttentionMaps(grid, tuple(taps.detach() for _, taps in caught), tuple(found.values()))


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """By block, in order: how much each token (query) takes from each (key); and the gradients there.

    `grid` says where tokens lie over the image; `grid.prefix` class and register tokens come first.
    """

    grid: hooks.Grid
    maps: tuple[Float[Tensor, "batch _ queries keys"], ...]  # batch, heads, queries, keys
    gradients: tuple[Float[Tensor, "batch _ queries keys"], ...]

    def over_image(self, tokens: Float[Tensor, "batch tokens"]) -> Float[Tensor, "batch height width"]:
        """What tokens of the image are worth, laid where they lie."""
        return tokens[:, self.grid.prefix :].unflatten(1, (self.grid.height, self.grid.width))

    def read(self, flow: Float[Tensor, "batch queries keys"]) -> Float[Tensor, "batch height width"]:
        """Where what the head reads comes from: the class token's row if there is one, else the mean of the image's."""
        row = flow[:, 0] if self.grid.prefix else flow.mean(1)
        return self.over_image(row)


@contextmanager
def _caught(network: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """A list that fills, as the network runs, with the square attention maps and the module each was computed in.

    In a run with gradients they are part of its graph, which begins at the first of them.
    """
    within: list[str] = []
    caught: list[tuple[str, Tensor]] = []

    def tap(weights: Tensor) -> Tensor:
        if weights.ndim != 4 or weights.shape[-1] != weights.shape[-2] or weights.shape[-1] < 2:
            return weights
        kept = weights.clone()
        if torch.is_grad_enabled() and not kept.requires_grad:
            kept = kept.detach().requires_grad_()
        caught.append((within[-1] if within else "", kept))
        return kept.clone()

    def fused(call: Call) -> Tensor:
        weights, values = attention_of(call)
        return tap(weights) @ values

    def plain(call: Call) -> Tensor:
        return tap(call())

    def enter(name: str) -> Callable[..., None]:
        return lambda module, arguments: within.append(name)

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        within.pop()

    names = [(name, module) for name, module in hooks.modules(network) if name]
    entering = [module.register_forward_pre_hook(enter(name)) for name, module in names]
    try:
        leaving = hooked((module, leave) for _, module in names)
        with leaving, hooks.rewriting({"attention": fused, "softmax": plain}):
            yield caught
    finally:
        for handle in entering:
            handle.remove()


def _grid(run: Run, caught: list[tuple[str, Tensor]]) -> hooks.Grid:
    """Where the tokens of the maps lie. Raises Unsuitable without attention between all tokens of an image, and where
    the question is asked at a layer."""
    if run.question.at is not None:
        raise Unsuitable(
            f"Attention is followed to the token that the head reads, and {run.question.text!r} is asked before the "
            "head, of other tokens; ask a method of gradients or of masks"
        )
    maps = [taps for _, taps in caught if len(taps) == run.rows]
    if not maps:
        raise Unsuitable("This network has no attention between all places of the image; ask a vision transformer")
    tokens = maps[0].shape[-1]
    if len(maps) < len(caught) or any(taps.shape[-1] != tokens for taps in maps):
        raise Unsuitable("The attention of this network is within windows or between maps of several sizes")
    for layer in run.layers:
        if layer.grid is not None and layer.grid.layout == "tokens" and layer.shape[1] == tokens:
            return layer.grid
    raise Unsuitable(f"The {tokens} tokens of this network's attention do not lie over the image")


def _blocks(names: list[str]) -> list[str]:
    """For each map the largest module that holds no other: "blocks.3" for "blocks.3.attn"."""
    parts = [name.split(".") for name in names]
    for depth in range(1, max(map(len, parts)) + 1):
        blocks = [".".join(part[:depth]) for part in parts]
        if len(set(blocks)) == len(blocks):
            return blocks
    raise Unsuitable("This network uses one attention several times; its blocks cannot be told apart")
