"""How an activation lies over the image, found from its shape, its layer's kind and what ran before.

Convolutions put out channels first, Swin channels last, ViTs tokens with class and register tokens before them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from torch import nn

#: At most so many class, distillation and register tokens stand before the tokens of the image.
MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """How an activation lies over the image; `prefix` tokens stand before those of the image."""

    layout: Literal["channels first", "channels last", "tokens"]
    height: int
    width: int
    prefix: int = 0


def grid_of(
    module: nn.Module, shape: tuple[int, ...], image: tuple[int, ...], before: list[tuple[tuple[int, ...], Grid]]
) -> Grid | None:
    """How an output lies over the image, from its shape, the kind of the layer and what ran before it."""
    if len(shape) not in (3, 4) or shape[0] != image[0]:
        return None
    if len(shape) == 3:
        return _token_grid(shape[1], image, before)
    possible = _possible(shape, image)
    told = _layout(module, shape)
    if told is not None:
        return possible.get(told)
    if len(possible) == 2:  # as in (batch, 8, 8, 8): as it was in the last output of that shape
        return next((grid for known, grid in reversed(before) if known == shape), possible["channels first"])
    return next(iter(possible.values()), None)


@lru_cache(maxsize=1024)
def _possible(shape: tuple[int, ...], image: tuple[int, ...]) -> Mapping[str, Grid]:
    """The ways in which an output of four dimensions may lie over the image, by their layouts."""
    possible = {}
    if _alike(shape[2:4], image[2:4]):
        possible["channels first"] = Grid("channels first", shape[2], shape[3])
    if _alike(shape[1:3], image[2:4]):
        possible["channels last"] = Grid("channels last", shape[1], shape[2])
    return possible


def _token_grid(tokens: int, image: tuple[int, ...], before: list[tuple[tuple[int, ...], Grid]]) -> Grid | None:
    """Tokens lie as the last map with nearly as many sites did; without one, in whole square patches."""
    high, wide = image[2:4]
    sides = [side for side in range(1, math.gcd(high, wide) + 1) if high % side == 0 and wide % side == 0]
    known = [(grid.height, grid.width) for _, grid in reversed(before)]
    for shapes in (known, [(high // side, wide // side) for side in sides]):
        extra = {shape: tokens - math.prod(shape) for shape in shapes}
        fitting = [shape for shape in extra if 0 <= extra[shape] <= min(MOST_PREFIX_TOKENS, math.prod(shape) - 1)]
        if fitting:
            fewest = min(fitting, key=lambda shape: extra[shape])
            return Grid("tokens", *fewest, prefix=extra[fewest])
    return None


def _alike(sides: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether a map has the image's aspect ratio, to within one site of rounding, and is no larger."""
    (high, wide), (height, width) = sides, image
    return 0 < high <= height and 0 < wide <= width and abs(high * width - wide * height) <= max(height, width)


def _layout(module: nn.Module, shape: tuple[int, ...]) -> str | None:
    """Where the channels stand, if the kind of the layer says so."""
    if isinstance(module, nn.Linear):
        return "channels last"
    if isinstance(module, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)):
        return "channels first"
    normalised = vars(module).get("normalized_shape")  # LayerNorm and its kin, some of which work on axis 1
    if normalised is not None and (shape[-1] == normalised[-1]) != (shape[1] == normalised[0]):
        return "channels last" if shape[-1] == normalised[-1] else "channels first"
    return None
