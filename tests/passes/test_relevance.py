"""Relevance by each rule, beside the rule written out slowly; conservation; what is folded, halved and refused."""

from __future__ import annotations

import pytest
import torch
import torchvision
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from seewhy import passes, shelf
from seewhy.types import Batch, Question

RULES = ("lrp_epsilon", "lrp_gamma", "lrp_z_plus", "lrp_alpha_beta", "lrp", "lrp_z_box")
EXACT = {"lrp_epsilon": {"epsilon": 0.0}, "lrp": {"epsilon": 0.0}}


class ByName(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image):
        return self.body(image)


def seed(module, number=0):
    """Weights and inputs in float64, biases too."""
    random = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=random) * 0.3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.abs_().add_(0.5)
    return module.double().eval()


def images(*shape, number=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def relevance(network, image, method, which=0, **settings):
    module = shelf.load("explainers", method)
    question = Question("one", lambda output: output.flatten(1)[:, which])
    batch = Batch(tuple(map(str, range(len(image)))), {"image": image})
    found = passes.explain(ByName(network), batch, question, {method: (module, settings)})
    return found.heat[method], module.told(found.evidence, question, **settings)["conserved"]


def slow(rule, x, w, b, relevance, low=None, high=None):
    """R of inputs from R of outputs, one connection at a time. w: outputs x inputs."""
    given = [0.0] * len(x)
    for j in relevance.nonzero()[:, 0].tolist():
        row = w[j].tolist()
        z = [xi * wi for xi, wi in zip(x.tolist(), row, strict=True)]
        total = sum(z) + float(b[j])
        up, down = (
            sum(max(each, 0) for each in z) + max(float(b[j]), 0),
            sum(min(each, 0) for each in z) + min(float(b[j]), 0),
        )
        for i, each in enumerate(z):
            if rule == "lrp_epsilon":
                share = each / total
            elif rule == "lrp_gamma":
                side, whole = (max(each, 0), up) if total > 0 else (min(each, 0), down)
                share = (each + 0.25 * side) / (total + 0.25 * whole)
            elif rule == "lrp_z_plus":
                share = max(each, 0) / up if up else each / down  # all of one sign
            elif rule == "lrp_alpha_beta":
                share = 2 * max(each, 0) / up - min(each, 0) / down
            else:
                box = [a - p * max(v, 0) - q * min(v, 0) for a, v, p, q in zip(z, row, low, high, strict=True)]
                share = box[i] / sum(box)
            given[i] += share * float(relevance[j])
    return torch.tensor(given, dtype=torch.float64)


@pytest.mark.parametrize("method", RULES)
def test_one_layer_shares_as_the_rule_says(method):
    """A convolution as large as the image is a linear layer whose inputs are pixels."""
    network = seed(nn.Sequential(nn.Conv2d(3, 5, 4), nn.Flatten()))
    image = images(1, 3, 4, 4)
    weight, bias = network[0].weight.flatten(1).detach(), network[0].bias.detach()
    for which in range(5):
        score = network(image)[0].detach()
        asked = torch.zeros(5, dtype=torch.float64)
        asked[which] = score[which]
        expected = slow(method, image.flatten(), weight, bias, asked, [0.0] * 48, [1.0] * 48)
        found, _ = relevance(network, image, method, which, **EXACT.get(method, {}))
        torch.testing.assert_close(found[0], expected.view(3, 4, 4).sum(0), atol=1e-8, rtol=1e-6)


def dense(first: nn.Module) -> nn.Module:
    return nn.Sequential(first, nn.Linear(27, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))


def slow_z_box(layers, image, which, middle=0.0, spread=1.0):
    """The z-box rule at the image and z+ above it, of linear layers with ReLUs between them."""
    seen, x = [], (image.flatten() - middle) / spread
    for layer in layers:
        seen.append(x)
        x = layer(x).relu() if layer is not layers[-1] else layer(x)
    given = torch.where(torch.arange(len(x)) == which, x, 0)
    for layer, x in reversed(list(zip(layers, seen, strict=True))):
        rule = "z-box" if layer is layers[0] else "lrp_z_plus"
        ends = [[(end - middle) / spread] * len(x) for end in (0.0, 1.0)]
        given = slow(rule, x, layer.weight, layer.bias, given, *ends)
    return given.view(image.shape[1:]).sum(0)


@torch.no_grad()
def test_the_box_of_a_dense_network_with_biases_is_the_rule_written_out():
    network, image = seed(dense(nn.Flatten()), 11), images(4, 3, 3, 3)
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    for which in range(2):
        found, conserved = relevance(network, image, "lrp_z_box", which)
        expected = torch.stack([slow_z_box(layers, one[None], which) for one in image])
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)
        assert conserved == pytest.approx(1, abs=1e-6)


class Normalised(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image):
        return self.body((image - 0.4) / 0.2)


@torch.no_grad()
def test_black_and_white_are_what_the_normalisation_makes_of_them():
    body, image = seed(dense(nn.Flatten()), 12), images(2, 3, 3, 3)
    layers = [layer for layer in body if isinstance(layer, nn.Linear)]
    found, conserved = relevance(Normalised(body), image, "lrp_z_box")
    expected = torch.stack([slow_z_box(layers, one[None], 0, 0.4, 0.2) for one in image])
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)
    assert conserved == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("method", ["lrp_gamma", "lrp_alpha_beta"])
