"""The head alone gives what the whole network gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seewhy import hooks


class Tower(nn.Module):
    """Blocks with skips between them, and one ReLU for all."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + self.act(block(x))
        return x


def test_a_replayed_trunk_gives_the_output_of_the_whole_and_does_not_run() -> None:
    network, x = Tower(), torch.rand(2, 4)
    ran: list[str] = []
    with torch.no_grad():
        with hooks.recording(network, "blocks.1") as trunk:
            whole = network(x)
        for place, block in enumerate(network.blocks):
            forward = block.forward
            block.forward = lambda x, place=place, forward=forward: (ran.append(str(place)), forward(x))[1]
        with hooks.replaying(network, trunk, lambda activation: activation, copies=3):
            again = network(x.repeat(3, 1))
    assert list(trunk.outputs) == ["blocks.0", "blocks.1"]  # the ReLU runs more than once
    assert ran == ["2"]
    assert torch.allclose(again, whole.repeat(3, 1))
    assert all(block.forward.__name__ == "<lambda>" for block in network.blocks)  # what was there is there again


def test_what_is_changed_at_the_layer_reaches_the_output() -> None:
    network, x = Tower(), torch.rand(2, 4)
    with torch.no_grad():
        with hooks.recording(network, "blocks.2") as trunk:
            network(x)
        with hooks.change(network, {"blocks.2": torch.ones_like}):
            slow = network(x)
        with hooks.replaying(network, trunk, torch.ones_like, copies=1):
            assert torch.allclose(network(x), slow)


def test_a_network_is_what_it_was_after_replaying_also_when_it_fails() -> None:
    network, x = Tower(), torch.rand(2, 4)
    with hooks.recording(network, "blocks.1") as trunk:
        network(x)

    def spoiled() -> None:
        with hooks.replaying(network, trunk, lambda activation: 1 / 0, copies=1):
            network(x)

    with pytest.raises(ZeroDivisionError):
        spoiled()
    assert all("forward" not in vars(module) for module in network.modules())
    assert all(not module._forward_hooks for module in network.modules())
