"""The numbers of captum and torchcam, from the same networks: to 1e-5 in single precision, to 1e-10 in double."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import captum.attr
import pytest
import timm
import torch
import torchcam.methods
import torchvision
from torch import Tensor, nn

from seewhy import hooks, passes, shelf
from seewhy.types import Batch, Question

SIZE, TARGET = 64, 1
QUESTION = Question("one", lambda output: output[:, TARGET])


def plain() -> nn.Module:
    """ReLUs of their own and no maxima: what captum can take apart."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 3),
    )  # fmt: skip


def maxima() -> nn.Module:
    """Greatest values of windows that overlap and of some that do not, each right behind a ReLU."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(768, 3),
    )  # fmt: skip


def of_torchvision(name: str) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, num_classes=3)


def of_timm(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=3, **settings)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "maxima": maxima,
    "resnet18": of_torchvision("resnet18"),
    "vit": of_timm("vit_tiny_patch16_224", img_size=SIZE, depth=2),
}
MORE = {
    name: of_torchvision(name)
    for name in (
        "alexnet vgg11 vgg11_bn squeezenet1_1 densenet121 mobilenet_v2 mobilenet_v3_small efficientnet_b0 mnasnet0_5 "
        "shufflenet_v2_x0_5 regnet_y_400mf convnext_tiny resnext50_32x4d"
    ).split()
} | {
    name: of_timm(name)
    for name in "resnet10t seresnext26d_32x4d lcnet_050 ghostnet_100 efficientnet_lite0 convnext_atto edgenext_xx_small".split()
}


def built(name: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """In evaluation, its batch norms with statistics of their own, no ReLU in place (captum's hooks cannot have that)."""
    torch.manual_seed(0)
    network = {**NETWORKS, **MORE}[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, nn.Conv2d) and name in ("plain", "maxima"):
            nn.init.kaiming_normal_(module.weight)
        if getattr(module, "inplace", False):
            module.inplace = False
    return network.to(dtype), torch.rand(2, 3, SIZE, SIZE, dtype=dtype)


class Named(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def ours(network: nn.Module, image: Tensor, method: str, **settings: Any) -> Tensor:
    """The heat at the size at which the explainer gives it."""
    explainer = shelf.load("explainers", method)
    batch = Batch(ids=("a", "b"), inputs={"image": image})
    needs = passes.needs_of(explainer, settings)
    return explainer.heat(passes.gather(Named(network), batch, QUESTION, needs), QUESTION, **settings)


def agree(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    assert expected.abs().max() > 0


PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]

CAPTUM: dict[str, tuple[dict[str, Any], Callable[[nn.Module, Tensor], Tensor]]] = {
    "gradient": ({}, lambda network, image: captum.attr.Saliency(network).attribute(image, TARGET)),
    "input_x_gradient": ({}, lambda network, image: captum.attr.InputXGradient(network).attribute(image, TARGET)),
    "integrated_gradients": (
        {"steps": 10},
        lambda network, image: captum.attr.IntegratedGradients(network).attribute(image, target=TARGET, n_steps=10),
    ),
    "guided_backprop": ({}, lambda network, image: captum.attr.GuidedBackprop(network).attribute(image, TARGET).abs()),
    "deconvolution": ({}, lambda network, image: captum.attr.Deconvolution(network).attribute(image, TARGET).abs()),
    "deep_lift": ({}, lambda network, image: maxima_put_right(network, image)),
}


def maxima_put_right(network: nn.Module, image: Tensor) -> Tensor:
    """captum's DeepLIFT without two faults of its max pooling, either of which loses part of the score.

    It looks at the gradient behind a ReLU before a pooling right behind that has changed it, so that the pooling's rule
    is lost for its plain gradient: here a copy stands between them. And it lays differences where they belong by
    `max_unpool2d`, which of those that meet at one place, where windows overlap, keeps one: here they are added up.
    """
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, module in enumerate(sequence):
            if isinstance(module, nn.MaxPool2d):
                sequence[place] = nn.Sequential(Copied(), module)

    def added_up(values: Tensor, places: Tensor, kernel: Any, stride: Any, padding: Any, size: list[int]) -> Tensor:
        laid = torch.zeros(size, dtype=values.dtype).flatten(2)
        return laid.scatter_add_(2, places.flatten(2), values.flatten(2)).view(size)

    with mock.patch.object(nn.functional, "max_unpool2d", added_up):
        return captum.attr.DeepLift(network).attribute(image, target=TARGET)


class Copied(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


#: captum's rules are for `nn.ReLU` alone, and its DeepLIFT for networks that use each once.
RULED = {"guided_backprop", "deconvolution", "deep_lift"}
ONLY_RELU = {
    "plain",
    "maxima",
    "resnet18",
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "squeezenet1_1",
    "resnext50_32x4d",
    "mnasnet0_5",
    "resnet10t",
}
ONLY_RELU |= {"shufflenet_v2_x0_5"}
TAKEN_APART = {"plain", "maxima", "mnasnet0_5", "alexnet", "vgg11", "vgg11_bn", "squeezenet1_1"}
#: captum rounds the weights of its steps to single precision.
ROUNDED = {"integrated_gradients": 1e-7}


def beside_captum(name: str, method: str, dtype: torch.dtype, tolerance: float) -> None:
    if (method in RULED and name not in ONLY_RELU) or (method == "deep_lift" and name not in TAKEN_APART):
        pytest.skip(f"captum's {method} does not reach the activations of {name}")
    network, image = built(name, dtype)
    settings, oracle = CAPTUM[method]
    expected = oracle(copy.deepcopy(network), image.clone().requires_grad_()).detach().sum(1)
    agree(ours(network, image, method, **settings), expected, max(tolerance, ROUNDED.get(method, 0)))


#: captum warns of its hooks and of inputs it makes differentiable.
CAPTUM_WARNS = pytest.mark.filterwarnings("ignore::UserWarning")


@CAPTUM_WARNS
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("method", CAPTUM)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_are_captums(name: str, method: str, dtype: torch.dtype, tolerance: float) -> None:
    beside_captum(name, method, dtype, tolerance)


@CAPTUM_WARNS
def test_behind_max_pooling_deep_lift_adds_up_to_the_score_where_captums_does_not() -> None:
    network, image = built("maxima", torch.float64)
    with torch.no_grad():
        change = (network(image) - network(torch.zeros_like(image)))[:, TARGET]
    as_it_is = captum.attr.DeepLift(copy.deepcopy(network)).attribute(image.clone(), target=TARGET).detach()
    put_right = maxima_put_right(copy.deepcopy(network), image.clone()).detach()
    torch.testing.assert_close(ours(network, image, "deep_lift").sum((1, 2)), change)
    torch.testing.assert_close(put_right.sum((1, 2, 3)), change)
    assert ((as_it_is.sum((1, 2, 3)) - change).abs() > 0.01 * change.abs()).all()


@pytest.mark.slow
@CAPTUM_WARNS
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("method", CAPTUM)
@pytest.mark.parametrize("name", MORE)
def test_the_numbers_are_captums_on_many_networks(name: str, method: str, dtype: torch.dtype, tolerance: float) -> None:
    beside_captum(name, method, dtype, tolerance)


#: Not its Grad-CAM++, which divides a copy and goes on with what was not divided.
TORCHCAM = {
    "cam": torchcam.methods.CAM,
    "grad_cam": torchcam.methods.GradCAM,
    "x_grad_cam": torchcam.methods.XGradCAM,
    "layer_cam": torchcam.methods.LayerCAM,
    "score_cam": torchcam.methods.ScoreCAM,
}
#: All but the one that costs a pass a channel.
FAST = [method for method in TORCHCAM if method != "score_cam"]
#: Layers that both can look at; by default the one that we find.
LAYER = {"plain": "8", "resnet18": "layer4"}


def beside_torchcam(name: str, method: str, dtype: torch.dtype, tolerance: float) -> None:
    network, image = built(name, dtype)
    layer = LAYER.get(name)
    if layer is None:
        layer = hooks.default_layer(Named(network), {"image": image}, QUESTION).name.removeprefix("body.")
    if method == "cam" and name not in ("plain", "resnet18"):
        pytest.skip("torchcam's CAM wants one linear layer behind an average")
    exactly = {"eps": 0.0} if method == "x_grad_cam" else {}
    with TORCHCAM[method](copy.deepcopy(network), layer, input_shape=(3, SIZE, SIZE)) as extractor:
        extractor._relu = False  # with signs: where nothing speaks for the answer a map of what does is empty
        scores = extractor.model(image)
        (expected,) = extractor([TARGET, TARGET], scores, normalized=False, **exactly)
    found = ours(network, image, method, layer=layer, relu=False)
    # torchcam's Score-CAM adds 1e-8 to the range by which it divides.
    agree(scaled(found), scaled(expected.detach()), max(tolerance, 1e-7 if method == "score_cam" else 0))


def scaled(heat: Tensor) -> Tensor:
    """Up to the factor that methods leave open."""
    return heat / heat.abs().amax((1, 2), keepdim=True).clamp(min=1e-30)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name in ("plain", "resnet18") for method in FAST] + [("plain", "score_cam")]
)
def test_the_numbers_are_torchcams(name: str, method: str, dtype: torch.dtype, tolerance: float) -> None:
    beside_torchcam(name, method, dtype, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("method", FAST)
@pytest.mark.parametrize("name", MORE)
def test_the_numbers_are_torchcams_on_many_networks(
    name: str, method: str, dtype: torch.dtype, tolerance: float
) -> None:
    beside_torchcam(name, method, dtype, tolerance)
