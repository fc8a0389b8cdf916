"""What the biases add, and that nothing of the score is left out."""

from __future__ import annotations

import torch
from torch import nn

from seewhy import passes
from seewhy.passes.biases import BiasGradients
from seewhy.types import Batch, Question


def test_the_score_of_a_network_of_relus_is_the_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, bias=False),
        nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2, bias=False),
    )  # fmt: skip
    for norm in (network[1], network[4]):
        norm.running_mean.uniform_(-1, 1), norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(network[1].weight), nn.init.uniform_(network[1].bias)
    batch = Batch(ids=("a", "b"), inputs={"input": torch.rand(2, 3, 8, 8)})
    evidence = passes.gather(network, batch, Question("one", lambda output: output[:, 1]), [BiasGradients("input")])
    found = evidence[BiasGradients("input")]
    parts = [found.input * found.gradient, *found.biases]
    assert len(found.biases) == 3
    assert torch.allclose(sum(part.flatten(1).sum(1) for part in parts), evidence.baseline, atol=1e-5)
