"""How much of the image can one place of a layer see?

    fields(network, {"image": image})["stage4"]           # (435, 435), in pixels, or None: all of the image

Each operation of one run is followed with exact arithmetic. Place i of a map sees the pixels from `start + i step` to
`end + i step` along an axis; a convolution or a pooling of `kernel` with `stride`, `padding` and `dilation` makes of it

    start - padding step,      end + (dilation (kernel - 1) - padding) step,      step stride

as in Araujo, Norris and Sim 2019, https://doi.org/10.23915/distill.00021. Where branches meet, a place sees what it
sees through any of them. What mixes all places (a mean over the map, attention, normalisation by the map's own
statistics, a linear layer on a flattened map) sees the whole image, and so does an operation that is not known here:
an answer may then be too large, never too small. The field may be larger than the image, for the padding counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

#: What stands along a dimension of a tensor: places of one axis of the image, of both (tokens), or of none.
Along = frozenset[str]
NONE, HEIGHT, WIDTH = frozenset[str](), frozenset({"height"}), frozenset({"width"})


@dataclass(frozen=True, slots=True)
class Span:
    """Which pixels of one axis a place sees: place 0 those from `start` to `end`, each next one `step` further."""

    start: int = 0
    end: int = 0
    step: int = 1

    def through(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Span:
        """What a place behind a window that slides over these places sees."""
        first, last = -padding, dilation * (kernel - 1) - padding
        return Span(self.start + first * self.step, self.end + last * self.step, self.step * stride)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the places of a tensor see, and along which of its dimensions they lie."""

    height: Span
    width: Span
    along: tuple[Along, ...]

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of what one place sees."""
        return self.height.end - self.height.start + 1, self.width.end - self.width.start + 1

    @property
    def is_map(self) -> bool:
        """Whether the last two dimensions are those of the image."""
        return self.along[-2:] == (HEIGHT, WIDTH) and not any(self.along[:-2])


def fields(network: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, tuple[int, int] | None]:
    """Height and width in pixels of what a place of each layer sees; None where that is the whole image.

    One pass; `inputs` may be on the device "meta". Layers whose output does not depend on the input are left out.
    """
    with torch.no_grad(), Following() as following:
        following.known.update({image: _of_image(image) for image in inputs.values()})
        found: dict[str, tuple[int, int] | None] = {}

        def note(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, arguments: Any, output: Any) -> None:
                made = next((leaf for leaf in tree_leaves(output) if leaf in following), None)
                if made is not None:
                    seen = following.known[made]
                    found[name] = None if seen is None else seen.pixels

            return hook

        handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
        try:
            network(**inputs)
        finally:
            for handle in handles:
                handle.remove()
    return found


def _of_image(image: Tensor) -> Seen | None:
    return Seen(Span(), Span(), (*[NONE] * (image.dim() - 2), HEIGHT, WIDTH)) if image.dim() == 4 else None


class Following(TorchDispatchMode):
    """While it is on, `known` has what each tensor sees that depends on the image; None is all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: Any = WeakTensorKeyDictionary()

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value in self.known

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if leaf in self]
        if given:
            everything = any(self.known[tensor] is None for tensor in given)
            for output in tree_leaves(made):
                if isinstance(output, Tensor):
                    self.known[output] = None if everything else self._seen(function, args, output)
        return made

    def _seen(self, function: Any, args: tuple[Any, ...], made: Tensor) -> Seen | None:
        """What the output of an operation sees, none of whose inputs sees everything yet."""
        name = function.overloadpacket.__name__
        if torch.Tag.pointwise in function.tags or name in AS_THEY_ARE:
            return _joined([self._aligned(leaf, made.dim()) for leaf in tree_leaves(args) if leaf in self])
        if name == "cat":
            return _joined([self.known[part] for part in args[0] if part in self])
        if name in PRODUCTS:
            return self._product(*PRODUCTS[name](*args), made)
        rule = RULES.get(name)
        seen = self.known[args[0]] if args[0] in self else None
        return None if rule is None or seen is None else rule(seen, args[0], made, *args[1:])

    def _aligned(self, tensor: Tensor, dimensions: int) -> Seen:
        """With as many dimensions as what it is broadcast to."""
        seen = self.known[tensor]
        return replace(seen, along=(*[NONE] * (dimensions - tensor.dim()), *seen.along))

    def _product(self, rows: Tensor, columns: Tensor, made: Tensor) -> Seen | None:
        """Of matrices: whoever sums over places sees all of them."""
        parts = [self.known[tensor] for tensor in (rows, columns) if tensor in self]
        left = self.known[rows].along if rows in self else (NONE,) * rows.dim()
        right = self.known[columns].along if columns in self else (NONE,) * columns.dim()
        if left[-1] or right[-2]:
            return None
        along = (*left[:-1], right[-1])
        return _joined([replace(part, along=along) for part in parts])


