"""VGG for photos and for small images."""

import pytest
import torch
import torchvision
from torch import nn

from seewhy.networks import vgg


@pytest.mark.parametrize("name", [name for name in vgg.sizes if not name.endswith("cifar")])
def test_every_size_answers_as_torchvisions_with_its_weights(equal_weights, name):
    with torch.device("meta"):
        peer = torchvision.models.get_model(name, weights=None, num_classes=7)
        # fc6 and fc7 with 16 units: all that differs between the sizes stands before them
        peer.classifier[0], peer.classifier[3] = nn.Linear(512 * 49, 16), nn.Linear(16, 16)
        peer.classifier[6] = nn.Linear(16, 7)
        ours = vgg.build(size=name, classes=7, hidden=16)
    peer, ours = equal_weights(peer, ours)
    image = torch.rand(1, 3, 33, 64, dtype=torch.float64)
    assert torch.allclose(ours(image), peer(image), atol=1e-5)


def test_the_whole_of_vgg11_at_its_own_resolution(equal_weights):
    with torch.device("meta"):
        peer, ours = torchvision.models.vgg11(weights=None), vgg.build(size="vgg11")
    peer, ours = equal_weights(peer, ours, dtype=torch.float32)
    image = torch.rand(1, 3, 224, 224)
    assert torch.allclose(ours(image), peer(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_the_form_for_small_images_is_the_convolutions_with_one_linear_layer(equal_weights, depth):
    with torch.device("meta"):
        convolutions = torchvision.models.get_model(f"vgg{depth}_bn", weights=None).features
        peer = nn.Sequential(convolutions, nn.Flatten(), nn.Linear(512, 10))
        ours = vgg.build(size=f"vgg{depth}_cifar", classes=10)
    peer, ours = equal_weights(peer, ours)
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    assert torch.allclose(ours(image), peer(image), atol=1e-5)


def test_the_depth_counts_the_layers_with_weights_and_they_have_the_names_everyone_uses():
    for depth in (11, 13, 16, 19):
        with torch.device("meta"):
            network = vgg.build(size=f"vgg{depth}")
        named = [name for name, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        assert len(named) == depth
        assert {"conv1_1", "conv5_2" if depth > 11 else "conv5_1", "fc6", "fc7", "head"} <= set(named)


@pytest.mark.parametrize("init", ["xavier", "he", "lecun", "normal"])
def test_weights_begin_as_they_were_asked_to(init):
    torch.manual_seed(0)
    network = vgg.build(size="vgg11_cifar", classes=10, norm="none", init=init)
    inside, outside = 512 * 9, 512 * 9
    wanted = {
        "xavier": (2 / (inside + outside)) ** 0.5,
        "he": (2 / inside) ** 0.5,
        "lecun": inside**-0.5,
        "normal": 0.01,
    }
    assert network.conv5_1.weight.std().item() == pytest.approx(wanted[init], rel=0.01)
    assert (network.conv5_1.bias == 0).all()


def test_what_is_not_there_is_refused_in_words():
    with pytest.raises(ValueError, match="A VGG has 11, 13, 16, 19 layers with weights; depth is 12"):
        vgg.build(depth=12)
    with pytest.raises(ValueError, match="at least 32 pixels a side and got 24 x 40"):
        vgg.build(size="vgg11_cifar")(torch.rand(1, 3, 24, 40))
    with pytest.raises(ValueError, match="No activation 'rellu'. Did you mean 'relu'"):
        vgg.build(size="vgg11_cifar", activation="rellu")
