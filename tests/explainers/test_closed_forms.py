"""Networks whose explanation is known: what methods must give there, to rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks, passes, shelf
from seewhy.explainers.deep_lift import shared
from seewhy.hooks import Grid
from seewhy.passes.attention import AttentionGradients, AttentionMaps, BlockAttentionGradients
from seewhy.types import Batch, Question

IMAGE = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BATCH = Batch(ids=("a", "b"), inputs={"image": IMAGE})


def heat(network: nn.Module, question: Question, method: str, **settings: Any) -> Tensor:
    """At the size at which the explainer gives it."""
    explainer = shelf.load("explainers", method)
    needs = passes.needs_of(explainer, settings)
    return explainer.heat(passes.gather(network.double(), BATCH, question, needs), question, **settings)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 6, 6))
        self.bias = nn.Parameter(torch.randn(()))

    def forward(self, image: Tensor) -> Tensor:
        return (self.weight * image).sum((1, 2, 3)) + self.bias


SUM = Question("the sum", lambda output: output)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("integrated_gradients", {}),
        ("integrated_gradients", {"steps": 1}),
        ("deep_lift", {}),
        ("gradient_shap", {"spread": 0.0}),
        ("occlusion", {"patch": 1, "stride": 1}),
    ],
)
@pytest.mark.parametrize("fill", ["black", "mean"])
def test_methods_that_measure_against_a_start_give_weight_times_change_on_a_linear_network(
    method: str, settings: dict[str, Any], fill: str
) -> None:
    network = Linear()
    start = torch.zeros(2, 3, 1, 1) if fill == "black" else IMAGE.mean((2, 3), keepdim=True)
    expected = (network.double().weight * (IMAGE - start)).sum(1)
    assert torch.allclose(heat(network, SUM, method, fill=fill, **settings), expected.detach(), atol=1e-10)


@pytest.mark.parametrize("method", ["gradient", "smooth_grad", "guided_backprop", "deconvolution"])
def test_methods_without_a_start_give_the_weights_on_a_linear_network(method: str) -> None:
    network = Linear()
    expected = network.double().weight.abs().sum(0).detach().expand(2, -1, -1)
    assert torch.allclose(heat(network, SUM, method), expected)
    assert torch.allclose(heat(network, SUM, "square_grad"), network.weight.square().sum(0).expand(2, -1, -1))
    assert heat(network, SUM, "var_grad").abs().max() < 1e-12


class Averaged(nn.Module):
    """A map, its mean over the image, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(5, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.map(image).mean((2, 3)))


TWO = Question("two", lambda output: output[:, 2])


def test_where_the_head_averages_all_linear_maps_are_the_class_activation_map() -> None:
    network = Averaged().double()
    with torch.no_grad():
        activation = network.map(IMAGE)
        expected = torch.einsum("c,bchw->bhw", network.head.weight[2], activation)
        score = network(IMAGE)[:, 2]
    found = heat(network, TWO, "cam")
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(found.mean((1, 2)) + network.head.bias[2], score)
    for method in ("grad_cam", "hires_cam", "x_grad_cam"):
        assert torch.allclose(heat(network, TWO, method, relu=False), expected / 36, atol=1e-12), method
    ablated = heat(network, TWO, "ablation_cam", relu=False)
    weights = network.head.weight[2] * activation.mean((2, 3))  # what each channel adds
    assert torch.allclose(ablated, torch.einsum("bc,bchw->bhw", weights, activation), atol=1e-12)


class Curved(Averaged):
    """Its head reads places differently."""

    def forward(self, image: Tensor) -> Tensor:
        seen = self.map(image)
        return self.head((seen * seen.sigmoid()).amax((2, 3)) + seen.pow(3).mean((2, 3)))


def at_layer(network: nn.Module) -> tuple[Tensor, Tensor]:
    """The activation and its gradient, plainly."""
    activation = network.map(IMAGE).detach().requires_grad_()
    seen = activation
    output = network.head((seen * seen.sigmoid()).amax((2, 3)) + seen.pow(3).mean((2, 3)))
    (gradient,) = torch.autograd.grad(output[:, 2].sum(), activation)
    return activation.detach(), gradient