# ----------------------------------------------------------------------------------------------- the operations

#: Their numbers are made from the same place of each input.
AS_THEY_ARE = frozenset(
    {
        "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_no_update",
        "native_dropout", "clone", "_to_copy", "detach", "alias", "expand", "copy_",
    }
)  # fmt: skip

#: Where the two factors stand among the arguments.
PRODUCTS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "mm": lambda rows, columns: (rows, columns),
    "bmm": lambda rows, columns: (rows, columns),
    "addmm": lambda added, rows, columns: (rows, columns),
    "baddbmm": lambda added, rows, columns: (rows, columns),
}


def _convolution(seen: Seen, given: Tensor, made: Tensor, weight: Tensor, bias: Any, *rest: Any) -> Seen | None:
    stride, padding, dilation, transposed = rest[:4]
    if transposed:
        return None
    return _window(seen, list(weight.shape[2:]), stride, padding, dilation)


def _pooling(seen: Seen, given: Tensor, made: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, *rest: Any):
    # An average has further settings here, none of which moves its window; a maximum has its dilation.
    dilated = rest[0] if rest and not isinstance(rest[0], bool) else 1
    return _window(seen, kernel, stride or kernel, padding, dilated)


def _fitted(seen: Seen, given: Tensor, made: Tensor, *rest: Any) -> Seen | None:
    """A pooling to a certain size: a window of its own if that size divides the map's."""
    before, after = given.shape[-2:], made.shape[-2:]
    if any(side % fitted for side, fitted in zip(before, after, strict=True)):
        return None
    kernel = [side // fitted for side, fitted in zip(before, after, strict=True)]
    return _window(seen, kernel, kernel, 0, 1) if math.prod(after) > 1 or math.prod(before) == 1 else None


def _window(seen: Seen, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Seen | None:
    """A window over the last two dimensions."""
    if not seen.is_map:
        alone = all(side == 1 for entry in (kernel, stride) for side in _two(entry))
        return seen if alone and not seen.along[1] else None
    settings = zip(_two(kernel), _two(stride), _two(padding), _two(dilation), strict=True)
    height, width = (span.through(*setting) for span, setting in zip((seen.height, seen.width), settings, strict=True))
    return replace(seen, height=height, width=width)


def _padded(seen: Seen, given: Tensor, made: Tensor, padding: Sequence[int], *rest: Any) -> Seen | None:
    before = [*padding, 0, 0, 0, 0]  # left, right, top, bottom
    return _window(seen, 1, 1, (before[2], before[0]), 1) if seen.is_map or not any(before) else None


def _sliced(
    seen: Seen,
    given: Tensor,
    made: Tensor,
    dimension: int = 0,
    start: int | None = None,
    end: Any = None,
    step: int = 1,
) -> Seen:
    axis = seen.along[dimension]
    first = (start or 0) % given.shape[dimension] if (start or 0) < given.shape[dimension] else 0
    if axis == HEIGHT:
        return replace(seen, height=seen.height.through(1, step, -first))
    if axis == WIDTH:
        return replace(seen, width=seen.width.through(1, step, -first))
    return seen


def _chosen(seen: Seen, given: Tensor, made: Tensor, dimension: int, *rest: Any) -> Seen:
    along = list(seen.along)
    del along[dimension]
    return replace(seen, along=tuple(along))


def _permuted(seen: Seen, given: Tensor, made: Tensor, order: Sequence[int]) -> Seen:
    return replace(seen, along=tuple(seen.along[place] for place in order))


def _transposed(seen: Seen, given: Tensor, made: Tensor, one: int = 0, other: int = 1) -> Seen:
    along = list(seen.along)
    if len(along) > 1:
        along[one], along[other] = along[other], along[one]
    return replace(seen, along=tuple(along))


def _viewed(seen: Seen, given: Tensor, made: Tensor, *rest: Any) -> Seen:
    """Dimensions joined or split: each new one has the places of those it was made of."""
    along: list[Along] = []
    for before, after in _groups(list(given.shape), list(made.shape)):
        if [given.shape[place] for place in before] == [made.shape[place] for place in after]:
            along += [seen.along[place] for place in before]
        else:
            held = NONE.union(*(seen.along[place] for place in before if given.shape[place] > 1))
            along += [held if made.shape[place] > 1 else NONE for place in after]
    return replace(seen, along=tuple(along))


def _reduced(seen: Seen, given: Tensor, made: Tensor, dimensions: Any = None, keep: Any = False, *rest: Any):
    """Summed, or its mean taken: over places all of the image is seen, over channels each place stays."""
    over = range(given.dim()) if dimensions is None else [dimensions] if isinstance(dimensions, int) else dimensions
    gone = {place % given.dim() for place in over}
    if any(seen.along[place] and given.shape[place] > 1 for place in gone):
        return None
    if made.dim() == given.dim():
        return seen
    return replace(seen, along=tuple(each for place, each in enumerate(seen.along) if place not in gone))


def _normalised(seen: Seen, given: Tensor, made: Tensor, shape: Sequence[int], *rest: Any) -> Seen | None:
    return None if any(seen.along[-len(shape) :]) else seen if made.dim() == given.dim() else None


def _softened(seen: Seen, given: Tensor, made: Tensor, dimension: int, *rest: Any) -> Seen | None:
    return None if seen.along[dimension] else seen


RULES: dict[str, Callable[..., Seen | None]] = {
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "avg_pool3d"), _pooling),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), _fitted),
    "constant_pad_nd": _padded,
    "slice": _sliced,
    "select": _chosen,
    "unbind": lambda seen, given, made, dimension=0: _chosen(seen, given, made, dimension),
    "split": lambda seen, *rest: seen,
    "split_with_sizes": lambda seen, *rest: seen,
    "permute": _permuted,
    **dict.fromkeys(("transpose", "t"), _transposed),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten"), _viewed),
    **dict.fromkeys(("mean", "sum", "amax"), _reduced),
    "native_layer_norm": _normalised,
    "_softmax": _softened,
}


