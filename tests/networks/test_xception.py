"""Xception, equal to timm's."""

import pytest
import timm
import torch
from torch.nn import functional

from seewhy.networks import xception


def test_it_has_exactly_the_parameters_of_the_paper():
    with torch.device("meta"):
        network = xception.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == 22_855_952  # table 3 of the paper, and timm


def test_with_timms_weights_it_answers_as_timms_does(equal_weights):
    with torch.device("meta"):
        theirs = timm.create_model("legacy_xception", num_classes=7, pretrained=False)
        ours = xception.build(classes=7)
    theirs, ours = equal_weights(theirs, ours)
    image = torch.randn(2, 3, 71, 50, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("opens", "stride", "widths"), [(True, 1, (6, 6)), (False, 2, (6, 8)), (True, 2, (4, 6))])
def test_a_block_is_separable_convolutions_and_a_shortcut_written_out(opens, stride, widths):
    block = xception.Block(
        6, widths, norm="none", attention="none", activation="relu", stride=stride, opens=opens
    ).double()
    image, w = torch.randn(1, 6, 9, 7, dtype=torch.float64), block.state_dict()
    added = image
    for number in (1, 2):
        name = f"body.separable{number}"
        added = added.relu() if opens or number > 1 else added
        added = functional.conv2d(added, w[f"{name}.depthwise.weight"], padding=1, groups=added.shape[1])
        added = functional.conv2d(added, w[f"{name}.pointwise.weight"], w[f"{name}.pointwise.bias"])
    same = image
    if stride > 1:
        added = functional.max_pool2d(added, 3, 2, 1)
        same = functional.conv2d(image, w["shortcut.conv.weight"], w["shortcut.conv.bias"], stride=2)
    assert torch.allclose(block(image), same + added)


def test_the_maps_have_the_sizes_of_the_papers_figure():
    wanted = {"conv2": (64, 147), "entry1": (128, 74), "entry2": (256, 37), "middle8": (728, 19), "exit3": (2048, 10)}
    seen = {}
    with torch.device("meta"):
        network = xception.build()
        for name in wanted:
            network.get_submodule(name).register_forward_hook(
                lambda module, given, output, name=name: seen.update({name: (output.shape[1], output.shape[-1])})
            )
        network(torch.zeros(1, 3, 299, 299))
    assert seen == wanted


def test_the_smallest_image_works_and_a_smaller_one_is_refused():
    network = xception.build(middle=1, classes=2).eval()
    assert network(torch.randn(1, 3, 7, 7)).isfinite().all()
    with pytest.raises(ValueError, match="at least 7 x 7 pixels and got 6 x 9"):
        network(torch.randn(1, 3, 6, 9))
