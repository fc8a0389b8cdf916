"""Channels are taken out, or looked through, one by one: the same scores as slowly, at the cost of the head."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks, passes
from seewhy.passes.channels import ChannelAblations, ChannelMasks
from seewhy.types import Batch, Question

QUESTION = Question("its own", lambda output: output[torch.arange(2), torch.tensor([1, 2])])
IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Shared(nn.Module):
    """One ReLU used before and behind the layer, in place, and a skip around it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.last = (nn.Conv2d(i, 6, 3, padding=1) for i in (3, 6, 6))
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        x = x + self.layer(x)
        return self.head((x + self.act(self.last(x))).mean((2, 3)))


NETWORKS: dict[str, tuple[Any, str]] = {
    "shared": (Shared, "layer"),
    "resnet": (lambda: torchvision.models.resnet18(num_classes=3), "layer3.1.bn2"),
    "dense": (lambda: torchvision.models.densenet.DenseNet(4, (2, 2), 8, num_classes=3), "features.denseblock1"),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=3), "blocks.1.norm1"),
    "swin": (
        lambda: timm.create_model(
            "swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1), num_classes=3, window_size=4
        ),
        "layers.0",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_taking_a_channel_out_by_replaying_gives_what_running_everything_gives(name: str) -> None:
    torch.manual_seed(0)
    build, layer = NETWORKS[name]
    network = build()
    batch, need = Batch(ids=("a", "b"), inputs={"x": IMAGE}), ChannelAblations(layer)
    evidence = passes.gather(network, batch, QUESTION, [need], chunk=14)
    found = evidence[need]
    for channel in (0, found.activation.shape[1] - 1):

        def without(activation: Tensor, channel: int = channel) -> Tensor:
            axis = 1 if found.layer.grid.layout == "channels first" else -1
            return activation.index_fill(axis, torch.tensor([channel]), 0.0)

        with hooks.frozen(network), torch.no_grad(), hooks.change(network, {layer: without}):
            slow = QUESTION.score(network(IMAGE))
        assert torch.allclose(found.scores[channel], slow, atol=1e-4), name
    assert len(found.scores) == found.activation.shape[1]
    assert evidence.forwards < 2 + len(found.scores) * (1 - found.layer.done) + 1e-6


def test_a_channel_to_look_through_is_scaled_and_enlarged() -> None:
    torch.manual_seed(0)
    network, need = Shared(), ChannelMasks("layer", "x")
    found = passes.gather(network, Batch(ids=("a", "b"), inputs={"x": IMAGE}), QUESTION, [need])[need]
    channel = found.activation[:, 3:4]
    low, high = (channel.flatten(1).quantile(q, 1)[:, None, None, None] for q in (0.0, 1.0))
    window = functional.interpolate((channel - low) / (high - low), size=(64, 64), mode="bilinear")
    with hooks.frozen(network), torch.no_grad():
        assert torch.allclose(found.scores[3], QUESTION.score(network(IMAGE * window)), atol=1e-5)
