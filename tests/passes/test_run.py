"""Layers are followed once for inputs of one shape; what an earlier run told is never taken for what this one did."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy import hooks, passes
from seewhy.passes.gradients import LayerGradients
from seewhy.passes.noise import NoisyGradients
from seewhy.types import Batch, Question

ONE = Question("one", lambda output: output[:, 1])


class Strided(nn.Module):
    """Its first layer is told how far apart its places lie, and its second may be left out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head, self.apart, self.deep = nn.Linear(4, 3), 1, True
        self.runs: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append(len(x))
        x = self.first(x[:, :, :: self.apart, :: self.apart])
        return self.head((self.second(x) if self.deep else x).mean((2, 3)))


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each run whose layers are followed."""
    seen: list[int] = []

    def tracing(network: nn.Module, inputs: Any) -> Any:
        seen.append(len(inputs["x"]))
        return traced(network, inputs)

    traced = hooks.tracing
    monkeypatch.setattr(hooks, "tracing", tracing)
    return seen


def batch(rows: int = 1, side: int = 8) -> Batch:
    image = torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(1))
    return Batch(ids=tuple(map(str, range(rows))), inputs={"x": image})


def at(network: nn.Module, layer: str, given: Batch | None = None) -> Any:
    return passes.gather(network, given or batch(), ONE, [LayerGradients(layer)])[LayerGradients(layer)]


def test_layers_are_followed_once_for_inputs_of_a_shape(followed: list[int]) -> None:
    network = Strided()
    first, again = at(network, "first"), at(network, "first")
    assert torch.equal(first.gradient, again.gradient)
    assert first.layer == again.layer
    at(network, "second"), at(network, "second", batch(2)), at(network, "second", batch(2))
    assert followed == [1, 2]
    assert network.runs == [1, 1, 1, 2, 2]


def test_another_module_in_a_networks_place_is_followed_anew(followed: list[int]) -> None:
    network = Strided()
    before = at(network, "first").layer.done
    network.second = nn.Conv2d(4, 4, 1)
    assert at(network, "first").layer.done > before  # a smaller share lies behind it
    assert followed == [1, 1]


def test_a_layer_that_puts_out_another_shape_this_time_is_followed_in_a_run_more(followed: list[int]) -> None:
    network = Strided()
    at(network, "first")
    network.apart = 2
    found = at(network, "first")
    assert found.layer.shape == found.activation.shape == (1, 4, 4, 4)
    assert (followed, network.runs) == ([1, 1], [1, 1, 1])


def test_a_layer_that_did_not_run_this_time_is_told_whatever_it_did_before() -> None:
    network = Strided()
    at(network, "second")
    network.deep = False
    with pytest.raises(ValueError, match="The layer 'second' did not run for these inputs"):
        at(network, "second")
    network.deep = True
    assert at(network, "second").gradient.any()


def test_samples_take_no_run_beside_their_own_once_the_memory_they_take_is_known() -> None:
    network = Strided()
    need = NoisyGradients("x", samples=6)
    spent = [passes.gather(network, batch(), ONE, [need]).spent.forwards for _ in range(2)]
    assert spent == [7, 6]
    assert network.runs == [1, 6, 6]
