"""What explainers need of a network, gathered in the fewest runs of it.

An explainer names its needs and is handed evidence; it never runs a network. One forward and backward pass serves every
gradient that anybody asked for, at the inputs and at all layers. Where only layers are asked for, the graph begins at
the earliest of them, so that the trunk costs a plain forward pass and the backward pass goes through the head alone.

Cost is counted an example, in runs of the whole network: a forward pass is 1; a backward pass that reaches the input is
1, one that ends at a layer counts the share of the network's multiplications behind that layer. With the weights
frozen a backward pass costs about what a forward pass does.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks
from seewhy.shelf import nearest
from seewhy.types import Batch, Question

#: How many input values go through the network at once where masks are tried, and how many examples at most. At
#: 3 x 224 x 224 that is 27 examples, for which the widest common networks hold under 1 GB of activations.
VALUES_AT_ONCE = 2**22
EXAMPLES_AT_ONCE = 512


# ---------------------------------------------------------------------------------------------------- needs


@dataclass(frozen=True, slots=True)
class InputGradients:
    """The gradient of the score with respect to one of the inputs; gives an InputGradient."""

    into: str = "image"


@dataclass(frozen=True, slots=True)
class LayerGradients:
    """What a layer puts out, and the gradient of the score there; gives a LayerGradient.

    None is the last layer that lies over the image and still counts (`hooks.default_layer`).
    """

    layer: str | None = None


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The score with one square of the image covered, for squares on a regular grid; gives a MaskTable.

    `patch` and `stride` are in pixels; None is a fifth of the image's short side, at least 2, and half the patch. The
    last square of a row may stand out over the edge. `fill` is what covers: the image's own mean colour, black (0), or
    the image blurred until the square holds no detail.
    """

    patch: int | None = None
    stride: int | None = None
    fill: str = "mean"
    into: str = "image"


#: What `MaskScores` can cover with.
FILLINGS = ("mean", "black", "blur")

Need = InputGradients | LayerGradients | MaskScores

# -------------------------------------------------------------------------------------------------- evidence


@dataclass(frozen=True, eq=False)
class InputGradient:
    """An input and d score / d input, of one shape, the batch first."""

    input: Float[Tensor, "batch ..."]
    gradient: Float[Tensor, "batch ..."]


@dataclass(frozen=True, eq=False)
class LayerGradient:
    """A layer's activation and d score / d activation, laid over the image."""

    layer: hooks.Layer
    activation: Float[Tensor, "batch channels height width"]
    gradient: Float[Tensor, "batch channels height width"]


