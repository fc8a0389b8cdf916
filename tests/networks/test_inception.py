"""Inception v3 and v4, equal to torchvision's and timm's."""

import pytest
import timm
import torch
import torchvision

from seewhy.networks import inception


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("size", "auxiliary", "parameters"),
    [
        ("inception_v3", False, 23_834_568),  # timm's and torchvision's
        ("inception_v3", True, 27_161_264),
        ("inception_v4", False, 42_679_816),
    ],
)
def test_it_has_exactly_the_parameters_of_the_reference(size, auxiliary, parameters):
    with torch.device("meta"):
        assert count(inception.build(size=size, auxiliary=auxiliary)) == parameters


def test_with_torchvisions_weights_v3_answers_as_torchvisions_does(equal_weights):
    with torch.device("meta"):
        theirs = torchvision.models.inception_v3(weights=None, num_classes=7, init_weights=False)
        ours = inception.build(classes=7, auxiliary=True)
    order = sorted(theirs.state_dict(), key=lambda name: not name.startswith("Aux"))  # ours has this head first
    names = dict(zip(order, ours.state_dict(), strict=True))
    theirs, ours = equal_weights(theirs, ours, rename=names.__getitem__)
    image = torch.randn(2, 3, 75, 80, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)
    x = torch.randn(1, 768, 17, 17, dtype=torch.float64)
    assert torch.allclose(ours.auxiliary["6e"](x), theirs.AuxLogits(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", ["inception_v3", "inception_v4"])
def test_with_timms_weights_it_answers_as_timms_does(equal_weights, size):
    with torch.device("meta"):
        theirs = timm.create_model(size, num_classes=7, pretrained=False)
        ours = inception.build(size=size, classes=7)
    theirs, ours = equal_weights(theirs, ours)
    image = torch.randn(1, 3, 107, 75, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("inception_v3", {"conv4a": (192, 71), "5d": (288, 35), "6a": (768, 17), "7a": (1280, 8), "7c": (2048, 8)}),
        ("inception_v4", {"3a": (160, 73), "4a": (192, 71), "5a": (384, 35), "6h": (1024, 17), "7d": (1536, 8)}),
    ],
)
def test_the_maps_have_the_sizes_of_the_papers_figures(size, wanted):
    seen = {}
    with torch.device("meta"):
        network = inception.build(size=size)
        for name in wanted:
            network.get_submodule(name).register_forward_hook(
                lambda module, given, output, name=name: seen.update({name: (output.shape[1], output.shape[-1])})
            )
        network(torch.zeros(1, 3, 299, 299))
    assert seen == wanted


def test_calling_v3_in_training_gives_logits_and_with_auxiliary_those_of_the_head_too():
    with torch.device("meta"):
        network = inception.build(classes=3, auxiliary=True).train()
        image = torch.zeros(2, 3, 299, 299)
        assert network(image=image).shape == (2, 3)
        main, heads = network.with_auxiliary(image)
    assert main.shape == heads["6e"].shape == (2, 3)


def test_v4_refuses_an_auxiliary_head():
    with pytest.raises(
        ValueError, match="Inception v4 has no auxiliary head, and no small stem has; inception_v3 has one"
    ):
        inception.build(size="inception_v4", auxiliary=True)


def test_an_image_too_small_for_what_is_not_padded_is_an_error_that_says_so():
    with torch.device("meta"):
        network = inception.build(classes=3)
        with pytest.raises(ValueError, match="need images of at least 75 x 75 pixels and got 75 x 74; fit the images"):
            network(torch.zeros(1, 3, 75, 74))
