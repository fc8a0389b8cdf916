"""What a person asks, in words: a class, one class rather than another, or what is inside the network.

    cat                     the logit of a class
    cat - dog               the one rather than the other
    layer3                  how strongly a layer answers: the mean of its squares
    layer3:17               a channel: its mean over the places of the image
    layer3:17,4,5           one unit of it: channel, row, column
    blocks.3:17,0           of a token: channel, token; a class token is number 0
    layer3:17 - layer3:18   the one rather than the other

All are counted from 0. Where a class and a layer have one name, the class is meant. The channels and units are the
objectives of Olah et al. 2017, https://doi.org/10.23915/distill.00007; the layer's is that of DeepDream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import hooks, shelf
from seewhy.hooks.names import BODY
from seewhy.types import Question, Task

#: What stands between two that are asked one rather than the other.
RATHER = " - "


def question(task: Task, network: nn.Module, text: str) -> Question:
    """The question that the text asks. A layer costs a run on two black images, to learn what it puts out.

    Raises KeyError where there is neither such a class nor such a layer, with the nearest of both, and ValueError
    where the layer has no such channel or unit.
    """
    try:
        return task.question(text)
    except KeyError as error:
        no_class = error
    black = torch.zeros(2, 3, *task.preprocessing.size)
    inside = {layer.name: layer for layer in hooks.layers(network, {"image": black})}
    failed: Exception | None = None
    for place in [found.start() for found in re.finditer(RATHER, text)]:
        try:
            first, second = (_one(task, network, inside, half) for half in (text[:place], text[place + len(RATHER) :]))
        except (KeyError, ValueError) as error:
            failed = failed or error
            continue
        return first - second
    if failed is not None:
        raise failed
    return _inside(network, inside, text, no_class)


def _one(task: Task, network: nn.Module, inside: Mapping[str, hooks.Layer], text: str) -> Question:
    """A class, else a layer or a part of it."""
    try:
        return task.question(text)
    except KeyError as no_class:
        return _inside(network, inside, text, no_class)


def _inside(network: nn.Module, inside: Mapping[str, hooks.Layer], text: str, no_class: KeyError) -> Question:
    """A layer or a part of it. Raises KeyError where there is no such layer either, ValueError where it has no such
    part."""
    name, colon, numbers = text.partition(":")
    try:
        at = hooks.resolve(network, name)
    except KeyError:
        if colon:  # hardly meant as a class
            raise
        near = shelf.nearest(name, [known.removeprefix(BODY) for known in inside])
        near = near.replace("Did you mean", " Or did you mean the layer").rstrip()
        raise KeyError(f"{no_class.args[0]}{near}") from None
    shown = at.removeprefix(BODY)
    if at not in inside:
        raise ValueError(f"The layer {shown!r} does not run by itself, so nothing can be asked of it")
    layer = inside[at]
    if layer.shape[:1] != (2,) or len(layer.shape) < 2:
        raise ValueError(f"The layer {shown!r} puts out {layer.shape} for 2 images, not a row of numbers an image")
    if not colon:
        return Question(f"the size of {shown}", _size, at)
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*){0,2}", numbers):
        raise ValueError(
            f"{text!r} names no part of the layer {shown!r}: behind the colon stands a channel, or a channel, a row "
            f"and a column, as in {shown}:17 or {shown}:17,4,5"
        )
    channel, *place = (int(number) for number in numbers.split(","))
    return _part(layer, shown, channel, place)


def _part(layer: hooks.Layer, shown: str, channel: int, place: list[int]) -> Question:
    """A channel, a token's, or one at a row and a column."""
    laid = _laid(layer)
    channels, *sides = laid(torch.empty(layer.shape, device="meta")).shape[1:]
    _check(shown, "channel", channel, channels)
    if not place:
        text = f"channel {channel} of {shown}"
        return Question(text, lambda x: laid(x)[:, channel].reshape(len(x), -1).mean(1), layer.name)
    if len(place) == 1:
        if len(layer.shape) != 3:
            raise ValueError(f"The layer {shown!r} has no tokens; name a row and a column: {shown}:{channel},0,0")
        (token,) = place
        _check(shown, "token", token, layer.shape[1])
        return Question(f"channel {channel} of {shown} at token {token}", lambda x: x[:, token, channel], layer.name)
    if len(sides) != 2:
        raise ValueError(f"The layer {shown!r} puts out {layer.shape[1:]} an image, which has no rows and columns")
    row, column = place
    _check(shown, "row", row, sides[0])
    _check(shown, "column", column, sides[1])
    text = f"channel {channel} of {shown} at row {row}, column {column}"
    return Question(text, lambda x: laid(x)[:, channel, row, column], layer.name)


def _laid(layer: hooks.Layer) -> Callable[[Tensor], Float[Tensor, "batch channels ..."]]:
    """What the layer puts out with its channels second; of tokens those of the image, laid as the image is."""
    if layer.grid is not None:
        return lambda x: hooks.grid(x, layer)
    if len(layer.shape) == 3:  # tokens that lie nowhere
        return lambda x: x.transpose(1, 2)
    return lambda x: x


def _size(x: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    return x.square().flatten(1).mean(1)


def _check(shown: str, kind: str, number: int, count: int) -> None:
    if number >= count:
        there = f"{kind}s 0 to {count - 1}" if count > 1 else f"one {kind}, 0"
        raise ValueError(f"The layer {shown!r} has no {kind} {number}; it has {there}")
