"""The gradient explainer beside captum and beside closed forms."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from captum.attr import Saliency
from torch import Tensor, nn

from seewhy import passes
from seewhy.explainers import gradient
from seewhy.types import Batch, Question

NETWORKS = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=5),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=5),
    "vit": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5),
}


def heat(network: nn.Module, image: Tensor, question: Question, into: str = "x") -> Tensor:
    batch = Batch(ids=("",) * len(image), inputs={into: image})
    return passes.explain(network, batch, question, {"it": (gradient, {"into": into})}).heat["it"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["32", "64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_equals_captums_saliency(name: str, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().to(dtype)
    image = torch.rand(2, 3, 32, 32, dtype=dtype)
    classes = torch.tensor([3, 1])
    ours = heat(network, image, Question("each its own", lambda output: output.gather(1, classes[:, None])[:, 0]))
    theirs = Saliency(network).attribute(image.requires_grad_(), target=classes).sum(1)
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_the_gradient_of_a_linear_network_is_the_size_of_its_weights() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4, 6))

        def forward(self, x: Tensor) -> Tensor:
            return (x * self.weight).sum((1, 2, 3))

    network = Linear()
    found = heat(network, torch.rand(2, 3, 4, 6), Question("the sum", lambda output: output))
    assert torch.allclose(found, network.weight.detach().abs().sum(0).expand(2, 4, 6))


def test_the_gradient_of_a_contrast_is_that_of_the_difference() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    cat, dog = (Question(name, lambda output, place=place: output[:, place]) for place, name in enumerate("cd"))
    weight = network[1].weight.detach().view(2, 3, 2, 2)
    found = heat(network, torch.rand(1, 3, 2, 2), cat - dog, into="input")
    assert torch.allclose(found[0], (weight[0] - weight[1]).abs().sum(0))
