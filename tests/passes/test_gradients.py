"""All gradients of a layer cost hardly more than one forward pass, by count of floating-point operations."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seewhy import passes, shelf
from seewhy.passes.gradients import InputGradients, LayerGradients
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


@pytest.mark.parametrize(
    "build", [torchvision.models.resnet18, torchvision.models.densenet121], ids=["resnet", "dense"]
)
@pytest.mark.parametrize("rows", [1, 2])
def test_grad_cam_costs_one_forward_pass_without_being_told_a_layer(build: Any, rows: int) -> None:
    network = build(num_classes=3).eval()
    batch = Batch(ids=("a",) * rows, inputs={"x": torch.rand(rows, 3, 128, 128)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    assert operations(lambda: passes.explain(network, batch, QUESTION, methods(("grad_cam",)))) <= 1.05 * forward


def test_all_maps_of_a_layer_cost_what_one_costs() -> None:
    network = torchvision.models.resnet18(num_classes=3)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 128, 128)})
    one = operations(lambda: passes.explain(network, batch, QUESTION, methods(("grad_cam",))))
    assert operations(lambda: passes.explain(network, batch, QUESTION, methods(FAMILY))) <= 1.1 * one


def test_the_layer_that_a_class_token_reads_is_found_without_a_pass_more() -> None:
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=12, num_classes=3)
    nn.init.normal_(network.head.weight)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 64, 64)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    evidence = passes.gather(network, batch, QUESTION, [LayerGradients()])
    assert evidence[LayerGradients()].layer.name == "blocks.11.norm1"
    assert operations(lambda: passes.gather(network, batch, QUESTION, [LayerGradients()])) <= 1.4 * forward


def test_a_gradient_at_the_input_costs_two_forward_passes_with_the_weights_frozen() -> None:
    network = torchvision.models.resnet18(num_classes=3)
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, 64, 64)})
    with torch.no_grad():
        forward = operations(lambda: network(**batch.inputs))
    assert operations(lambda: passes.gather(network, batch, QUESTION, [InputGradients("x")])) <= 2.01 * forward
