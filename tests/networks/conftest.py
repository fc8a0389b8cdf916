"""What tests that compare our networks with other people's share."""

import pytest
import torch


@pytest.fixture
def equal_weights():
    """Give two networks, built without memory, the same random weights: name by name, or in order."""

    def fill(theirs, ours, *, rename=None, dtype=torch.float64):
        generator = torch.Generator().manual_seed(0)
        wanted = ours.state_dict()
        state = {name: drawn(name, value, generator, dtype) for name, value in theirs.state_dict().items()}
        names = [rename(name) for name in state] if rename else list(wanted)
        assert sorted(names) == sorted(wanted)
        renamed = dict(zip(names, state.values(), strict=True))
        theirs.load_state_dict(state, assign=True)
        ours.load_state_dict({name: renamed[name].reshape(wanted[name].shape) for name in wanted}, assign=True)
        return theirs.eval(), ours.eval()

    return fill


def drawn(name, like, generator, dtype):
    """Weights that keep the size of what passes through; nothing is 0 or 1, so nothing can stand in for another."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    value = torch.rand(like.shape, generator=generator, dtype=dtype)
    if name.endswith("running_var"):
        return value + 0.5
    if like.dim() < 2:
        return value / 5 + 0.1
    return (2 * value - 1) * (6 / like[0].numel()) ** 0.5
