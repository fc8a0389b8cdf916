"""Grad-CAM beside captum, beside CAM where the two are one, and on tokens."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import Tensor, nn

from seewhy import hooks, passes
from seewhy.explainers import grad_cam
from seewhy.types import Batch, Question

NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=5), ["layer3", "layer2.0.conv1", "layer1.1.relu"]),
    "squeezenet": (lambda: torchvision.models.squeezenet1_1(num_classes=5), ["features.7", "features.3.squeeze"]),
    "densenet": (lambda: torchvision.models.densenet.DenseNet(8, (2, 2), 16, num_classes=5), ["features.norm5"]),
}
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
QUESTION = Question("class 3", lambda output: output[:, 3])


def heat(network: nn.Module, image: Tensor, **settings: object) -> Tensor:
    """At the size of the layer."""
    batch = Batch(ids=("",) * len(image), inputs={"x": image})
    evidence = passes.gather(network, batch, QUESTION, passes.needs_of(grad_cam, settings))
    return grad_cam.heat(evidence, QUESTION, **settings)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["32", "64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_equals_captums(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    build, layers = NETWORKS[name]
    network = build().eval().to(dtype)
    image = torch.rand(2, 3, 32, 32, dtype=dtype)
    for layer in layers:
        theirs = LayerGradCam(lambda x: network(x.clone()), network.get_submodule(layer)).attribute(image, target=3)
        ours = heat(network, image, layer=layer, relu=False)
        assert (ours - theirs[:, 0]).abs().max() <= TOLERANCES[dtype] * theirs.abs().max()
        assert torch.equal(heat(network, image, layer=layer), ours.relu())


class Averaged(nn.Module):
    """Convolution, mean over places, one linear layer: the network CAM was made for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.convolution(x).mean((2, 3)))


def test_grad_cam_is_cam_where_a_linear_layer_reads_the_mean_over_places() -> None:
    network, image = Averaged(), torch.rand(2, 3, 8, 8)
    weights = network.head.weight[3] / 64  # Grad-CAM's is CAM's over the number of places
    cam = torch.einsum("c,bchw->bhw", weights, network.convolution(image)).detach()
    assert torch.allclose(heat(network, image, relu=False), cam, atol=1e-7)


def test_grad_cam_on_tokens_equals_the_sum_written_out_token_by_token() -> None:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=(48, 80), depth=2, num_classes=5).eval().double()
    image = torch.rand(2, 3, 48, 80, dtype=torch.float64)
    ours = heat(vit, image, relu=False)
    assert ours.shape == (2, 3, 5)
    with hooks.frozen(vit), hooks.read(vit, ["blocks.1.norm1"]) as seen:
        vit(image.requires_grad_())
    kept = seen["blocks.1.norm1"].detach().requires_grad_()
    with hooks.change(vit, {"blocks.1.norm1": lambda _: kept}):
        (gradient,) = torch.autograd.grad(vit(image)[:, 3].sum(), kept)
    for example in range(2):
        weights = gradient[example, 1:].mean(0)  # the class token stands for no place
        for token in range(15):
            expected = weights @ kept[example, 1 + token]
            assert abs(ours[example, token // 5, token % 5] - expected) <= 1e-10 * ours.abs().max()


def test_a_relu_in_place_behind_the_layer_changes_nothing() -> None:
    def built(inplace: bool) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace), nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(1))
        return Wrapped(nn.Sequential(*network, nn.Flatten()))

    image = torch.rand(2, 3, 8, 8)
    safe, careless = (heat(built(inplace), image, layer="body.0", relu=False) for inplace in (False, True))
    assert torch.equal(safe, careless)


def test_a_layer_used_twice_is_explained_at_its_last_use() -> None:
    class Reused(Averaged):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.convolution(self.relu(self.first(x)))).mean((2, 3)))

    network, image = Reused(), torch.rand(2, 3, 8, 8)
    with torch.no_grad(), hooks.read(network, ["relu"]) as seen:
        network(image)
    cam = torch.einsum("c,bchw->bhw", network.head.weight[3].detach() / 64, seen["relu"])
    assert torch.allclose(heat(network, image, layer="relu", relu=False), cam, atol=1e-7)


class Wrapped(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
