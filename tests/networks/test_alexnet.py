"""AlexNet as published, and the one for a single GPU."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from seewhy.networks import alexnet


def divided_by_its_neighbours(a):
    """The paper's section 3.3, letter by letter."""
    count = a.shape[1]
    b = torch.empty_like(a)
    for i in range(count):
        near = a[:, max(0, i - 2) : min(count - 1, i + 2) + 1]
        b[:, i] = a[:, i] / (2 + 1e-4 * near.square().sum(1)) ** 0.75
    return b


def of_two_halves(x, weight, bias):
    """Each GPU convolves its half of the channels."""
    left, right = x.chunk(2, 1)
    upper, lower = weight.chunk(2)
    pad = weight.shape[-1] // 2
    halves = functional.conv2d(left, upper, padding=pad), functional.conv2d(right, lower, padding=pad)
    return torch.cat(halves, 1) + bias[:, None, None]


def test_the_2012_form_is_the_papers_written_out():
    torch.manual_seed(0)
    network = alexnet.build(filters=(8, 12, 16, 16, 12), hidden=20, classes=5).double().eval()
    image = 100 * torch.rand(2, 3, 224, 224, dtype=torch.float64)  # large: what the neighbours say must matter
    w = network.state_dict()
    x = functional.conv2d(image, w["conv1.weight"], w["conv1.bias"], stride=4, padding=2).relu()
    assert x.shape[2:] == (55, 55)
    x = functional.max_pool2d(divided_by_its_neighbours(x), 3, 2)
    x = of_two_halves(x, w["conv2.weight"], w["conv2.bias"]).relu()
    x = functional.max_pool2d(divided_by_its_neighbours(x), 3, 2)
    x = functional.conv2d(x, w["conv3.weight"], w["conv3.bias"], padding=1).relu()
    x = of_two_halves(x, w["conv4.weight"], w["conv4.bias"]).relu()
    x = of_two_halves(x, w["conv5.weight"], w["conv5.bias"]).relu()
    x = functional.max_pool2d(x, 3, 2).reshape(2, 12 * 6 * 6)
    for name in ("fc6", "fc7"):
        x = (x @ w[f"{name}.weight"].T + w[f"{name}.bias"]).relu()
    assert torch.allclose(network(image), x @ w["head.weight"].T + w["head.bias"])


@pytest.mark.parametrize(("height", "width"), [(224, 224), (63, 100)])
def test_the_one_gpu_form_answers_as_torchvisions_with_its_weights(equal_weights, height, width):
    with torch.device("meta"):
        peer, ours = (
            torchvision.models.alexnet(weights=None, num_classes=7),
            alexnet.build(size="alexnet_one", classes=7),
        )
    peer, ours = equal_weights(peer, ours, dtype=torch.float32)
    image = torch.rand(1, 3, height, width)
    assert torch.allclose(ours(image), peer(image), atol=1e-5, rtol=1e-5)


def test_each_layer_has_the_parameters_that_the_paper_implies():
    with torch.device("meta"):
        network = alexnet.build()
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in network.named_children()}
    assert {name: count for name, count in counts.items() if count} == {
        "conv1": 96 * (3 * 121 + 1),
        "conv2": 256 * (48 * 25 + 1),
        "conv3": 384 * (256 * 9 + 1),
        "conv4": 384 * (192 * 9 + 1),
        "conv5": 256 * (192 * 9 + 1),
        "fc6": 4096 * (256 * 36 + 1),
        "fc7": 4096 * (4096 + 1),
        "head": 1000 * (4096 + 1),
    }


def test_the_2012_form_begins_with_biases_of_one_where_the_paper_says_so():
    torch.manual_seed(0)
    network = alexnet.build(hidden=64)
    ones = {name for name, value in network.named_parameters() if name.endswith("bias") and (value == 1).all()}
    assert ones == {"conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"}
    assert network.conv3.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert isinstance(alexnet.build(hidden=8, activation="tanh").act3, nn.Tanh)


def test_an_image_too_small_is_refused_in_words():
    with pytest.raises(ValueError, match="at least 63 pixels a side and got 32 x 64"):
        alexnet.build(hidden=8)(torch.rand(1, 3, 32, 64))
