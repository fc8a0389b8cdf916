"""What several families are made of."""

import pytest
import torch
from torch import nn

from seewhy.networks import _parts


def test_every_norm_leaves_the_mean_of_what_it_normalises_at_zero():
    maps = 3 + torch.rand(4, 12, 5, 5)
    assert _parts.normalise("batch", 12)(maps).mean((0, 2, 3)).abs().max() < 1e-5
    assert _parts.normalise("layer", 12)(maps).mean((1, 2, 3)).abs().max() < 1e-5
    in_fours = _parts.normalise("group", 12)(maps).unflatten(1, (4, 3))
    assert in_fours.mean((2, 3, 4)).abs().max() < 1e-5
    assert torch.equal(_parts.normalise("none", 12)(maps), maps)


def test_groups_are_thirty_two_or_as_many_as_divide_the_channels():
    assert _parts.normalise("group", 256).num_groups == 32
    assert _parts.normalise("group", 150).num_groups == 2
    assert _parts.normalise("group", 256, groups=8).num_groups == 8


def test_weights_that_do_not_learn_are_left_as_they_are():
    fixed = nn.Linear(3, 3)
    before = fixed.weight.requires_grad_(False).clone()
    _parts.begin(fixed, "he")
    assert torch.equal(fixed.weight, before)


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(ValueError, match="No norm 'bach'; there are batch, group, layer, none"):
        _parts.normalise("bach", 8)
    with pytest.raises(ValueError, match="No activation 'rellu'. Did you mean 'relu"):
        _parts.activate("rellu")
    with pytest.raises(ValueError, match="No init 'xavir'. Did you mean 'xavier'"):
        _parts.begin(nn.Linear(1, 1), "xavir")
