"""Through which layers and units does the effect of a change go? Activations exchanged between two runs of a network.

With Y(input, mediator) what the network says, `before` and `after` the same image without and with the change, and M
what the mediator (a layer, or some of its channels) puts out for each:

    total          = Y(after, M(after))   - Y(before, M(before))
    direct         = Y(after, M(before))  - Y(before, M(before))        the mediator is held where it was
    pure indirect  = Y(before, M(after))  - Y(before, M(before))        the input is held where it was
    total indirect = Y(after, M(after))   - Y(after, M(before))

So total = direct + total indirect, always; direct + pure indirect misses the interaction, total indirect - pure
indirect: ReLU(input + mediator - 1) from (0, 0) to (1, 1) has total 1, direct 0 and pure indirect 0.

Robins and Greenland 1992, https://doi.org/10.1097/00001648-199203000-00013; Pearl 2001,
https://arxiv.org/abs/1301.2300; on networks Vig and others 2020, https://arxiv.org/abs/2004.12265. In a network nothing
is confounded: all that is set is set by hand. Only a mixed state, such as Y(after, M(before)), may be one that no image
brings about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import hooks
from seewhy.types import Batch

#: What is read from an output for a batch: "batch numbers", the first of them the one that gradients are taken of.
Read = Callable[[Any, Batch], Tensor]
#: How many images the head of the network is run on at once.
AT_ONCE = 512
#: Layers that put out no more than what another did.
PASSIVE = (
    nn.Identity,
    nn.Flatten,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A run of the network on a batch: what was read from its output, and what it takes to run only what lies behind
    each of some layers."""

    batch: Batch
    trunks: dict[str, hooks.Trunk]
    numbers: Float[Tensor, "batch numbers"]

    def activation(self, layer: str) -> Tensor:
        """What the layer put out."""
        return hooks.first_tensor(self.trunks[layer].outputs[layer], layer)


def recorded(network: nn.Module, batch: Batch, layers: Sequence[hooks.Layer], read: Read) -> Recorded:
    """One whole pass, whatever the number of layers. The network is to be frozen."""
    with torch.no_grad(), ExitStack() as stack:
        trunks = {layer.name: stack.enter_context(hooks.recording(network, layer.name)) for layer in layers}
        output = network(**hooks.placed(network, batch))
    return Recorded(batch, trunks, read(output, batch))