def slow(name: str, a: Tensor, g: Tensor) -> Tensor:
    """Each map again, place by place."""
    rows, channels, height, width = a.shape
    total = torch.zeros(rows, height, width, dtype=a.dtype)
    for row in range(rows):
        for channel in range(channels):
            at, by = a[row, channel], g[row, channel]
            if name == "grad_cam_plus_plus":
                below = 2 * by**2 + (at * by**3).sum()
                weight = ((by**2 / below).nan_to_num() * by.clamp(min=0)).sum()
            else:
                weight = {
                    "grad_cam": by.sum() / (height * width),
                    "hires_cam": by,
                    "x_grad_cam": (at * by).sum() / at.sum() if at.sum() != 0 else 0,
                    "layer_cam": by.clamp(min=0),
                }[name]
            total[row] += weight * at
    return total


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_plus_plus", "hires_cam", "x_grad_cam", "layer_cam"])
def test_the_maps_of_a_layer_are_their_formulas(name: str) -> None:
    network = Curved().double()
    expected = slow(name, *at_layer(network))
    assert torch.allclose(heat(network, TWO, name, layer="map", relu=False), expected, atol=1e-12)
    assert torch.allclose(heat(network, TWO, name, layer="map"), expected.clamp(min=0), atol=1e-12)


def test_cam_refuses_a_head_that_reads_places_differently() -> None:
    with pytest.raises(passes.Unsuitable, match="The head of this network does not average the layer 'map'"):
        heat(Curved(), TWO, "cam")


def test_eigen_cam_is_the_longest_direction_of_the_activations() -> None:
    network = Curved().double()
    activation = at_layer(network)[0]
    found = heat(network, TWO, "eigen_cam", layer="map", relu=False)
    for row in range(2):
        places = activation[row].flatten(1).T.numpy()
        left, sizes, _ = torch.linalg.svd(torch.from_numpy(places), full_matrices=False)
        along = left[:, 0] * sizes[0]
        assert torch.allclose(found[row].flatten(), along * along.sum().sign(), atol=1e-10)
        assert found[row].sum() > 0


def test_score_cam_weighs_channels_by_a_softmax_of_scores() -> None:
    network = Curved().double()
    activation = at_layer(network)[0]
    scores = []
    for channel in range(5):
        window = activation[:, channel : channel + 1]
        low, high = window.amin((2, 3), keepdim=True), window.amax((2, 3), keepdim=True)
        window = torch.where(high > low, (window - low) / (high - low), 0).nan_to_num()
        with torch.no_grad():
            scores.append(network(IMAGE * window)[:, 2])
    expected = torch.einsum("cb,bchw->bhw", torch.stack(scores).softmax(0), activation)
    assert torch.allclose(heat(network, TWO, "score_cam", layer="map"), expected.relu(), atol=1e-10)


def test_deep_lift_adds_up_where_relus_and_maxima_are_all_there_is() -> None:
    torch.manual_seed(0)
    network = nn.Sequential()
    for place, layer in enumerate(
        [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, padding=1),
         nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(32, 3)]
    ):  # fmt: skip
        network.add_module(str(place), layer)

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network

        def forward(self, image: Tensor) -> Tensor:
            return self.body(image)

    found = heat(Named(), TWO, "deep_lift")
    with torch.no_grad():
        change = (network(IMAGE) - network(torch.zeros_like(IMAGE)))[:, 2]
    assert torch.allclose(found.sum((1, 2)), change, atol=1e-10)


