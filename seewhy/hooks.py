"""Looking into a network and changing what happens inside it, each as a context that puts everything back.

    with hooks.frozen(network), hooks.read(network, ["layer4"]) as seen:
        network(**batch.inputs)
    seen["layer4"]                                        # batch, channels, height, width

A layer is a module, by its dotted name. Where a layer lies over the image is found by tracing one run: convolutions put
out channels first, Swin channels last, ViTs tokens with class and register tokens before them. Nobody writes a reshape.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.shelf import nearest
from seewhy.types import Batch, Question

#: The attribute under which a wrapper that normalises its input holds the network; names work with and without it.
BODY = "body."
#: A map of fewer sites a side says hardly where: `default_layer` looks for a layer with as many, if the image has them.
FINE_ENOUGH = 4
#: At most so many class, distillation and register tokens stand before the tokens of the image.
MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """How an activation lies over the image; `prefix` tokens stand before those of the image."""

    layout: Literal["channels first", "channels last", "tokens"]
    height: int
    width: int
    prefix: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer did in one run of the network.

    `shape` is that of the first tensor it put out at its last use, `order` the place at which that use ended, `uses`
    how often it ran. `done` is the share of the network's multiplications by weights (of convolutions and linear
    layers) that were through by then, 0 to 1. `grid` is None where the output does not lie over the image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    order: int
    uses: int
    done: float
    grid: Grid | None

    @property
    def sites(self) -> int:
        """How many places of the image its output tells apart; 0 where it does not lie over the image."""
        return self.grid.height * self.grid.width if self.grid else 0


# ------------------------------------------------------------------------------------------------- contexts


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, its parameters without gradients; then all flags and generators as before.

    Each module gets back its own mode. `train` and `eval` are not called: some modules fold their weights there.
    """
    training = [module for module in network.modules() if module.training]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    devices = {entry.device for entry in (*network.parameters(), *network.buffers()) if entry.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            for module in training:
                module.training = False
            for parameter in learning:
                parameter.requires_grad_(False)
            yield
        finally:
            for module in training:
                module.training = True
            for parameter in learning:
                parameter.requires_grad_(True)


@contextmanager
def read(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """A dict that fills as the network runs: by layer, the first tensor it put out at its last use.

    The tensors are copies, so that what comes after (a ReLU in place) leaves them alone, and differentiable where the
    run is. A layer that does not run is not in the dict. Raises KeyError where there is no such layer.
    """
    seen: dict[str, Tensor] = {}

    def keep(name):
        def hook(module, arguments, output):
            seen[name] = _first_tensor(output, name).clone()

        return hook

    with _hooked((_module(network, name), keep(name)) for name in names):
        yield seen


@contextmanager
def change(network: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """While the block runs, each of these layers puts out what its function makes of its output.

    Of an output with several tensors the first is changed; of a layer that is used twice, each use. Raises KeyError
    where there is no such layer.
    """

    def exchange(name, function):
        def hook(module, arguments, output):
            first = _first_tensor(output, name)
            changed = function(first)
            return mapped(output, lambda tensor: changed if tensor is first else tensor)

        return hook

    with _hooked((_module(network, name), exchange(name, function)) for name, function in changes.items()):
        yield


@contextmanager
def tracing(network: nn.Module, inputs: Mapping[str, Any]) -> Iterator[list[Layer]]:
    """A list that holds, once the block is left, the layers in the order in which they ended; no pass of its own."""
    calls: list[tuple[str, nn.Module, tuple[int, ...], int]] = []

    def note(name):
        def hook(module, arguments, output):
            first = next(_tensors(output), None)
            shape = () if first is None else tuple(first.shape)
            calls.append((name, module, shape, _multiplications(module, shape)))

        return hook

    found: list[Layer] = []
    with _hooked((module, note(name)) for name, module in network.named_modules() if name):
        yield found
    over = image(inputs)
    total, through = sum(call[3] for call in calls), 0
    uses = Counter(call[0] for call in calls)
    left, grids = uses.copy(), list[tuple[tuple[int, ...], Grid]]()
    for order, (name, module, shape, multiplications) in enumerate(calls):
        through += multiplications
        left[name] -= 1
        lies = None if over is None else _grid(module, shape, tuple(over.shape), grids)
        if lies is not None:
            grids.append((shape, lies))
        if not left[name]:
            done = through / total if total else (order + 1) / len(calls)
            found.append(Layer(name, type(module).__name__, shape, order, uses[name], done, lies))


@contextmanager
def _hooked(hooks: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    handles = []
    try:
        for module, hook in hooks:
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(network: nn.Module, inputs: Mapping[str, Any], *, at: str | None = None) -> Any:
    """The network's output, or the activation of one layer: what the score of a question asked at that layer reads."""
    if at is None:
        return network(**inputs)
    with read(network, [at]) as seen:
        network(**inputs)
    if at not in seen:
        raise ValueError(f"The layer {at!r}, of which the question is asked, did not run")
    return seen[at]


# --------------------------------------------------------------------------------------------- finding layers


def resolve(network: nn.Module, name: str) -> str:
    """The name under which the network itself knows a layer; "layer4" also stands for "body.layer4" and back.

    Raises KeyError with the nearest name where there is none.
    """
    modules = {alias: module for alias, module in network.named_modules(remove_duplicate=False) if alias}
    for known in (name, BODY + name, name.removeprefix(BODY)):
        if known in modules:
            return next(first for first, module in network.named_modules() if module is modules[known])
    meant = nearest(name, {*modules, *(alias.removeprefix(BODY) for alias in modules)})
    shown = ", ".join(list(modules)[:12]) + (f" and {len(modules) - 12} more" if len(modules) > 12 else "")
    raise KeyError(f"No layer {name!r}. {meant}There are: {shown}.")


def _module(network: nn.Module, name: str) -> nn.Module:
    return network.get_submodule(resolve(network, name))


def layers(network: nn.Module, inputs: Batch | Mapping[str, Any]) -> tuple[Layer, ...]:
    """Every layer that runs, in the order in which they end (the parts before the whole). Costs one forward pass."""
    ready = placed(network, inputs)
    with frozen(network), torch.no_grad(), tracing(network, ready) as found:
        network(**ready)
    return tuple(found)


def default_layer(network: nn.Module, inputs: Batch | Mapping[str, Any], question: Question | None = None) -> Layer:
    """The last layer that lies over the image and whose every place can still move the score.

    In a CNN that is the end of the convolutions; in a ViT that answers from its class token the norm before the last
    attention, for behind it the tokens of the image count for nothing. Layers of fewer than 4 x 4 sites are passed over
    where finer ones exist. Without a question all of the output counts. Costs one forward pass and at most one backward
    pass of the first example. Raises ValueError where no layer lies over the image.
    """
    ready = placed(network, inputs)
    rows = len(next(iter(ready.values())))
    first_row = Batch(ids=("",) * rows, inputs=ready).rows([0]).inputs
    seen: dict[str, Tensor] = {}

    def keep(name):
        def hook(module, arguments, output):
            first = next(_tensors(output), None)
            if first is None or not first.requires_grad:
                return None
            seen[name] = first.clone()  # a copy goes on: a skip past the layer must not count as a way through it
            return mapped(output, lambda tensor: seen[name] if tensor is first else tensor)

        return hook

    watched = ((module, keep(name)) for name, module in network.named_modules() if name)
    with frozen(network), torch.inference_mode(False), torch.enable_grad():
        row = {name: _differentiable(value) for name, value in first_row.items()}
        with tracing(network, row) as traced, _hooked(watched):
            output = run(network, row, at=question.at if question else None)
        score = question.score(spread(output, rows)).sum() if question else _sum_of_squares(output)
        return _last_that_counts(_candidates(network, traced, image(row)), seen, score)


def grid(activation: Float[Tensor, "batch ..."], layer: Layer) -> Float[Tensor, "batch channels height width"]:
    """An activation, or its gradient, laid over the image; tokens that stand for no place are left out.

    Raises ValueError where the layer does not lie over the image.
    """
    if layer.grid is None:
        raise ValueError(
            f"The layer {layer.name!r} ({layer.kind}) puts out {layer.shape}, which does not lie over the image"
        )
    if layer.grid.layout == "channels first":
        return activation
    if layer.grid.layout == "channels last":
        return activation.movedim(-1, 1)
    tokens = activation[:, layer.grid.prefix :]  # batch, height*width, channels
    return tokens.transpose(1, 2).unflatten(2, (layer.grid.height, layer.grid.width))


def image(inputs: Mapping[str, Any]) -> Tensor | None:
    """The input that layers lie over: the one named so, else the first that looks like images."""
    images = {name: value for name, value in inputs.items() if isinstance(value, Tensor) and value.ndim == 4}
    return images.get("image", next(iter(images.values()), None))


def placed(network: nn.Module, inputs: Batch | Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the inputs on the network's device, fit for a differentiable run and for changes in place."""
    given = inputs.inputs if isinstance(inputs, Batch) else inputs
    weight = next((entry for entry in (*network.parameters(), *network.buffers())), None)
    with torch.inference_mode(False):
        return {
            name: value.to(value.device if weight is None else weight.device, copy=True)
            if isinstance(value, Tensor)
            else value
            for name, value in given.items()
        }


# ------------------------------------------------------------------------------------ outputs of any structure


def mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """The same structure of tuples, lists, dicts and dataclasses, each tensor exchanged for what the function gives."""
    build: Any = type(value)
    if isinstance(value, Tensor):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: mapped(getattr(value, entry.name), function) for entry in fields(value)})
    if isinstance(value, Mapping):
        return build({name: mapped(entry, function) for name, entry in value.items()})
    if isinstance(value, (list, tuple)):
        entries = [mapped(entry, function) for entry in value]
        return build(*entries) if hasattr(value, "_fields") else build(entries)  # a namedtuple or not
    return value


def spread(output: Any, rows: int) -> Any:
    """The output for one example as if it were that for `rows` equal ones."""
    if isinstance(output, Mapping):
        build: Any = type(output)
        return build({name: spread(value, rows) for name, value in output.items()})
    if isinstance(output, (list, tuple)) and len(output) == 1 and not isinstance(output[0], Tensor):
        return output * rows  # one entry an example, as detectors give
    return mapped(output, lambda tensor: tensor.expand(rows, *tensor.shape[1:]) if tensor.shape[:1] == (1,) else tensor)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor of an output, in order."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        yield from _tensors([getattr(value, entry.name) for entry in fields(value)])
    elif isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(entry)


def _first_tensor(output: Any, name: str) -> Tensor:
    first = next(_tensors(output), None)
    if first is None:
        raise ValueError(f"The layer {name!r} puts out no tensor but {type(output).__name__}")
    return first


# ------------------------------------------------------------------------------------------ from shape to grid


def _grid(
    module: nn.Module, shape: tuple[int, ...], image: tuple[int, ...], before: list[tuple[tuple[int, ...], Grid]]
) -> Grid | None:
    """How an output lies over the image, from its shape, the kind of the layer and what ran before it."""
    if len(shape) not in (3, 4) or shape[0] != image[0]:
        return None
    if len(shape) == 3:
        return _token_grid(shape[1], image, before)
    possible = {}
    if _alike(shape[2:4], image[2:4]):
        possible["channels first"] = Grid("channels first", shape[2], shape[3])
    if _alike(shape[1:3], image[2:4]):
        possible["channels last"] = Grid("channels last", shape[1], shape[2])
    told = _layout(module, shape)
    if told is not None:
        return possible.get(told)
    if len(possible) == 2:  # as in (batch, 8, 8, 8): as it was in the last output of that shape
        return next((grid for known, grid in reversed(before) if known == shape), possible["channels first"])
    return next(iter(possible.values()), None)


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
    normalised = getattr(module, "normalized_shape", None)  # LayerNorm and its kin, some of which work on axis 1
    if normalised is not None and (shape[-1] == normalised[-1]) != (shape[1] == normalised[0]):
        return "channels last" if shape[-1] == normalised[-1] else "channels first"
    return None


def _multiplications(module: nn.Module, shape: tuple[int, ...]) -> int:
    """By weights, in one use of this very layer: each weight counts once for each site and example."""
    if not shape or not isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return 0
    sites = math.prod(shape[:-1]) if isinstance(module, nn.Linear) else math.prod(shape) // shape[1]
    return module.weight.numel() * sites


# ------------------------------------------------------------------------------------------- the default layer

#: Their output is another layer's, or mixes places, or is an attention map or a query: no good place to look from.
PASSED_OVER = (
    nn.Linear,
    nn.Identity,
    nn.Softmax,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


def _candidates(network: nn.Module, traced: list[Layer], image: Tensor | None) -> list[Layer]:
    """The layers to choose from, the best first."""
    over = [
        layer for layer in traced if layer.sites > 1 and not isinstance(network.get_submodule(layer.name), PASSED_OVER)
    ]
    if image is None or not over:
        there = ", ".join(f"{layer.name} {layer.shape}" for layer in traced[-6:])
        raise ValueError(f"No layer of this network lies over an image; the last ones put out: {there}")
    enough, finest = min(FINE_ENOUGH, *image.shape[2:4]), max(layer.sites for layer in over)
    fine = [layer for layer in over if layer.grid and min(layer.grid.height, layer.grid.width) >= enough]
    chosen = fine or [layer for layer in over if layer.sites == finest]
    sites = {layer.name: layer.sites for layer in traced if layer.sites}
    whole = [layer for layer in chosen if not _in_a_coarser_block(network, layer, sites)]
    if whole and whole[-1].sites == chosen[-1].sites:
        chosen = whole
    return chosen[::-1]


def _in_a_coarser_block(network: nn.Module, layer: Layer, sites: Mapping[str, int]) -> bool:
    """Whether the layer is part of a block (no mere sequence) that shrinks its map: other branches may lead past it."""
    parts = layer.name.split(".")
    around = [".".join(parts[:depth]) for depth in range(1, len(parts))]
    return any(
        sites.get(name, math.inf) < layer.sites and type(network.get_submodule(name)) is not nn.Sequential
        for name in around
    )


def _last_that_counts(candidates: list[Layer], seen: Mapping[str, Tensor], score: Tensor) -> Layer:
    """The first candidate at whose places the score has a gradient; if it is 0 at all, the first that leads to it."""
    differentiable = [layer for layer in candidates if layer.name in seen]
    if not score.requires_grad or not differentiable:
        return candidates[0]
    leading = []
    for some in (differentiable[:1], differentiable[1:]):  # nearly always the first, whose gradient costs little
        tensors = [seen[layer.name] for layer in some]
        gradients = torch.autograd.grad(score, tensors, retain_graph=True, allow_unused=True) if some else ()
        for layer, gradient in zip(some, gradients, strict=True):
            if gradient is not None and bool(grid(gradient, layer).any()):
                return layer
            leading += [layer] if gradient is not None else []
    return (leading or candidates)[0]


def _sum_of_squares(output: Any) -> Tensor:
    """Everything in the output as one number; squares, for a plain sum of probabilities never moves."""
    return torch.stack(
        [x.float().square().sum() for x in _tensors(output) if x.requires_grad] or [torch.zeros(())]
    ).sum()


def _differentiable(value: Any) -> Any:
    """A copy with a gradient, where there can be one; no leaf, so that the network may change it in place."""
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.detach().clone().requires_grad_().clone() if floating else value
