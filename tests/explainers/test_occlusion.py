"""Occlusion beside captum and beside a closed form, with every filling."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from captum.attr import Occlusion
from torch import Tensor, nn

from seewhy import passes
from seewhy.explainers import occlusion
from seewhy.types import Batch, Question

NETWORKS = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=5),
    "vit": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5),
}
EACH_ITS_OWN = Question("each its own", lambda output: output.gather(1, torch.tensor([[3], [1]]))[:, 0])


def heat(network: nn.Module, image: Tensor, question: Question, **settings: object) -> Tensor:
    batch = Batch(ids=("",) * len(image), inputs={"x": image})
    return passes.explain(network, batch, question, {"it": (occlusion, {"into": "x", **settings})}).heat["it"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("patch", "stride"), [(8, 8), (9, 6)], ids=["tiled", "over the edge"])
def test_occlusion_equals_captums(name: str, patch: int, stride: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    image = torch.rand(2, 3, 32, 32)
    ours = heat(network, image, EACH_ITS_OWN, patch=patch, stride=stride, fill="black")
    windows, strides, classes = (3, patch, patch), (3, stride, stride), torch.tensor([3, 1])
    theirs = Occlusion(network).attribute(
        image, windows, strides, baselines=0, target=classes, perturbations_per_eval=16
    )
    size = max(1, network(image).abs().max().item())  # a drop is a difference of scores of this size
    assert (ours - theirs[:, 0]).abs().max() <= 1e-5 * size


@pytest.mark.parametrize("name", NETWORKS)
def test_occlusion_equals_its_definition_square_by_square_in_64_bits(name: str) -> None:
    """A slow twin: captum sums occlusion up in 32 bits, whatever the network's."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().double()
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    ours = heat(network, image, EACH_ITS_OWN, patch=12, stride=9, fill="black")
    total, times = torch.zeros(2, 32, 32, dtype=torch.float64), torch.zeros(32, 32)
    with torch.no_grad():
        for top in (0, 9, 18, 27):
            for left in (0, 9, 18, 27):
                covered = image.clone()
                covered[:, :, top : top + 12, left : left + 12] = 0
                drop = EACH_ITS_OWN.score(network(image)) - EACH_ITS_OWN.score(network(covered))
                total[:, top : top + 12, left : left + 12] += drop[:, None, None]
                times[top : top + 12, left : left + 12] += 1
    assert (ours - total / times).abs().max() <= 1e-10


def test_occlusion_with_the_mean_colour_equals_captums_with_that_baseline() -> None:
    torch.manual_seed(0)
    network = NETWORKS["resnet18"]().eval()
    image = torch.rand(2, 3, 32, 32)
    mean = image.mean((2, 3), keepdim=True).expand_as(image)
    ours = heat(network, image, Question("2", lambda output: output[:, 2]), patch=8, stride=8)
    theirs = Occlusion(network).attribute(
        image, (3, 8, 8), (3, 8, 8), baselines=mean, target=2, perturbations_per_eval=16
    )
    assert (ours - theirs[:, 0]).abs().max() <= 1e-5


class Linear(nn.Module):
    """Sums the image by fixed weights."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).sum((1, 2, 3))


@pytest.mark.parametrize("fill", ["black", "mean"])
def test_a_single_covered_pixel_of_a_linear_network_is_worth_weight_times_change(fill: str) -> None:
    network, image = Linear(4, 6), torch.rand(2, 3, 4, 6)
    filling = torch.zeros(2, 3, 1, 1) if fill == "black" else image.mean((2, 3), keepdim=True)
    found = heat(network, image, Question("the sum", lambda output: output), patch=1, stride=1, fill=fill)
    assert torch.allclose(found, (network.weight * (image - filling)).sum(1).detach(), atol=1e-5)


def test_an_image_without_detail_loses_nothing_by_blur_and_an_edge_does() -> None:
    network, question = Linear(16, 16), Question("the sum", lambda output: output)
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert heat(network, flat, question, fill="blur").abs().max() < 1e-4
    edge = torch.cat([torch.zeros(1, 3, 16, 8), torch.ones(1, 3, 16, 8)], 3)
    lost = heat(network, edge, question, patch=4, stride=4, fill="blur").abs()[0]
    assert lost[:, 4:12].mean() > 5 * lost[:, :4].mean()


@pytest.mark.parametrize(("size", "squares"), [(8, 49), (28, 81), (32, 100), (224, 81)])
def test_the_default_grid_is_sensible_for_small_and_large_images(size: int, squares: int) -> None:
    batch = Batch(ids=("a",), inputs={"input": torch.zeros(1, 3, size, size)})
    question = Question("the first pixel", lambda output: output[:, 0])
    forecast = passes.forecast(nn.Flatten(), batch, question, occlusion.needs(into="input"))
    assert forecast.passes.forwards == squares + 1