def _joined(parts: Sequence[Seen | None]) -> Seen | None:
    """What is seen through any of them."""
    known = [part for part in parts if part is not None]
    steps = {(part.height.step, part.width.step) for part in known}
    if len(known) < len(parts) or len(steps) != 1:
        return None
    along = tuple(NONE.union(*places) for places in zip(*(part.along for part in known), strict=True))
    return Seen(_united([part.height for part in known]), _united([part.width for part in known]), along)


def _united(spans: Sequence[Span]) -> Span:
    return Span(min(span.start for span in spans), max(span.end for span in spans), spans[0].step)


def _groups(before: list[int], after: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The smallest groups of neighbouring dimensions that hold equally many numbers on both sides."""
    one, other = 0, 0
    while one < len(before) or other < len(after):
        left, right = [one], [other]
        one, other = one + 1, other + 1
        while (held := math.prod(before[place] for place in left if place < len(before))) != (
            wanted := math.prod(after[place] for place in right if place < len(after))
        ):
            if held < wanted:
                left.append(one)
                one += 1
            else:
                right.append(other)
                other += 1
        yield [place for place in left if place < len(before)], [place for place in right if place < len(after)]


def _two(value: Any) -> list[int]:
    """Height and width of a setting that may be one number for both, or have a depth before them."""
    entries = [value] if isinstance(value, int) else list(value)
    return entries * 2 if len(entries) == 1 else entries[-2:]
