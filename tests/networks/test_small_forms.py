"""The small-image forms of families made for photos: the same code and layers under a stem that keeps the resolution."""

import pytest
import torch

from seewhy import networks, shelf

SMALL = {
    name: shelf.load("networks", family)
    for name, (family, size) in networks.names().items()
    if name == size and family not in ("resnet",) and shelf.load("networks", family).sizes[name].get("stem") == "small"
}
#: Of each: the large form, the first layer behind its stem, and how many times smaller its last map is than the image.
FORMS = {
    "googlenet_small": ("googlenet_bn", "3a", 4),
    "inception_v3_small": ("inception_v3", "5b", 32 / 7),
    "inception_v4_small": ("inception_v4", "5b", 32 / 7),
    "inception_resnet_v1_small": ("inception_resnet_v1", "35", 32 / 7),
    "xception_small": ("xception", "entry1", 16),
    "mobilenet_small": ("mobilenet_w100", "layer1", 16),
    "shufflenet_small": ("shufflenet_g3_w100", "stage2", 8),
}


@pytest.mark.parametrize("name", FORMS)
def test_it_has_the_layers_of_the_large_form_under_a_stem_that_keeps_the_resolution(name):
    large_name, after_stem, smaller = FORMS[name]
    with torch.device("meta"):
        network, large = SMALL[name].build(size=name, classes=10), SMALL[name].build(size=large_name, classes=10)
        seen = {}
        network.get_submodule(after_stem).register_forward_pre_hook(lambda module, given: seen.update(stem=given[0]))
        network.pool.register_forward_pre_hook(lambda module, given: seen.update(last=given[0]))
        assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert seen["stem"].shape[2:] == (32, 32)
    assert seen["last"].shape[2:] == (round(32 / smaller),) * 2
    own, theirs = list(network.order), list(large.order)
    assert own[own.index(after_stem) :] == theirs[theirs.index(after_stem) :]


def test_every_family_for_photos_has_one_or_takes_small_images_as_it_is():
    assert set(FORMS) <= set(SMALL)
    told = set(SMALL) - set(FORMS)
    assert all(name.startswith(("densenet", "resnext29")) for name in told)