def test_inputs_of_both_signs_are_told_apart(method):
    network = seed(nn.Sequential(nn.Conv2d(3, 4, 4), nn.Flatten()), 3)
    image = images(1, 3, 4, 4, number=4) - 0.5
    weight, bias = network[0].weight.flatten(1).detach(), network[0].bias.detach()
    asked = network(image)[0].detach() * torch.tensor([1, 0, 0, 0])
    found, _ = relevance(network, image, method)
    torch.testing.assert_close(found[0], slow(method, image.flatten(), weight, bias, asked).view(3, 4, 4).sum(0))


def deep(bias: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, bias=bias), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3, bias=bias),
    )  # fmt: skip


def test_epsilon_zero_without_biases_is_input_times_gradient():
    network, image = seed(deep(False)), images(2, 3, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[:, 0].sum(), image)
    found, conserved = relevance(network, image.detach(), "lrp_epsilon", epsilon=0.0)
    torch.testing.assert_close(found, (image * gradient).sum(1).detach(), atol=1e-10, rtol=1e-8)
    assert conserved == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("method", ["lrp_epsilon", "lrp_gamma", "lrp_z_plus", "lrp_alpha_beta", "lrp_z_box"])
def test_nothing_is_lost_or_made(method):
    network, image = seed(deep(True), 5), images(3, 3, 8, 8)
    _, conserved = relevance(network, image, method, **EXACT.get(method, {}))
    assert conserved == pytest.approx(1, abs=1e-6)


class Plain(nn.Module):
    """What captum knows rules for; it has none for a module that flattens."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)
        self.more, self.last = nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.Linear(128, 3, bias=False)
        self.again = nn.ReLU()

    def forward(self, image):
        return self.last(self.again(self.more(self.pool(self.relu(self.conv(image))))).flatten(1))


def test_the_epsilon_rule_of_captum_gives_the_same():
    network, image = seed(Plain(), 2), images(2, 3, 8, 8)
    ours, _ = relevance(network, image, "lrp_epsilon", epsilon=0.0)
    for layer in (network.conv, network.more, network.last):
        layer.rule = EpsilonRule(epsilon=1e-14)
    theirs = LRP(network).attribute(image.requires_grad_(), target=0).sum(1).detach()
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)  # captum adds 1e-9 to what it divides by


@pytest.mark.parametrize("method", RULES)
def test_batch_normalisation_counts_as_part_of_the_convolution_before_it(method):
    whole = seed(
        nn.Sequential(nn.Conv2d(3, 5, 3, bias=True), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 2)), 7
    )
    conv, norm = whole[0], whole[1]
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    folded = nn.Conv2d(3, 5, 3).double()
    with torch.no_grad():
        folded.weight.copy_(conv.weight * scale[:, None, None, None])
        folded.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
    image = images(2, 3, 8, 8)
    ours, _ = relevance(whole, image, method)
    by_hand, _ = relevance(nn.Sequential(folded, *whole[2:]), image, method)
    torch.testing.assert_close(ours, by_hand, atol=1e-8, rtol=1e-6)


class Branches(nn.Module):
    """A residual, a concatenation, a gate, a functional ReLU and a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.gate = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(4, 4, 1),
        )
        self.last = nn.Linear(8, 2)

    def forward(self, image):
        x = torch.relu(self.first(image))
        x = x + torch.relu_(self.again(x))
        y = nn.functional.relu(self.again(x)) * self.gate(x).sigmoid()
        return self.last(torch.cat([x, y], 1).mean((2, 3)))


@pytest.mark.parametrize("method", ["lrp_gamma", "lrp_z_plus", "lrp_z_box"])
def test_residuals_gates_concatenation_and_reuse_conserve(method):
    network = seed(Branches(), 9)
    _, conserved = relevance(network, images(2, 3, 8, 8), method)
    assert conserved == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2"])
def test_networks_of_torchvision_conserve_as_they_are(name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).double().eval()
    _, conserved = relevance(network, images(1, 3, 48, 48), "lrp_gamma")
    assert conserved == pytest.approx(1, abs=1e-4)


def test_the_normalisation_before_the_first_layer_takes_no_relevance():
    """What arrives is the relevance of the normalised image: no part of it stays with the mean."""
    network, image = seed(deep(False), 3), images(2, 3, 8, 8)
    plain, _ = relevance(network, (image - 0.4) / 0.2, "lrp_gamma")
    through, conserved = relevance(Normalised(network), image, "lrp_gamma")
    torch.testing.assert_close(plain, through)
    assert conserved == pytest.approx(1, abs=1e-6)


def test_a_function_without_a_rule_is_refused_by_name():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, image):
            return self.conv(image).exp().mean((2, 3))

    with pytest.raises(passes.Unsuitable, match="No rule is known for how 'exp' shares relevance"):
        relevance(seed(Odd()), images(1, 3, 8, 8), "lrp")


def test_a_layer_normalisation_is_linear_once_its_spread_is_fixed():
    network = seed(
        nn.Sequential(
            nn.Conv2d(3, 4, 2, stride=2, bias=False), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, 2, bias=False)
        )
    )
    with torch.no_grad():
        network[1].bias.zero_()
    _, conserved = relevance(network, images(2, 3, 8, 8), "lrp_epsilon", epsilon=0.0)
    assert conserved == pytest.approx(1, abs=1e-6)
