"""LeNet-5 as it is taught today."""

import pytest
import torch
from torch.nn import functional

from seewhy import networks
from seewhy.networks import lenet


def test_the_paper_form_is_tanh_and_mean_pooling_written_out():
    network = lenet.build(channels=1).double()
    image = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    w = network.state_dict()
    x = functional.avg_pool2d(torch.tanh(functional.conv2d(image, w["conv1.weight"], w["conv1.bias"])), 2)
    x = functional.avg_pool2d(torch.tanh(functional.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2)
    x = torch.tanh(x.reshape(2, 400) @ w["linear1.weight"].T + w["linear1.bias"])
    x = torch.tanh(x @ w["linear2.weight"].T + w["linear2.bias"])
    assert torch.allclose(network(image), x @ w["head.weight"].T + w["head.bias"])


def test_another_image_size_changes_only_the_first_linear_layer():
    usual, large = lenet.build().state_dict(), lenet.build(input_size=48).state_dict()
    assert [key for key in usual if usual[key].shape != large[key].shape] == ["linear1.weight"]
    assert lenet.build(input_size=48)(torch.rand(1, 3, 48, 48)).shape == (1, 10)


def test_it_asks_for_its_images_at_its_size():
    assert networks.find("lenet", classes=4).preprocessing.size == (32, 32)
    assert networks.find("lenet", classes=4, input_size=28).preprocessing.size == (28, 28)


def test_an_image_of_another_size_is_an_error_that_says_what_to_do():
    with pytest.raises(
        ValueError, match="built for images of 32 x 32 pixels and got 28 x 28; build it with input_size=28"
    ):
        lenet.build()(torch.rand(1, 3, 28, 28))


def test_an_image_too_small_for_two_convolutions_is_refused():
    with pytest.raises(ValueError, match="at least 16 pixels; input_size is 8"):
        lenet.build(input_size=8)


def stretched(x):
    return 1.7159 * torch.tanh(2 / 3 * x)


def pooled(x, weight, bias):
    """Four pixels added, times a weight, plus a bias, bent."""
    added = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    return stretched(added * weight[:, None, None] + bias[:, None, None])


#: Table I of the paper, a column a map of the second convolution.
TABLE = """\
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX""".splitlines()


def test_the_form_of_1998_is_the_paper_written_out():
    torch.manual_seed(0)
    network = lenet.build(size="lenet5_1998", channels=1).double()
    for bias in (value for name, value in network.named_parameters() if name.endswith("bias")):
        torch.nn.init.uniform_(bias)
    w = network.state_dict()
    image = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    x = stretched(functional.conv2d(image, w["conv1.weight"], w["conv1.bias"]))
    x = pooled(x, w["pool1.weight"], w["pool1.bias"])
    kernels = iter(w["conv2.weight"])
    maps = []
    for after in range(16):
        seen = [before for before in range(6) if TABLE[before][after] == "X"]
        parts = [functional.conv2d(x[:, before : before + 1], next(kernels)[None, None]) for before in seen]
        maps.append(sum(parts) + w["conv2.bias"][after])
    x = pooled(stretched(torch.cat(maps, 1)), w["pool2.weight"], w["pool2.bias"])
    x = stretched(x.reshape(2, 400) @ w["linear1.weight"].T + w["linear1.bias"])
    x = stretched(x @ w["linear2.weight"].T + w["linear2.bias"])
    for image_of, answers in zip(x, network(image), strict=True):
        for code, answer in zip(w["head.weight"], answers, strict=True):
            assert torch.allclose(answer, -((image_of - code) ** 2).sum())


def test_the_form_of_1998_learns_the_papers_sixty_thousand_weights_and_no_code():
    network = lenet.build(size="lenet5_1998", channels=1)
    learnt = {name: value.numel() for name, value in network.named_parameters() if value.requires_grad}
    layers = ("conv1", "pool1", "conv2", "pool2", "linear1", "linear2")
    assert [learnt[f"{layer}.weight"] + learnt[f"{layer}.bias"] for layer in layers] == [
        156,
        12,
        1516,
        32,
        48120,
        10164,
    ]
    assert sum(learnt.values()) == 60_000
    assert set(network.head.weight.unique().tolist()) == {-1.0, 1.0}
    network(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(network.get_parameter(name).grad.abs().sum() > 0 for name in learnt)


def test_the_form_of_1998_begins_within_the_papers_bounds():
    network = lenet.build(size="lenet5_1998", channels=1)
    for weight, inputs in ((network.conv1.weight, 25), (network.conv2.weight[:3], 75), (network.linear2.weight, 120)):
        assert 0.8 * 2.4 / inputs < weight.abs().max() <= 2.4 / inputs