def test_deep_lift_shares_a_maximum_between_the_place_now_and_the_place_before() -> None:
    # Windows of three that overlap by one: (0, 0, 5) and (5, 1, 0) now, (2, 0, 1) and (1, 4, 3) before.
    now, before = torch.tensor([0.0, 0, 5, 1, 0]), torch.tensor([2.0, 0, 1, 4, 3])
    # Now both are greatest at the third, from 2 to 5 and from 4 to 5; the third itself changed by 4.
    assert torch.equal(pooled(now, before), torch.tensor([0.0, 0, (3 + 1) / 4, 0, 0]))
    # The other way about: from 5 down to 2 and down to 4, both at the place that was greatest before.
    assert torch.equal(pooled(before, now), torch.tensor([0.0, 0, (-3 - 1) / -4, 0, 0]))


def pooled(now: Tensor, before: Tensor) -> Tensor:
    """The multipliers of the sum of the greatest of windows of three, every second of them."""
    both = torch.stack([now, before])[:, None, None].requires_grad_()
    with hooks.rewriting({"max_pool": shared}):
        (found,) = torch.autograd.grad(functional.max_pool2d(both, (1, 3), (1, 2))[0].sum(), both)
    return found[0, 0, 0]


def test_integrated_gradients_add_up_to_the_tolerance() -> None:
    network = Curved().double()
    found = heat(network, TWO, "integrated_gradients", tolerance=1e-3, most=1024)
    with torch.no_grad():
        change = (network(IMAGE) - network(torch.zeros_like(IMAGE)))[:, 2]
    assert ((found.sum((1, 2)) - change).abs() <= 1e-3 * change.abs()).all()


def test_full_grad_is_the_sum_over_the_input_and_the_layers() -> None:
    network = Averaged().double()
    with torch.enable_grad():
        image = IMAGE.clone().requires_grad_()
        before = network.map[0](image)
        score = network.head(before.relu().mean((2, 3)))[:, 2].sum()
        at_input, at_map = torch.autograd.grad(score, [image, before])
    expected = torch.zeros(2, 6, 6, dtype=torch.float64)
    for product in (IMAGE * at_input, at_map * network.map[0].bias[:, None, None]):
        size = product.detach().abs()
        low, high = size.amin((2, 3), keepdim=True), size.amax((2, 3), keepdim=True)
        expected += ((size - low) / (high - low)).nan_to_num().sum(1)
    assert torch.allclose(heat(network, TWO, "full_grad"), expected, atol=1e-10)


def test_attention_is_rolled_out_weighed_and_asked_as_published() -> None:
    """Two blocks, two heads, a class token and four places, without a network."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 2, 5, 5, generator=generator).softmax(-1) for _ in range(2))
    ga, gb = (torch.randn(1, 2, 5, 5, generator=generator) for _ in range(2))
    maps = AttentionMaps(Grid("tokens", 2, 2, prefix=1), (a, b), (ga, gb))
    gathered = {AttentionGradients(): maps, BlockAttentionGradients(): maps}
    evidence = passes.Evidence(gathered, torch.zeros(1), passes.Passes())
    one = torch.eye(5)
    rolled = (b[0].mean(0) / 2 + one / 2) @ (a[0].mean(0) / 2 + one / 2)
    flow = one + (a * ga)[0].clamp(min=0).mean(0)
    flow = flow + (b * gb)[0].clamp(min=0).mean(0) @ flow
    asked = sum(g[0].clamp(min=0).mean((0, 1)) for g in (ga, gb)) / 2
    for name, row in (("attention_rollout", rolled[0]), ("chefer", flow[0]), ("le_grad", asked)):
        found = shelf.load("explainers", name).heat(evidence, SUM)
        assert torch.allclose(found[0], row[1:].view(2, 2), atol=1e-6), name


def test_a_network_of_relus_with_noise_too_small_to_matter_is_smoothed_into_its_gradient() -> None:
    network = Averaged()
    plain, smooth = heat(network, TWO, "gradient"), heat(network, TWO, "smooth_grad", spread=1e-9)
    assert torch.allclose(plain, smooth, atol=1e-8)
    assert functional.mse_loss(heat(network, TWO, "smooth_grad"), plain) > 0
