"""Which steps does a network take? Read from the graph that `torch.export` records of it, not guessed from names.

What depends on weights alone is computed once, and dropout is off. Any operation that no sheet has is refused by name,
with the layer it stands in.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Node
from torch.utils._pytree import tree_leaves, tree_map

from seewhy import model, wording
from seewhy.sheets.operations import RULES
from seewhy.sheets.places import Places, Reader
from seewhy.sheets.steps import IMAGE, Convolve, Merge, Normalise, Step

SUPPORTED = (
    "convolution (stride, padding, groups, dilation), batch normalisation, ReLU, leaky ReLU, ReLU6, clamp, ELU, SiLU, "
    "sigmoid, tanh, max, average and adaptive pooling, the mean over a map, sums, concatenation, slices, padding, "
    "flatten, linear layers, dropout, which is off, and softmax"
)
#: Operations that only move values about.
MOVING = frozenset(
    (
        "view", "_unsafe_view", "reshape", "flatten", "unflatten", "clone", "contiguous", "permute", "transpose", "t",
        "slice", "select", "pad", "constant_pad_nd", "unsqueeze", "squeeze", "expand", "split", "split_with_sizes",
        "chunk", "unbind", "cat", "stack", "flip", "roll", "alias", "detach", "_to_copy", "to", "repeat",
        "upsample_nearest2d", "pixel_shuffle", "channel_shuffle", "lift_fresh_copy",
    )
)  # fmt: skip
#: How many maps the formula of a convolution names at most, so that it stays below what a cell holds.
MOST = 128
#: Operations that do nothing outside training.
IDLE = frozenset(("dropout", "feature_dropout", "alpha_dropout", "native_dropout"))


class Refused(ValueError):
    """A network with something that no sheet has."""


def steps_of(network: model.Normalised, size: tuple[int, int], name: str) -> tuple[Step, ...]:
    """The steps of a network for images of this height and width, the last of which gives its logits.

    Raises ValueError naming what no sheet has, and where a fold is not exact.
    """
    if network.views != "none":
        raise Refused(
            f"{name} answers by the mean over several views of an image (views are {network.views!r}), and a sheet "
            "shows one; take the model without them"
        )
    shape = (3, *size)
    mean, std = (tuple(part.flatten().double().tolist()) for part in (network.mean, network.std))
    body = copy.deepcopy(network.body).cpu().double().eval().requires_grad_(False)
    reader = Reader(body, shape)
    image = reader.add(Normalise("normalise", (IMAGE,), (shape,), shape, mean, std))
    logits = _read(reader, image, name)
    if network.merge is not None:
        logits = _merged(reader, logits, network.merge, name)
    steps = _leading_to(logits, reader.steps)
    return tuple(part for step in steps for part in (step.chained(MOST) if isinstance(step, Convolve) else (step,)))


def _read(reader: Reader, image: Places, name: str) -> str:
    """Walk the graph; the name of the step that gives the logits."""
    try:
        program = torch.export.export(reader.body, (torch.rand(image.index.shape).double(),)).run_decompositions({})
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Refused(f"The graph of {name} cannot be read: {why}") from error
    given = program.graph_signature
    held = {**program.state_dict, **program.constants}
    named = {**given.inputs_to_parameters, **given.inputs_to_buffers, **given.inputs_to_lifted_tensor_constants}
    known: dict[Node, Any] = {}
    unknown: dict[str, str] = {}
    for node in program.graph.nodes:
        reader.node = node
        if node.op == "placeholder":
            known[node] = held[named[node.name]] if node.name in named else image
        elif node.op == "call_function":
            known[node] = None  # what follows an operation that is not known is not named for it
            try:
                if all(known[source] is not None for source in node.all_input_nodes):
                    known[node] = _called(reader, node, known)
                elif node.target is not operator.getitem:
                    _check(reader.kind(node))
            except NotImplementedError:
                unknown[reader.kind(node)] = reader.where(node)
        elif node.op == "output":
            reader.node = node.args[0][0]
    if unknown:
        first = [f"{kind} in {wording.quoted(place or 'its forward')}" for kind, place in unknown.items()]
        raise Refused(f"A sheet has no formula for {wording.listed(first)} of {name}. It has: {SUPPORTED}.")
    try:
        return reader.step(known[reader.node])
    except NotImplementedError as error:
        raise Refused(f"{name} gives no logit for each class but {tuple(known[reader.node].index.shape)}") from error


def _called(reader: Reader, node: Node, known: Mapping[Node, Any]) -> Any:
    """What an operation makes: places of a step's values, a constant, or several of them."""
    args, kwargs = tree_map(lambda part: known[part] if isinstance(part, Node) else part, (node.args, node.kwargs))
    if node.target is operator.getitem:
        return args[0][args[1]]
    if not any(isinstance(leaf, Places) for leaf in tree_leaves((args, kwargs))):
        return node.target(*args, **kwargs)  # type: ignore[operator]
    kind = reader.kind(node)
    if kind in IDLE:
        return args[0]
    if kind in MOVING:
        return reader.move(node, args, kwargs)
    _check(kind)
    return RULES[kind](reader, *args, **kwargs)


def _check(kind: str) -> None:
    """Raises NotImplementedError for an operation that no sheet has."""
    if kind not in RULES and kind not in MOVING and kind not in IDLE:
        raise NotImplementedError


def _merged(reader: Reader, logits: str, merge: nn.Module, name: str) -> str:
    """The last layer of a model that answers in other classes than its network has."""
    if not isinstance(merge, model.Merge):
        raise Refused(f"{name} ends in {type(merge).__name__}, which a sheet has no formula for")
    rows = zip(merge.index.tolist(), merge.empty.tolist(), strict=True)
    groups = tuple(tuple(at for at, no in zip(*row, strict=True) if not no) for row in rows)
    reader.add(Merge("merge", (logits,), (reader.shape(logits),), (len(groups), 1, 1), groups))
    return "merge"


def _leading_to(last: str, steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """The steps that one depends on, in order, and that one."""
    wanted, found = {last}, list[Step]()
    for step in reversed(tuple(steps.values())):
        if step.name in wanted:
            wanted |= {*step.inputs}
            found.append(step)
    return tuple(reversed(found))