@dataclass(frozen=True, eq=False)
class MaskTable:
    """Which pixels were covered (True), what the score then was, and what it is with nothing covered."""

    masks: Bool[Tensor, "masks height width"]
    scores: Float[Tensor, "masks batch"]
    baseline: Float[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class Passes:
    """Runs of the whole network an example."""

    forwards: float
    backwards: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.forwards + self.backwards


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was gathered, by need; the score of the unchanged inputs; and what it cost."""

    gathered: Mapping[Need, Any]
    baseline: Float[Tensor, " batch"]
    spent: Passes

    def __getitem__(self, need: Need) -> Any:
        if need not in self.gathered:
            raise KeyError(f"{need} was not asked for in `needs`; there are: {', '.join(map(str, self.gathered))}")
        return self.gathered[need]

    @property
    def forwards(self) -> float:
        """Forward runs of the whole network an example."""
        return self.spent.forwards

    @property
    def backwards(self) -> float:
        """Backward runs of the whole network an example."""
        return self.spent.backwards


# ------------------------------------------------------------------------------------------------- gathering


def gather(
    network: nn.Module, batch: Batch, question: Question, needs: Iterable[Need], *, chunk: int | None = None
) -> Evidence:
    """The evidence for all the needs, with the fewest runs; the network is left as it was, errors included.

    `chunk` is how many examples go through the network at once where masks are tried; whole batches are kept together,
    for a question may hold one answer an example. Raises KeyError or ValueError where a need cannot be met: no such
    input or layer, an input without gradient, a score that is not one number an example.
    """
    wanted = tuple(dict.fromkeys(needs))
    if not len(batch):
        raise ValueError("There are no examples to explain: the batch is empty")
    with hooks.frozen(network), torch.inference_mode(False), torch.no_grad():
        run = _Run(network, question, len(batch), hooks.placed(network, batch))
        gathered = _differentiated(run, [need for need in wanted if isinstance(need, (InputGradients, LayerGradients))])
        for need in wanted:
            if isinstance(need, MaskScores):
                gathered[need] = _covered(run, need, chunk)
        return Evidence({need: gathered[need] for need in wanted}, run.baseline(), run.spent())


def forecast(needs: Iterable[Need], batch: Batch) -> Passes:
    """What `gather` will cost: forward passes exactly, backward passes at most."""
    wanted = set(needs)
    searched = 1 / len(batch) if LayerGradients() in wanted else 0.0  # the first example, to find the layer
    tables = [need for need in wanted if isinstance(need, MaskScores)]
    masks = sum(len(list(_squares(need, _image(batch.inputs, need.into)))) for need in tables)
    backward = 1.0 if len(tables) < len(wanted) else 0.0
    return Passes(1 + masks + searched, backward + searched)


class _Run:
    """A network, a question and the inputs, and how often the network has run."""

    def __init__(self, network: nn.Module, question: Question, rows: int, inputs: Mapping[str, Any]) -> None:
        self.network, self.question, self.rows, self.inputs = network, question, rows, inputs
        self.forwards = self.backwards = 0.0
        self._baseline: Tensor | None = None

    def scores(self, inputs: Mapping[str, Any], copies: int = 1) -> Float[Tensor, "copies batch"]:
        """The scores of inputs that hold the batch so many times over, one copy after another."""
        self.forwards += copies
        output = hooks.run(self.network, inputs, at=self.question.at)
        return torch.stack([self._score(part) for part in _parted(output, self.rows, copies)])

    def baseline(self) -> Float[Tensor, " batch"]:
        """The scores of the inputs as they are; run once."""
        if self._baseline is None:
            self._baseline = self.scores(self.repeated(1, {}))[0]
        return self._baseline

    def found(self, baseline: Float[Tensor, " batch"]) -> None:
        """Another pass has seen the inputs as they are: no run is needed for the baseline."""
        self._baseline = baseline.detach()

    def repeated(self, copies: int, changed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Fresh copies of the inputs, so many times over; those that are given exchanged."""
        others = {name: value for name, value in self.inputs.items() if name not in changed}
        whole = Batch(ids=("",) * self.rows, inputs=others)
        return {**whole.rows([*range(self.rows)] * copies).inputs, **changed}

    def spent(self) -> Passes:
        """What it cost so far."""
        return Passes(self.forwards, self.backwards)

    def _score(self, output: Any) -> Tensor:
        score = self.question.score(output)
        if not isinstance(score, Tensor) or score.shape != (self.rows,) or not score.is_floating_point():
            was = f"{score.dtype} {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
            raise ValueError(
                f"The question {self.question.text!r} scored {was}; "
                f"it must give one floating-point number an example, here {self.rows}"
            )
        return score


# ------------------------------------------------------------------------------- all gradients from one pass


def _differentiated(run: _Run, needs: list[InputGradients | LayerGradients]) -> dict[Need, Any]:
    """All gradients, at inputs and at layers, from one forward and one backward pass."""
    if not needs:
        return {}
    leaves = {need.into: _leaf(run.inputs, need.into) for need in needs if isinstance(need, InputGradients)}
    names = {need: _layer_name(run, need) for need in needs if isinstance(need, LayerGradients)}
    scores, taps, layers = _tapped(run, leaves, set(names.values()))
    run.backwards += 1.0 if leaves else 1.0 - min(layer.done for layer in layers.values())
    tensors = {f"input {name!r}": leaf for name, leaf in leaves.items()}
    gradients = _gradients(run.question, scores, tensors | {f"layer {name!r}": tap for name, tap in taps.items()})
    gathered: dict[Need, Any] = {}
    for need in needs:
        if isinstance(need, InputGradients):
            gathered[need] = InputGradient(leaves[need.into].detach(), gradients[f"input {need.into!r}"])
        else:
            layer, tap = layers[names[need]], taps[names[need]].detach()
            gradient = hooks.grid(gradients[f"layer {layer.name!r}"], layer)
            gathered[need] = LayerGradient(layer, hooks.grid(tap, layer), gradient)
    return gathered


def _tapped(
    run: _Run, leaves: Mapping[str, Tensor], names: set[str]
) -> tuple[Float[Tensor, " batch"], dict[str, Tensor], dict[str, hooks.Layer]]:
    """One forward pass: the scores, and the activations on their way to them, with the layers they are from."""
    taps: dict[str, Tensor] = {}

    def tap(name):
        def keep(activation):
            if not activation.is_floating_point():
                raise ValueError(f"The layer {name!r} puts out {activation.dtype}, which has no gradient")
            # Where no graph has reached the layer it begins here. What goes on is a copy, so that a change in place
            # behind the layer neither spoils what was kept nor meets a leaf.
            kept = activation.clone()
            taps[name] = kept if kept.requires_grad else kept.detach().requires_grad_()
            return taps[name].clone()

        return keep

    changes = {name: tap(name) for name in names}
    with torch.enable_grad(), hooks.tracing(run.network, run.inputs) as traced, hooks.change(run.network, changes):
        copies = {name: leaf.clone() for name, leaf in leaves.items()}  # a network may change its input in place
        scores = run.scores(run.repeated(1, copies))[0]
    run.found(scores)
    layers = {layer.name: layer for layer in traced if layer.name in names}
    for name in names:
        if name not in layers:
            raise ValueError(f"The layer {name!r} did not run for these inputs")
        if layers[name].grid is None:
            over = [layer.name for layer in traced if layer.sites > 1]
            such = f"Choose one that does, such as {over[-1]!r}." if over else "No layer of this network does."
            raise ValueError(
                f"The layer {name!r} ({layers[name].kind}) puts out {layers[name].shape}, which does not lie over the "
                f"image. {such}"
            )
    return scores, taps, layers


def _gradients(question: Question, scores: Float[Tensor, " batch"], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """d score / d tensor. An example's score hangs on that example alone, so their sum gives every example its own."""
    if not scores.requires_grad:
        there = " or the ".join(tensors)
        raise ValueError(
            f"The score of {question.text!r} has no gradient: nothing differentiable leads from the {there}"
        )
    gradients = torch.autograd.grad(scores, list(tensors.values()), torch.ones_like(scores), allow_unused=True)
    for name, gradient in zip(tensors, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"The score of {question.text!r} does not depend on the {name}")
    return dict(zip(tensors, gradients, strict=True))


def _layer_name(run: _Run, need: LayerGradients) -> str:
    """The network's own name of the layer; the search for the default one costs runs of one example."""
    if need.layer is not None:
        return hooks.resolve(run.network, need.layer)
    run.forwards += 1 / run.rows
    run.backwards += 1 / run.rows
    return hooks.default_layer(run.network, run.inputs, run.question).name


def _leaf(inputs: Mapping[str, Any], name: str) -> Tensor:
    value = _input(inputs, name)
    if not value.is_floating_point():
        raise ValueError(f"The input {name!r} holds {value.dtype} and has no gradient; choose another")
    return value.detach().clone().requires_grad_()


# --------------------------------------------------------------------------------------------- covered squares


def _covered(run: _Run, need: MaskScores, chunk: int | None) -> MaskTable:
    """The scores with each square covered, in as few calls of the network as memory allows."""
    image = _image(run.inputs, need.into)
    squares = list(_squares(need, image))
    masks = torch.zeros(len(squares), *image.shape[2:], dtype=torch.bool, device=image.device)
    for mask, (rows, columns) in zip(masks, squares, strict=True):
        mask[rows, columns] = True
    filling = _filling(need, image)
    rows_at_once = min(EXAMPLES_AT_ONCE, VALUES_AT_ONCE // image[0].numel()) if chunk is None else chunk
    scores = []
    for some in masks.split(max(1, rows_at_once // run.rows)):
        images = torch.where(some[:, None, None], filling, image)  # masks, batch, channels, height, width
        scores.append(run.scores(run.repeated(len(some), {need.into: images.flatten(0, 1)}), len(some)))
    return MaskTable(masks, torch.cat(scores), run.baseline())


def _squares(need: MaskScores, image: Tensor) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each square, line by line."""
    height, width = image.shape[2:]
    patch = min(max(2, round(min(height, width) / 5)), height, width) if need.patch is None else need.patch
    stride = math.ceil(patch / 2) if need.stride is None else need.stride
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"A patch of {patch} pixels does not fit an image of {height} x {width}")
    if not 1 <= stride <= patch:
        raise ValueError(f"A stride of {stride} pixels leaves gaps between patches of {patch}; it must be 1 to {patch}")
    for top in range(0, height - patch + stride, stride):
        for left in range(0, width - patch + stride, stride):
            yield slice(top, top + patch), slice(left, left + patch)


def _filling(
    need: MaskScores, image: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels _ _"]:
    """What stands in a covered square."""
    if need.fill == "black":
        return torch.zeros_like(image)
    if need.fill == "mean":
        return image.mean((2, 3), keepdim=True)
    if need.fill == "blur":
        patch = next(_squares(need, image))[0]
        return _blurred(image, sigma=(patch.stop - patch.start) / 2)
    raise ValueError(f"No filling {need.fill!r}. {nearest(need.fill, FILLINGS)}There are: {', '.join(FILLINGS)}.")


def _blurred(
    image: Float[Tensor, "batch channels height width"], *, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """A Gaussian blur of `sigma` pixels; beyond the edge the image goes on as it ends."""
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = (-(offset**2) / (2 * sigma**2)).softmax(0)
    channels = image.shape[1]
    padded = functional.pad(image, (radius,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(across, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)


def _image(inputs: Mapping[str, Any], name: str) -> Tensor:
    value = _input(inputs, name)
    if value.ndim != 4 or not value.is_floating_point():
        raise ValueError(
            f"The input {name!r} is {value.dtype} {tuple(value.shape)}; squares can be covered in images only "
            "(batch, channels, height, width)"
        )
    return value


def _input(inputs: Mapping[str, Any], name: str) -> Tensor:
    if name not in inputs:
        raise KeyError(f"No input {name!r}. {nearest(name, inputs)}There are: {', '.join(inputs)}.")
    if not isinstance(inputs[name], Tensor):
        raise ValueError(f"The input {name!r} is a {type(inputs[name]).__name__}, not a tensor; choose another")
    return inputs[name]


def _parted(output: Any, rows: int, copies: int) -> Iterator[Any]:
    """An output for `copies` batches of `rows` examples, as an output for each."""
    if copies == 1:
        yield output
        return
    for start in range(0, rows * copies, rows):
        yield _rows(output, slice(start, start + rows), rows * copies)


def _rows(output: Any, chosen: slice, total: int) -> Any:
    """Some examples of an output: of its tensors with an entry an example, and of its lists with one."""
    if isinstance(output, Mapping):
        build: Any = type(output)
        return build({name: _rows(value, chosen, total) for name, value in output.items()})
    if isinstance(output, (list, tuple)) and len(output) == total:
        stacked = all(isinstance(entry, Tensor) and entry.shape[:1] == (total,) for entry in output)
        return hooks.mapped(output, lambda x: x[chosen]) if stacked else output[chosen]
    return hooks.mapped(output, lambda x: x[chosen] if x.shape[:1] == (total,) else x)


# ------------------------------------------------------------------------------------------------ explaining


@runtime_checkable
class Explainer(Protocol):
    """A member of the shelf `explainers`. `needs` takes those of the settings of `heat` that it reads."""

    needs: Callable[..., tuple[Need, ...]]
    heat: Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Explained:
    """Heat over the input by method, at the input's size. It may be signed: positive speaks for the answer.

    `passes` is what each method would have cost alone, at most; `evidence.spent` is what all of them did cost.
    """

    heat: Mapping[str, Float[Tensor, "batch height width"]]
    evidence: Evidence
    passes: Mapping[str, Passes]


def explain(
    network: nn.Module,
    batch: Batch,
    question: Question,
    methods: Mapping[str, tuple[Explainer, Mapping[str, Any]]],
    *,
    chunk: int | None = None,
) -> Explained:
    """Answer "where does the network look?" by several methods, each an explainer and its settings, from shared runs.

    The heat lies on the device of the batch. Raises as `gather` does.
    """
    asked = {name: needs_of(explainer, settings) for name, (explainer, settings) in methods.items()}
    evidence = gather(network, batch, question, [need for needs in asked.values() for need in needs], chunk=chunk)
    heat = {}
    for name, (explainer, settings) in methods.items():
        over = batch.inputs[settings["into"]] if "into" in settings else hooks.image(batch.inputs)
        heat[name] = _fitted(name, explainer.heat(evidence, question, **settings), over)
    return Explained(heat, evidence, {name: forecast(needs, batch) for name, needs in asked.items()})


def needs_of(explainer: Explainer, settings: Mapping[str, Any]) -> tuple[Need, ...]:
    """What an explainer needs with these settings. Raises TypeError where that is nothing that can be gathered."""
    read = inspect.signature(explainer.needs).parameters
    found = tuple(explainer.needs(**{name: value for name, value in settings.items() if name in read}))
    for need in found:
        if not isinstance(need, Need):
            known = ", ".join(kind.__name__ for kind in get_args(Need))
            raise TypeError(f"`needs` names {need!r}, which cannot be gathered; there are: {known}")
    return found


def _fitted(method: str, heat: Tensor, over: Tensor | None) -> Float[Tensor, "batch height width"]:
    """Heat at the size of the input that it lies over, smoothly enlarged."""
    if over is None or heat.ndim != 3 or len(heat) != len(over):
        was = "no image among the inputs" if over is None else f"{len(over)} images"
        raise ValueError(f"{method!r} gave heat of {tuple(heat.shape)} for {was}; expected batch, height, width")
    heat = heat.detach().to(over.device)
    if heat.shape[1:] == over.shape[2:]:
        return heat
    return functional.interpolate(heat[:, None], size=over.shape[2:], mode="bilinear", align_corners=False)[:, 0]
