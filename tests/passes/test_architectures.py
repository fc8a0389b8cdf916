"""One line, no layer, no reshape: a sample of families; `benchmarks/architectures.py` asks all of them."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from seewhy import passes
from seewhy.explainers import grad_cam, gradient
from seewhy.passes.gradients import LayerGradients
from seewhy.types import Batch, Question

#: By name: the side of the image, the sites a side of the layer that is found, and how it lies.
FAMILIES = {
    "resnet10t": (128, 4, "channels first"),
    "regnety_002": (128, 4, "channels first"),
    "efficientnet_lite0": (128, 4, "channels first"),
    "ghostnet_100": (128, 4, "channels first"),
    "convnext_atto": (128, 4, "channels first"),
    "mobilevit_xxs": (128, 4, "channels first"),
    "poolformer_s12": (128, 4, "channels first"),
    "mixer_s32_224": (224, 7, "tokens"),
    "deit_tiny_distilled_patch16_224": (224, 14, "tokens"),
    "swin_tiny_patch4_window7_224": (224, 7, "channels last"),
    "levit_128s": (224, 4, "tokens"),
    "mambaout_femto": (128, 4, "channels last"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_one_line_explains_an_answer_of(name: str) -> None:
    torch.manual_seed(0)
    side, sites, layout = FAMILIES[name]
    network = timm.create_model(name, num_classes=3)
    heads = network.get_classifier()
    for head in heads if isinstance(heads, tuple) else (heads,):
        for layer in (module for module in head.modules() if isinstance(module, nn.Linear)):
            nn.init.normal_(layer.weight)  # some begin at 0
    batch = Batch(ids=("a",), inputs={"x": torch.rand(1, 3, side, side)})
    methods = {"gradient": (gradient, {"into": "x"}), "grad_cam": (grad_cam, {"relu": False})}
    found = passes.explain(network, batch, Question("one", lambda output: output[:, 1]), methods)
    grid = found.evidence[LayerGradients()].layer.grid
    assert (grid.height, grid.width, grid.layout) == (sites, sites, layout)
    for heat in found.heat.values():
        assert heat.isfinite().all()
        assert heat.any()
