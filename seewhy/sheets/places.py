"""Where does each tensor of a network's graph come from?

A tensor that depends on the image is held as `Places`: for each of its numbers, which value of which step it is. So
what only moves values about (flatten, concatenate, slice, pad, transpose) is run on the numbers of the places, and
becomes one step when something computes with the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.fx import Node
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from seewhy.sheets.steps import IMAGE, Move, Shape, Step


@dataclass(frozen=True, eq=False)
class Places:
    """`index` holds 1 + the place among all values of `sources`, in order, and 0 for the number 0."""

    sources: tuple[str, ...]
    index: Float64[Tensor, "*shape"]


class Reader:
    """The steps that were found so far in the graph of a network, by name; `node` is the one that is looked at."""

    def __init__(self, body: nn.Module, image: Shape) -> None:
        self.body, self.image = body, image
        self.steps: dict[str, Step] = {}
        self.moved: dict[tuple[Any, ...], str] = {}
        self.node: Node

    def shape(self, name: str) -> Shape:
        return self.image if name == IMAGE else self.steps[name].shape

    def add(self, step: Step) -> Places:
        self.steps[step.name] = step
        return self.fresh(step.name)

    def fresh(self, name: str) -> Places:
        """The places of a step's own values, in their order."""
        shape = self.shape(name)
        channels, height, width = shape
        index = torch.arange(1, channels * height * width + 1, dtype=torch.float64)
        return Places((name,), index.reshape(1, *shape))

    def made(
        self, kind: type[Step], inputs: Sequence[Places], shape: Sequence[int], *more: Any, **others: Any
    ) -> Places:
        """A new step under the name of the layer that it is of; `shape` has the batch first."""
        names = tuple(self.step(places) for places in inputs)
        given = tuple(self.shape(name) for name in names)
        return self.add(kind(self.name(self.node), names, given, of_maps(shape), *more, **others))

    def like(self, kind: type[Step], x: Places, *more: Any, **others: Any) -> Places:
        """A new step whose values have the shape of what it takes, be they maps or a vector."""
        places = self.made(kind, (x,), x.index.shape, *more, **others)
        return replace(places, index=places.index.reshape(x.index.shape))

    def step(self, places: Places) -> str:
        """The step whose values these are; where they have moved, one that moves them is added before."""
        shape = of_maps(places.index.shape)
        order = places.index.reshape(shape).round().long()
        (first, *others) = places.sources
        given = tuple(map(self.shape, places.sources))
        count = sum(channels * height * width for channels, height, width in given)
        whole = order.numel() == count and torch.equal(order.flatten(), torch.arange(1, count + 1))
        if whole and given == (shape,):
            return first
        key = (places.sources, shape, order.numpy().tobytes())
        if key not in self.moved:
            kind = ("join" if others else "flatten") if whole else "move"
            name = self.name(self.node, kind)
            self.add(Move(name, places.sources, given, shape, order, kind))
            self.moved[key] = name
        return self.moved[key]

    def name(self, node: Node, kind: str = "") -> str:
        """The layer's own name, or what it does where one layer does several things; never that of another step."""
        path = self.where(node)
        bare = not path or any(self.body.get_submodule(path).children())
        wanted = " ".join(part for part in (path, kind or (self.kind(node) if bare else "")) if part)
        found, number = wanted, 1
        while found in self.steps or found == IMAGE:
            number += 1
            found = f"{wanted} {number}"
        return found

    def where(self, node: Node) -> str:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        return stack[-1][0] if stack else ""

    def kind(self, node: Node) -> str:
        schema = getattr(node.target, "_schema", None)
        return str(node.target) if schema is None else schema.name.rpartition("::")[2].removesuffix("_")

    def move(self, node: Node, args: Any, kwargs: Any) -> Any:
        """An operation run on the numbers of the places."""
        if self.kind(node) in ("pad", "constant_pad_nd") and _filling(node) not in (None, 0):
            raise NotImplementedError
        leaves, shape = tree_flatten((args, kwargs))
        sources = tuple(dict.fromkeys(name for leaf in leaves if isinstance(leaf, Places) for name in leaf.sources))
        start, starts = 0, {}
        for name in sources:
            channels, height, width = self.shape(name)
            starts[name] = start
            start += channels * height * width
        moved = [self.shifted(leaf, starts) if isinstance(leaf, Places) else leaf for leaf in leaves]
        if any(
            isinstance(leaf, Tensor) and not isinstance(before, Places)
            for leaf, before in zip(moved, leaves, strict=True)
        ):
            raise NotImplementedError  # values of a step beside constants
        args, kwargs = tree_unflatten(moved, shape)
        made = node.target(*args, **kwargs)  # type: ignore[operator]
        return tree_map(lambda part: Places(sources, part) if isinstance(part, Tensor) else part, made)

    def shifted(self, places: Places, starts: dict[str, int]) -> Float64[Tensor, "*shape"]:
        """Their numbers among the values of all sources."""
        index, start = torch.zeros_like(places.index), 0
        for name in places.sources:
            channels, height, width = self.shape(name)
            size = channels * height * width
            here = (places.index > start) & (places.index <= start + size)
            index = torch.where(here, places.index - start + starts[name], index)
            start += size
        return index


def of_maps(shape: Sequence[int]) -> Shape:
    """Channels, height and width of a tensor whose batch is 1. Raises NotImplementedError for other tensors."""
    match tuple(shape):
        case (1, channels, height, width):
            return channels, height, width
        case (1, channels):
            return channels, 1, 1
    raise NotImplementedError


def _filling(node: Node) -> Any:
    """What a padding puts around a value; None where that is something of the value itself."""
    given = [*node.args, *[None] * 4]
    if str(node.target).startswith("aten.constant_pad_nd"):
        return given[2]
    mode = node.kwargs.get("mode", given[2])
    return node.kwargs.get("value", given[3]) if mode in (None, "constant") else None
