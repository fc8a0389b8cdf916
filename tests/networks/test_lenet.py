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
