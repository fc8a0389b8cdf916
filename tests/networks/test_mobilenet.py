"""MobileNet v1 in its four widths, equal to timm's."""

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from seewhy.networks import mobilenet


@pytest.mark.parametrize(
    ("size", "parameters", "multiply_adds"),  # Keras' trainable parameters; tables 6 and 4 of the paper, in millions
    [
        ("mobilenet_w100", 4_231_976, 569),
        ("mobilenet_w75", 2_585_560, 325),
        ("mobilenet_w50", 1_331_592, 149),
        ("mobilenet_w25", 470_072, 41),
    ],
)
def test_every_width_has_the_parameters_and_multiply_adds_of_the_paper(size, parameters, multiply_adds):
    with torch.device("meta"):
        network, image = mobilenet.build(size=size).eval(), torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(image)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert counted.get_total_flops() / 2e6 == pytest.approx(multiply_adds, abs=0.6)


def test_with_timms_weights_it_answers_as_timms_does(equal_weights):
    with torch.device("meta"):
        theirs = timm.create_model("mobilenetv1_100", num_classes=7, pretrained=False)
        ours = mobilenet.build(classes=7, activation="relu6")
    theirs, ours = equal_weights(theirs, ours)
    image = torch.randn(2, 3, 65, 48, dtype=torch.float64)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)


def test_a_layer_is_a_depthwise_and_a_pointwise_convolution():
    layer = mobilenet.build(width=0.25).get_submodule("layer2")
    depthwise, pointwise = layer.depthwise.conv, layer.pointwise.conv
    assert (depthwise.groups, depthwise.kernel_size, depthwise.stride) == (16, (3, 3), (2, 2))
    assert (pointwise.groups, pointwise.kernel_size, pointwise.out_channels) == (1, (1, 1), 32)


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="width multiplies the channels of every layer and must be more than 0, not 0"):
        mobilenet.build(width=0.0)
