"""Gradients at the inputs and at layers: one forward and one backward pass serve all that anybody asked for.

Where only named layers are asked for, the graph begins at the earliest of them, so that the trunk costs a plain forward
pass and the backward pass goes through the head alone. The default layer is found in the same pass: the graph is
recorded throughout, and the backward pass ends at the layer that is chosen. The next time it begins where the choice
fell before; whether it would fall there again is seen in the run itself, so that a network may change in between.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import hooks
from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run, Unsuitable, remember


@dataclass(frozen=True, slots=True)
class InputGradients(Need):
    """The gradient of the score with respect to one of the inputs; gives an InputGradient."""

    into: str = "image"
    together = "gradients"
    traced = scored = False

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
    scored = False

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


@dataclass(frozen=True, eq=False)
class _Found:
    """Of one forward and one backward pass: layers and what they put out by name, gradients as `Run` names them."""

    layers: Mapping[str, hooks.Layer]
    taps: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    default: str | None = None

    def at(self, name: str) -> LayerGradient:
        """A layer's evidence."""
        layer = self.layers[name]
        gradient = hooks.grid(self.gradients[f"layer {name!r}"], layer)
        return LayerGradient(layer, hooks.grid(self.taps[name].detach(), layer), gradient)


def _of(run: Run, needs: list[InputGradients | LayerGradients]) -> dict[Need, Any]:
    """All these gradients, at inputs and at layers, from one forward and one backward pass."""
    if not needs:
        return {}
    leaves = {need.into: run.leaf(need.into) for need in needs if isinstance(need, InputGradients)}
    at_layers = [need for need in needs if isinstance(need, LayerGradients)]
    names = {need: hooks.resolve(run.network, need.layer) for need in at_layers if need.layer is not None}
    named = frozenset(names.values())
    if len(names) == len(at_layers):
        scores, taps, traced = _named(run, leaves, named)
        found = _backward(run, scores, leaves, taps, _over_the_image(traced, named))
    else:
        found = _where_it_was(run, leaves, named) or _searched(run, leaves, named)
    gathered: dict[Need, Any] = {}
    for need in needs:
        if isinstance(need, InputGradients):
            gradient = found.gradients[f"input {need.into!r}"]
            gathered[need] = InputGradient(leaves[need.into].detach(), gradient)
        else:
            gathered[need] = found.at(names.get(need) or found.default or "")
    return gathered


# ------------------------------------------------------------------------------------------ the default layer

#: By network, and by the shapes of its inputs and where it is asked: the layers that were tried for the default one,
#: the best first, of which the last was chosen. A hint where to begin the graph, which each run must bear out.
_TRIED: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[str, ...]]] = WeakKeyDictionary()


def _alike(run: Run) -> Hashable:
    """What runs have in common that may look from the same layer."""
    shapes = ((name, tuple(x.shape[1:])) for name, x in run.inputs.items() if isinstance(x, Tensor))
    return tuple(shapes), run.question.at


def _where_it_was(run: Run, leaves: Mapping[str, Tensor], named: frozenset[str]) -> _Found | None:
    """With the graph begun where the last search ended; None where this run does not lead to the same layer.

    It does if the same layers come first by what ran now, and one of them counts: a search would have tried no other.
    """
    known = _TRIED.get(run.network, {})
    tried = known.pop(_alike(run), ())  # until this run has borne it out
    if not tried or not dict(hooks.modules(run.network)).keys() >= {*tried}:
        return None
    scores, taps, traced, _ = _tapped(run, leaves, named, tried)
    same = _up_to(run, traced, tried[-1]) == tried and taps.keys() >= {*tried}
    if not same or not scores.requires_grad:
        return None
    found = _backward(run, scores, leaves, taps, _over_the_image(traced, named | {*tried}), unused={*tried} - named)
    counting = next((name for name in tried if found.at(name).gradient.any()), None)
    if counting is None:
        return None
    known[_alike(run)] = tried
    return replace(found, default=counting)


