"""All gradients of a layer cost hardly more than one forward pass, by count of floating-point operations."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seewhy import passes, shelf
from seewhy.passes.gradients import _TRIED, InputGradients, LayerGradients
from seewhy.types import Batch, Question

QUESTION = Question("one", lambda output: output[:, 1])
#: Every map that needs no more than a layer's activation and gradient.
FAMILY = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "x_grad_cam", "layer_cam", "eigen_cam")


def operations(work: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def methods(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: (shelf.load("explainers", name), {}) for name in names}


#: Those with a head of one linear layer: the backward pass through more, as in VGG, is no longer small at 128 pixels.
TRUNKS = "resnet18 densenet121 mobilenet_v2".split()
MORE = "efficientnet_b0 convnext_tiny regnet_y_400mf squeezenet1_1 mnasnet0_5 shufflenet_v2_x0_5".split()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        *((name, 1) for name in TRUNKS),
        ("resnet18", 2),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in MORE),
    ],
)
def test_grad_cam_costs_one_forward_pass_without_being_told_a_layer(name: str, rows: int) -> None:
    network = torchvision.models.get_model(name, num_classes=3).eval()
    batch = Batch(ids=("a",) * rows, inputs={"x": torch.rand(rows, 3, 128, 128)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    for _ in ("the layer is searched for", "it is known from the last time"):
        assert operations(lambda: passes.explain(network, batch, QUESTION, methods(("grad_cam",)))) <= 1.05 * forward


def test_all_maps_of_a_layer_cost_what_one_costs() -> None:
    network = torchvision.models.resnet18(num_classes=3)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 128, 128)})
    one = operations(lambda: passes.explain(network, batch, QUESTION, methods(("grad_cam",))))
    assert operations(lambda: passes.explain(network, batch, QUESTION, methods(FAMILY))) <= 1.1 * one


class Switched(nn.Module):
    """Reads the second of two layers or, if it is told so, the first, and counts its runs and those with a graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head, self.early = nn.Linear(4, 3), False
        self.graph_in_the_trunk: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        self.graph_in_the_trunk.append(first.requires_grad)
        second = self.second(first)
        return self.head((first if self.early else second).mean((2, 3)))


def chosen(network: nn.Module, side: int = 8) -> str:
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, side, side)})
    found = passes.gather(network, batch, QUESTION, [LayerGradients()])[LayerGradients()]
    assert found.gradient.any()
    return found.layer.name


def test_the_second_time_the_graph_begins_where_the_layer_was_found() -> None:
    network = Switched()
    assert [chosen(network), chosen(network), chosen(network, side=12), chosen(network)] == ["second"] * 4
    assert network.graph_in_the_trunk == [True, False, True, False]  # other images are searched anew


def test_a_network_that_changed_since_is_searched_anew() -> None:
    network = Switched()
    assert [chosen(network), chosen(network)] == ["second", "second"]
    network.early = True  # same modules, same shapes, all of which run
    assert [chosen(network), chosen(network)] == ["first", "first"]
    network.early = False
    assert [chosen(network), chosen(network)] == ["second", "second"]


def test_a_layer_that_was_exchanged_or_taken_away_since_is_not_looked_for() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    network.append(nn.Flatten()).append(nn.Linear(4, 3))
    named = Named(network)
    assert [chosen(named), chosen(named)] == ["body.1", "body.1"]
    network[1] = nn.Identity()
    assert [chosen(named), chosen(named)] == ["body.0", "body.0"]
    network[1] = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1))
    assert [chosen(named), chosen(named)] == ["body.1", "body.1"]
    del network[1]
    assert chosen(named) == "body.0"


def test_what_is_remembered_of_a_network_goes_with_it() -> None:
    network = Switched()
    chosen(network)
    assert network in _TRIED
    before = len(_TRIED)
    del network
    gc.collect()
    assert len(_TRIED) < before


def test_a_remembered_layer_and_a_gradient_at_the_input_come_from_one_pass_back() -> None:
    network = Switched()
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 8, 8)})
    needs = [InputGradients("x"), LayerGradients()]
    searched, known = (passes.gather(network, batch, QUESTION, needs) for _ in range(2))
    assert (known.forwards, known.backwards) == (1, 1)
    for need in needs:
        assert torch.equal(searched[need].gradient, known[need].gradient)


class Named(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_the_layer_that_a_class_token_reads_is_found_without_a_pass_more() -> None:
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=12, num_classes=3)
    nn.init.normal_(network.head.weight)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 64, 64)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    costs = []
    for _ in range(2):
        costs.append(operations(lambda: passes.gather(network, batch, QUESTION, [LayerGradients()])) / forward)
        evidence = passes.gather(network, batch, QUESTION, [LayerGradients()])
        assert evidence[LayerGradients()].layer.name == "blocks.11.norm1"
    assert costs[0] <= 1.4
    assert costs[1] <= 1.1  # the tail, from the layer that was chosen before


def test_a_gradient_at_the_input_costs_two_forward_passes_with_the_weights_frozen() -> None:
    network = torchvision.models.resnet18(num_classes=3)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 64, 64)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    assert operations(lambda: passes.gather(network, batch, QUESTION, [InputGradients("x")])) <= 2.01 * forward