def exchanged(
    network: nn.Module,
    kept: Recorded,
    other: Recorded,
    layer: hooks.Layer,
    mediators: Sequence[Sequence[int] | None],
    read: Read,
) -> Float[Tensor, "mediators batch numbers"]:
    """What the network says of one run's images where these channels of a layer, None for all, are as in the other run.

    Costs the part of a pass that lies behind the layer, once a mediator.
    """
    rows, axis = len(kept.batch), _axis(layer)
    theirs = other.activation(layer.name)
    size = max(1, AT_ONCE // rows)
    found = []
    for start in range(0, len(mediators), size):
        some = mediators[start : start + size]

        def change(activation: Tensor, some: Sequence[Sequence[int] | None] = some) -> Tensor:
            mixed = activation.clone()
            for copy, channels in enumerate(some):
                here = mixed[copy * rows : (copy + 1) * rows].movedim(axis, 1)
                place = slice(None) if channels is None else list(channels)
                here[:, place] = theirs.movedim(axis, 1)[:, place]
            return mixed

        repeated = kept.batch.rows([*range(rows)] * len(some))
        with torch.no_grad(), hooks.replaying(network, kept.trunks[layer.name], change, copies=len(some)):
            output = network(**repeated.inputs)
        found.append(read(output, repeated).unflatten(0, (len(some), rows)))
    return torch.cat(found)


@dataclass(frozen=True, eq=False)
class Mediated:
    """The four corners: `before` and `after`, and by mediator `held` = Y(after, M(before)) and `carried` = Y(before,
    M(after))."""

    before: Float[Tensor, "batch numbers"]
    after: Float[Tensor, "batch numbers"]
    held: Float[Tensor, "mediators batch numbers"]
    carried: Float[Tensor, "mediators batch numbers"]

    @property
    def total(self) -> Float[Tensor, "batch numbers"]:
        """The whole effect of the change."""
        return self.after - self.before

    @property
    def direct(self) -> Float[Tensor, "mediators batch numbers"]:
        """What of it comes past the mediator."""
        return self.held - self.before

    @property
    def pure_indirect(self) -> Float[Tensor, "mediators batch numbers"]:
        """What the mediator does alone."""
        return self.carried - self.before

    @property
    def total_indirect(self) -> Float[Tensor, "mediators batch numbers"]:
        """What is lost where the mediator is held."""
        return self.after - self.held

    @property
    def interaction(self) -> Float[Tensor, "mediators batch numbers"]:
        """What the mediator does only together with the rest."""
        return self.total_indirect - self.pure_indirect


def mediated(
    network: nn.Module,
    before: Recorded,
    after: Recorded,
    layer: hooks.Layer,
    mediators: Sequence[Sequence[int] | None],
    read: Read,
) -> Mediated:
    """Costs the part of the network behind the layer, twice a mediator."""
    held = exchanged(network, after, before, layer, mediators, read)
    carried = exchanged(network, before, after, layer, mediators, read)
    return Mediated(before.numbers, after.numbers, held, carried)


def attributed(
    network: nn.Module, before: Recorded, after: Recorded, layer: hooks.Layer, read: Read
) -> Float[Tensor, "batch channels"]:
    """A first guess of what each channel carries, from two backward passes through the head instead of two passes a
    channel:

        (M(after) - M(before)) x (dY/dM at before + dY/dM at after) / 2,        summed over the places of the channel

    the trapezoid rule on a straight way from one to the other. Exact where the head is linear; good enough to choose
    which channels are worth exchanging. 0 where nothing differentiable leads from the layer to the answer.
    """
    slopes = [_slope(network, each, layer, read) for each in (before, after)]
    guess = (after.activation(layer.name) - before.activation(layer.name)) * (slopes[0] + slopes[1]) / 2
    return guess.movedim(_axis(layer), 1).flatten(2).sum(2) if guess.ndim > 2 else guess


def _slope(network: nn.Module, kept: Recorded, layer: hooks.Layer, read: Read) -> Tensor:
    leaf = kept.activation(layer.name).detach().clone().requires_grad_()
    with torch.enable_grad(), hooks.replaying(network, kept.trunks[layer.name], lambda _: leaf.clone(), copies=1):
        number = read(network(**hooks.placed(network, kept.batch)), kept.batch)[:, 0].nansum()
        (slope,) = torch.autograd.grad(number, leaf, allow_unused=True) if number.requires_grad else (None,)
    return torch.zeros_like(leaf) if slope is None else slope


def channels(layer: hooks.Layer) -> int:
    """How many channels, or single units, a layer has."""
    return layer.shape[_axis(layer)]


def _axis(layer: hooks.Layer) -> int:
    """Channels stand second in maps and in plain rows of units, last in tokens and in maps that say so."""
    if layer.grid is not None and layer.grid.layout != "channels first":
        return len(layer.shape) - 1
    return 1 if len(layer.shape) in (2, 4) else len(layer.shape) - 1


# ------------------------------------------------------------------------------------------------ which layers


def last_layer(network: nn.Module, inputs: Batch) -> hooks.Layer:
    """The last layer before the linear one that answers: its channels are what the answer is made from.

    Costs one pass. Raises ValueError for a network that has none.
    """
    traced = hooks.layers(network, inputs)
    heads = [layer.order for layer in traced if isinstance(network.get_submodule(layer.name), nn.Linear)]
    if not heads:
        raise ValueError("No layer of this network is linear, so which one stands before its answer is to be named")
    before = [layer for layer in traced if layer.order < heads[-1] and _may_mediate(network, layer)]
    if not before:
        raise ValueError("There is no layer before the linear one that answers; name another")
    return before[-1]


def named_layer(network: nn.Module, inputs: Batch, name: str) -> hooks.Layer:
    """The layer of that name. Raises KeyError where there is none, ValueError for one that runs never or twice."""
    name = hooks.resolve(network, name)
    for layer in hooks.layers(network, inputs):
        if layer.name == name:
            if layer.uses > 1:
                raise ValueError(f"The layer {name!r} is used {layer.uses} times in a run; name one that is used once")
            return layer
    raise ValueError(f"The layer {name!r} did not run for these inputs")


def ways(network: nn.Module, inputs: Batch, most: int = 12) -> tuple[hooks.Layer, ...]:
    """The layers at which ways through the network meet: what a residual block adds and what it passes on, the branches
    that are laid side by side. At most so many, evenly chosen from all; none in a network that is a mere chain.

    Costs two passes of the first example. In a chain every layer is the only way, so all of any effect goes through it.
    """
    traced = {layer.name: layer for layer in hooks.layers(network, inputs) if _may_mediate(network, layer)}
    found: dict[str, hooks.Layer] = {}

    def meet(call: hooks.Call) -> Tensor:
        parts = call.input if isinstance(call.input, (list, tuple)) else (call.input, *call.arguments.values())
        here: set[str] = set()
        for part in parts:
            if isinstance(part, Tensor) and part.ndim > 1:  # the layer that put out just this, the latest first
                latest = (name for name in reversed(seen) if name not in here and seen[name].shape == part.shape)
                here.update([name for name in latest if torch.equal(seen[name], part)][:1])
        found.update((name, traced[name]) for name in here)
        return call()

    first = hooks.placed(network, inputs.rows([0]))
    meeting = hooks.rewriting({"add": meet, "concatenate": meet})
    with hooks.frozen(network), torch.no_grad(), hooks.read(network, traced) as seen, meeting:
        network(**first)
    ordered = sorted(found.values(), key=lambda layer: layer.order)
    if len(ordered) > most:
        ordered = [ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most)]
    return tuple(ordered)


def _may_mediate(network: nn.Module, layer: hooks.Layer) -> bool:
    module = network.get_submodule(layer.name)
    return layer.uses == 1 and len(layer.shape) > 1 and not isinstance(module, PASSIVE)
