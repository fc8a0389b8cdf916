"""Gradients at the inputs and at layers: one forward and one backward pass serve all that anybody asked for.

Where only named layers are asked for, the graph begins at the earliest of them, so that the trunk costs a plain forward
pass and the backward pass goes through the head alone. The default layer is found in the same pass: the graph is
recorded throughout, and the backward pass ends at the layer that is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import hooks
from seewhy.passes.needs import Need, Passes, Unsuitable
from seewhy.passes.run import Run


@dataclass(frozen=True, slots=True)
class InputGradients(Need):
    """The gradient of the score with respect to one of the inputs; gives an InputGradient."""

    into: str = "image"
    together = "gradients"

    def passes(self, run: Run) -> Passes:
        """One backward pass; the forward pass is that of the score."""
        return Passes(0, 1)

    def gather(self, run: Run) -> Iterator[InputGradient]:
        """From the one pass for all gradients."""
        yield _shared(run, self)


@dataclass(frozen=True, slots=True)
class LayerGradients(Need):
    """What a layer puts out, and the gradient of the score there; gives a LayerGradient.

    None is the last layer that lies over the image and still counts (`hooks.default_layer`).
    """

    layer: str | None = None
    together = "gradients"

    def passes(self, run: Run) -> Passes:
        """At most one backward pass, and for the default layer parts of others while it is looked for."""
        return Passes(0, 1 if self.layer is not None else 2)

    def gather(self, run: Run) -> Iterator[LayerGradient]:
        """From the one pass for all gradients."""
        yield _shared(run, self)


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


def layer_of(run: Run, name: str | None) -> LayerGradient:
    """The evidence of a layer for other kinds of evidence, from the pass that serves all gradients."""
    return _shared(run, LayerGradients(name))


def _shared(run: Run, need: Need) -> Any:
    """From the pass that serves all gradients; from one of its own where the question is asked at a layer that some of
    the others do not lead to."""
    try:
        found = run.once(_differentiated)
    except Unsuitable:
        found = {}
    return found[need] if need in found else run.once(_differentiated_alone, need)


def _differentiated(run: Run) -> dict[Need, Any]:
    return _of(run, [need for need in run.wanted if isinstance(need, (InputGradients, LayerGradients))])


def _differentiated_alone(run: Run, need: InputGradients | LayerGradients) -> Any:
    return _of(run, [need])[need]


def _of(run: Run, needs: list[InputGradients | LayerGradients]) -> dict[Need, Any]:
    """All these gradients, at inputs and at layers, from one forward and one backward pass."""
    if not needs:
        return {}
    leaves = {need.into: run.leaf(need.into) for need in needs if isinstance(need, InputGradients)}
    at_layers = [need for need in needs if isinstance(need, LayerGradients)]
    names = {need: hooks.resolve(run.network, need.layer) for need in at_layers if need.layer is not None}
    scores, taps, traced, seen = _tapped(run, leaves, set(names.values()), search=len(names) < len(at_layers))
    if seen:
        chosen = _default(run, scores, traced, seen)
        names[LayerGradients()] = chosen.name
        taps.setdefault(chosen.name, seen[chosen.name])
    layers = _over_the_image(traced, names.values())
    tensors = {f"input {name!r}": leaf for name, leaf in leaves.items()}
    tensors |= {f"layer {name!r}": tap for name, tap in taps.items()}
    share = 1.0 if leaves else 1.0 - min(layer.done for layer in layers.values())
    gradients = run.gradients(scores, tensors, share=share)
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
    run: Run, leaves: Mapping[str, Tensor], names: set[str], *, search: bool
) -> tuple[Float[Tensor, " batch"], dict[str, Tensor], list[hooks.Layer], dict[str, Tensor]]:
    """One forward pass: the scores, the activations on their way to them, all layers, and those that may be chosen."""
    taps: dict[str, Tensor] = {}

    def tap(name: str) -> Callable[[Tensor], Tensor]:
        def keep(activation: Tensor) -> Tensor:
            if not activation.is_floating_point():
                raise ValueError(f"The layer {name!r} puts out {activation.dtype}, which has no gradient")
            # Where no graph has reached the layer it begins here. What goes on is a copy, so that a change in place
            # behind the layer neither spoils what was kept nor meets a leaf.
            kept = activation.clone()
            taps[name] = kept if kept.requires_grad else kept.detach().requires_grad_()
            return taps[name].clone()

        return keep

    if search:  # the graph begins at the inputs, for nobody knows yet where it will be needed
        others = [name for name, x in run.inputs.items() if isinstance(x, Tensor) and x.is_floating_point()]
        leaves = {name: run.leaf(name) for name in others} | dict(leaves)
    changes = hooks.change(run.network, {name: tap(name) for name in names})
    watching: AbstractContextManager[dict[str, Tensor]] = hooks.watched(run.network) if search else nullcontext({})
    with torch.enable_grad(), changes, watching as seen:
        scores = run.unchanged(leaves)
    return scores, taps, run.layers, seen


def _default(run: Run, scores: Tensor, traced: list[hooks.Layer], seen: Mapping[str, Tensor]) -> hooks.Layer:
    """The layer to look from, and what it cost to look for it."""
    chosen = hooks.last_that_counts(run.network, traced, hooks.image(run.inputs), seen, scores)
    run.backwards += 1.0 - chosen.done
    return chosen


def _over_the_image(traced: list[hooks.Layer], names: Any) -> dict[str, hooks.Layer]:
    """These layers. Raises ValueError for one that did not run or does not lie over the image."""
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
    return layers
