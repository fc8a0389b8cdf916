"""GoogLeNet in the paper's form and in torchvision's, and BN-Inception."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from seewhy.networks import googlenet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("size", "auxiliary", "parameters"),
    [
        ("googlenet", False, 6_998_552),  # the Caffe model zoo's, which is the paper's
        ("googlenet", True, 13_378_280),
        ("googlenet_bn", False, 6_624_904),  # torchvision's, which tells them in its weights' `meta`
        ("googlenet_bn", True, 13_004_888),
    ],
)
def test_it_has_exactly_the_parameters_of_the_reference(size, auxiliary, parameters):
    with torch.device("meta"):
        assert count(googlenet.build(size=size, auxiliary=auxiliary)) == parameters


def test_bn_inception_has_the_parameters_of_the_caffe_model_but_for_biases_that_normalisation_takes_away():
    with torch.device("meta"):
        network = googlenet.build(size="bn_inception")
    biases = sum(module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d))
    assert count(network) + biases == 11_295_240


def test_with_torchvisions_weights_it_answers_as_torchvisions_does(equal_weights):
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(weights=None, num_classes=7, init_weights=False, aux_logits=True)
        ours = googlenet.build(size="googlenet_bn", classes=7, auxiliary=True)
    order = sorted(theirs.state_dict(), key=lambda name: not name.startswith("aux"))  # ours has these heads first
    names = dict(zip(order, ours.state_dict(), strict=True))
    theirs, ours = equal_weights(theirs, ours, rename=names.__getitem__)
    image = torch.randn(2, 3, 95, 64, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)
    main, heads = ours.with_auxiliary(image)
    seen = {}
    for place in (theirs.inception4a, theirs.inception4d):
        place.register_forward_hook(lambda module, given, output: seen.update({module: output}))
    assert torch.equal(main, ours(image))
    theirs(image)
    assert torch.allclose(heads["4a"], theirs.aux1(seen[theirs.inception4a]), rtol=1e-9, atol=1e-9)
    assert torch.allclose(heads["4d"], theirs.aux2(seen[theirs.inception4d]), rtol=1e-9, atol=1e-9)


def test_an_inception_module_is_its_four_branches_side_by_side():
    network = googlenet.build(classes=2).double().eval()
    place, w = network.get_submodule("3a"), network.state_dict()
    x = torch.randn(1, 192, 9, 9, dtype=torch.float64)

    def conv(x, name, padding=0):
        weight, bias = w[f"3a.{name}.conv.weight"], w[f"3a.{name}.conv.bias"]
        return functional.conv2d(x, weight, bias, padding=padding).relu()

    expected = [
        conv(x, "1x1"),
        conv(conv(x, "3x3.conv1"), "3x3.conv2", 1),
        conv(conv(x, "5x5.conv1"), "5x5.conv2", 2),
        conv(functional.max_pool2d(x, 3, 1, 1), "pool.conv"),
    ]
    assert [part.shape[1] for part in expected] == [64, 128, 32, 32]
    assert torch.allclose(place(x), torch.cat(expected, 1))


@pytest.mark.parametrize("size", [size for size in googlenet.sizes if size != "googlenet_small"])
def test_the_maps_have_the_sizes_of_the_papers_table(size):
    wanted = {"3a": (256, 28), "4a": (512, 14), "4d": (528, 14), "4e": (832, 14), "5b": (1024, 7)}
    if googlenet.sizes[size]["wide"] == "double3x3":
        wanted = {"3b": (320, 28), "3c": (576, 14), "4b": (576, 14), "4e": (1056, 7), "5b": (1024, 7)}
    seen = {}
    with torch.device("meta"):
        network = googlenet.build(size=size)
        for name in wanted:
            network.get_submodule(name).register_forward_hook(
                lambda module, given, output, name=name: seen.update({name: (output.shape[1], output.shape[-1])})
            )
        network(torch.zeros(1, 3, 224, 224))
    assert seen == wanted


def test_calling_it_in_training_gives_logits_and_the_heads_learn_only_if_asked():
    network = googlenet.build(size="googlenet_bn", classes=3, auxiliary=True).train()
    image = torch.randn(2, 3, 64, 64)
    assert network(image=image).shape == (2, 3)
    main, heads = network.with_auxiliary(image)
    (main.sum() + 0.3 * sum(head.sum() for head in heads.values())).backward()
    assert list(heads) == ["4a", "4d"]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_bn_inception_refuses_auxiliary_heads():
    with pytest.raises(ValueError, match="BN-Inception has no auxiliary heads; googlenet and googlenet_bn have"):
        googlenet.build(size="bn_inception", auxiliary=True)


@pytest.mark.parametrize(
    ("norm", "kind"), [("group", nn.GroupNorm), ("layer", nn.GroupNorm), ("none", nn.LocalResponseNorm)]
)
def test_it_can_be_normalised_otherwise(norm, kind):
    network = googlenet.build(size="googlenet_bn", norm=norm, classes=2)
    assert any(isinstance(module, kind) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network(torch.randn(1, 3, 40, 40)).shape == (1, 2)
