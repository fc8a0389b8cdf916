"""What each channel of a layer is worth: the score without it, or with only what it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy import hooks
from seewhy.passes.budget import Passes
from seewhy.passes.gradients import layer_of
from seewhy.passes.run import Need, Run


@dataclass(frozen=True, slots=True)
class ChannelAblations(Need):
    """The score with one channel of a layer set to 0, for each; gives ChannelScores. The trunk is run once more."""

    layer: str | None = None

    def passes(self, run: Run) -> Passes:
        """The part of the network behind the layer once a channel."""
        layer = layer_of(run, self.layer).layer
        return Passes(1 + _channels(layer) * (1 - layer.done), 2)

    def gather(self, run: Run) -> Iterator[ChannelScores]:
        """Head passes from cached activations."""
        at_layer = layer_of(run, self.layer)
        layer, channels = at_layer.layer, at_layer.activation.shape[1]
        with hooks.recording(run.network, layer.name) as trunk:
            run.scores(run.repeated(1, {}))
        scores: list[Tensor] = []
        for some in run.chunks(channels, cost=1 - layer.done):
            out = torch.arange(channels)[some]
            change = _without(layer, out, run.rows)
            with hooks.replaying(run.network, trunk, change, copies=len(out)):
                scores.append(run.scores(run.repeated(len(out), {}), len(out), share=1 - layer.done))
            yield ChannelScores(layer, at_layer.activation, torch.cat(scores), run.baseline())


@dataclass(frozen=True, slots=True)
class ChannelMasks(Need):
    """The score of the image seen through each channel of a layer alone; gives ChannelScores.

    The channel is scaled to 0 to 1, enlarged to the image, and multiplied with it: where it is 0 the image is black.
    """

    layer: str | None = None
    into: str = "image"

    def passes(self, run: Run) -> Passes:
        """One forward pass a channel."""
        return Passes(_channels(layer_of(run, self.layer).layer), 2)

    def gather(self, run: Run) -> Iterator[ChannelScores]:
        """In as few calls of the network as memory allows."""
        at_layer, image = layer_of(run, self.layer), run.image(self.into)
        scores: list[Tensor] = []
        for some in run.chunks(at_layer.activation.shape[1]):
            masks = _windows(at_layer.activation[:, some], image.shape[2:]).transpose(0, 1)[:, :, None]
            seen = (masks * image).flatten(0, 1)  # channels of the layer x batch, channels, height, width
            scores.append(run.scores(run.repeated(len(masks), {self.into: seen}), len(masks)))
            yield ChannelScores(at_layer.layer, at_layer.activation, torch.cat(scores), run.baseline())


@dataclass(frozen=True, eq=False)
class ChannelScores:
    """A layer, what it put out, and the score by channel, for the first so many of them."""

    layer: hooks.Layer
    activation: Float[Tensor, "batch channels height width"]
    scores: Float[Tensor, "tried batch"]
    baseline: Float[Tensor, " batch"]


def _channels(layer: hooks.Layer) -> int:
    return layer.shape[1] if layer.grid is not None and layer.grid.layout == "channels first" else layer.shape[-1]


def _without(layer: hooks.Layer, channels: Tensor, rows: int):
    """A change that takes one of these channels from each copy of the batch."""
    first = layer.grid is not None and layer.grid.layout == "channels first"

    def change(activation: Tensor) -> Tensor:
        kept = activation.clone()
        copies = kept.unflatten(0, (len(channels), rows))
        copies = copies.movedim(2 if first else -1, 1)  # copies, channels, batch, ...
        copies[torch.arange(len(channels)), channels] = 0
        return kept

    return change


def _windows(
    activation: Float[Tensor, "batch channels _ _"], size: torch.Size | tuple[int, ...]
) -> Float[Tensor, "batch channels height width"]:
    """Each channel from 0 at its least to 1 at its greatest, 0 where it is flat, at the size of the image."""
    low, high = activation.amin((2, 3), keepdim=True), activation.amax((2, 3), keepdim=True)
    scaled = torch.where(high > low, (activation - low) / (high - low).where(high > low, 1), 0)
    return functional.interpolate(scaled, size=tuple(size), mode="bilinear", align_corners=False)