def _searched(run: Run, leaves: Mapping[str, Tensor], named: frozenset[str]) -> _Found:
    """With the graph recorded throughout, to choose from all layers."""
    scores, taps, traced, seen = _tapped(run, leaves, named, search=True)
    chosen = hooks.last_that_counts(run.network, traced, hooks.image(run.inputs), seen, scores)
    run.backwards += 1.0 - chosen.done  # what it cost to look for it
    if chosen.name not in seen:
        raise ValueError(
            f"The score of {run.question.text!r} has no gradient: nothing differentiable leads from the layer "
            f"{chosen.name!r}"
        )
    taps.setdefault(chosen.name, seen[chosen.name])
    found = _backward(run, scores, leaves, taps, _over_the_image(traced, named | {chosen.name}))
    tried = _up_to(run, traced, chosen.name)
    if seen.keys() >= {*tried} and found.at(chosen.name).gradient.any():
        remember(_TRIED, run.network, _alike(run), tried)
    return replace(found, default=chosen.name)


def _up_to(run: Run, traced: list[hooks.Layer], last: str) -> tuple[str, ...]:
    """The layers that a search tries, the best first, until one; all of them if it is not among them."""
    names = [layer.name for layer in hooks.possible(run.network, traced, hooks.image(run.inputs))]
    return tuple(names[: names.index(last) + 1] if last in names else names)


# ------------------------------------------------------------------------------------------------ the one pass


def _named(
    run: Run, leaves: Mapping[str, Tensor], named: frozenset[str]
) -> tuple[Float[Tensor, " batch"], dict[str, Tensor], list[hooks.Layer]]:
    """With the graph begun at the named layers; run again, and followed, where what an earlier run told is not so."""
    for afresh in (False, True):
        scores, taps, traced, _ = _tapped(run, leaves, named, afresh=afresh)
        told = {layer.name: layer.shape for layer in traced if layer.name in named}
        if told == {name: tuple(tap.shape) for name, tap in taps.items()}:
            break
    return scores, taps, traced


def _tapped(
    run: Run,
    leaves: Mapping[str, Tensor],
    named: frozenset[str],
    tried: tuple[str, ...] = (),
    *,
    search: bool = False,
    afresh: bool = False,
) -> tuple[Float[Tensor, " batch"], dict[str, Tensor], list[hooks.Layer], dict[str, Tensor]]:
    """One forward pass: the scores, the activations on their way to them, all layers, and those that may be chosen."""
    taps: dict[str, Tensor] = {}

    def tap(name: str) -> Callable[[Tensor], Tensor]:
        def keep(activation: Tensor) -> Tensor:
            if not activation.is_floating_point():
                if name not in named:
                    return activation
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
    changes = hooks.change(run.network, {name: tap(name) for name in {*named, *tried}})
    watching: AbstractContextManager[dict[str, Tensor]] = hooks.watched(run.network) if search else nullcontext({})
    with torch.enable_grad(), changes, watching as seen:
        scores = run.unchanged(leaves, afresh=afresh or search or bool(tried))
    return scores, taps, run.layers if named or tried or search else [], seen


def _backward(
    run: Run,
    scores: Float[Tensor, " batch"],
    leaves: Mapping[str, Tensor],
    taps: Mapping[str, Tensor],
    layers: Mapping[str, hooks.Layer],
    *,
    unused: Set[str] = frozenset(),
) -> _Found:
    """One backward pass; of what was tapped, the score may have nothing to do with those that are `unused`."""
    tensors = {f"input {name!r}": leaf for name, leaf in leaves.items()}
    tensors |= {f"layer {name!r}": tap for name, tap in taps.items()}
    share = 1.0 if leaves else 1.0 - min(layer.done for layer in layers.values())
    gradients = run.gradients(scores, tensors, share=share, unused={f"layer {name!r}" for name in unused})
    return _Found(layers, taps, gradients)


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
