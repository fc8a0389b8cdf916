"""The residual Inception networks, the second equal to timm's."""

import pytest
import timm
import torch

from seewhy.networks import inception_resnet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_second_has_exactly_the_parameters_of_timms():
    with torch.device("meta"):
        assert count(inception_resnet.build(size="inception_resnet_v2")) == 55_843_464


def test_the_first_has_those_of_facenets_with_as_many_blocks():
    with torch.device("meta"):
        network = inception_resnet.build(size="inception_resnet_v1", blocks=(5, 10, 6))
        assert count(network) - count(network.head) == 22_564_096  # pytorchcv's inceptionresnetv1 without its head
        paper = inception_resnet.build(size="inception_resnet_v1")
    one_block = count(network.get_submodule("8.block1"))
    assert count(paper) == count(network) - one_block == 22_756_328


def test_with_timms_weights_it_answers_as_timms_does(equal_weights):
    with torch.device("meta"):
        theirs = timm.create_model("inception_resnet_v2", num_classes=7, pretrained=False)
        ours = inception_resnet.build(size="inception_resnet_v2", classes=7)
    theirs, ours = equal_weights(theirs, ours)
    image = torch.randn(1, 3, 75, 91, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)


def test_a_block_adds_a_little_and_the_last_of_all_is_linear():
    network = inception_resnet.build(size="inception_resnet_v1", blocks=(1, 1, 2), classes=2).double().eval()
    for name, scale in (("35.block1", 0.17), ("17.block1", 0.1), ("8.block1", 0.2), ("8.block2", 1.0)):
        block = network.get_submodule(name)
        x = torch.randn(1, block.up.out_channels, 5, 5, dtype=torch.float64)
        y = x + scale * block.up(block.branches(x))
        assert torch.allclose(block(x), y if name == "8.block2" else y.relu())


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("inception_resnet_v1", {"conv4b": (256, 35), "35": (256, 35), "6a": (896, 17), "7a": (1792, 8)}),
        (
            "inception_resnet_v2",
            {"5b": (320, 35), "35": (320, 35), "6a": (1088, 17), "7a": (2080, 8), "conv7b": (1536, 8)},
        ),
    ],
)
def test_the_maps_have_the_sizes_of_the_papers_figures(size, wanted):
    seen = {}
    with torch.device("meta"):
        network = inception_resnet.build(size=size)
        for name in wanted:
            network.get_submodule(name).register_forward_hook(
                lambda module, given, output, name=name: seen.update({name: (output.shape[1], output.shape[-1])})
            )
        network(torch.zeros(1, 3, 299, 299))
    assert seen == wanted


def test_an_image_too_small_for_what_is_not_padded_is_an_error_that_says_so():
    with torch.device("meta"):
        network = inception_resnet.build(blocks=(1, 1, 1))
        with pytest.raises(ValueError, match="need images of at least 75 x 75 pixels and got 64 x 64"):
            network(torch.zeros(1, 3, 64, 64))
