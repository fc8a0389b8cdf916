"""The vision transformer."""

import pytest
import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer

from seewhy import hooks
from seewhy.networks import vit


def assert_equal_answers(peer, ours, height, width):
    image = torch.rand(1, 3, height, width, dtype=torch.float64)
    expected = peer(image)
    assert expected.std() > 0.01
    assert torch.allclose(ours(image), expected, atol=1e-5, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("vit_ti16", "vit_tiny_patch16_224"),
        ("vit_s16", "vit_small_patch16_224"),
        ("vit_b16", "vit_base_patch16_224"),
        ("vit_b32", "vit_base_patch32_224"),
    ],
)
def test_every_size_answers_as_timms_with_its_weights(equal_weights, name, theirs):
    with torch.device("meta"):
        peer, ours = timm.create_model(theirs, num_classes=7), vit.build(size=name, classes=7)
    assert_equal_answers(*equal_weights(peer, ours), 224, 224)


def mini(**settings):
    return VisionTransformer(img_size=32, patch_size=4, embed_dim=192, depth=6, num_heads=3, num_classes=10, **settings)


def test_the_small_one_is_timms_of_its_numbers(equal_weights):
    with torch.device("meta"):
        peer, ours = mini(), vit.build()
    assert_equal_answers(*equal_weights(peer, ours), 32, 32)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (24, 20), (33, 30)])
def test_images_of_other_sizes_get_interpolated_positions_as_timms_do(equal_weights, height, width):
    with torch.device("meta"):
        peer, ours = mini(dynamic_img_size=True, dynamic_img_pad=True), vit.build()
    peer, ours = equal_weights(peer, ours, dtype=torch.float32)  # timm interpolates in 32 bits
    image = torch.rand(2, 3, height, width)
    assert torch.allclose(ours(image), peer(image), atol=1e-5, rtol=1e-5)


def test_the_base_size_has_the_parameters_of_torchvisions():
    with torch.device("meta"):
        for name in ("vit_b_16", "vit_b_32", "vit_l_16"):
            peer = torchvision.models.get_model(name, weights=None)
            ours = vit.build(size=name.replace("_b_", "_b").replace("_l_", "_l"), classes=1000)
            assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in peer.parameters())


def test_its_tokens_lie_over_the_image_behind_one_of_the_class():
    layers = {
        layer.name: layer for layer in hooks.layers(vit.build(depth=2).eval(), {"image": torch.rand(1, 3, 32, 32)})
    }
    grid = layers["blocks.block2"].grid
    assert (grid.layout, grid.height, grid.width, grid.prefix) == ("tokens", 8, 8, 1)


def test_it_learns():
    network = vit.build(width=12, depth=2, classes=3, dropout=0.1)
    network(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="3 heads share the width evenly: it must be a multiple, not 100"):
        vit.build(width=100)
