"""Effects through layers and units: exact where everything is known, whole passes as a slow twin, and nothing left."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seewhy import hooks, networks
from seewhy.tables import _mediation
from seewhy.types import Batch
from seewhy.worlds import World, handwritten

WORLD = World(train=24, background=0.5, mark=0.5, seed=5)


def logits(output, batch):
    """All logits of the batch are the numbers that are read."""
    return output


def batch_of(scene) -> Batch:
    return Batch(scene.ids, {"image": scene.images()}, torch.zeros(len(scene), dtype=torch.int64))


def effects(network, before: Batch, after: Batch, layer: str | None, mediators, read=logits) -> _mediation.Mediated:
    """The effects at one layer; the network is as it was."""
    with hooks.frozen(network):
        at = _mediation.last_layer(network, before) if layer is None else _mediation.named_layer(network, before, layer)
        first, second = (_mediation.recorded(network, each, [at], read) for each in (before, after))
        return _mediation.mediated(network, first, second, at, mediators, read)


@pytest.fixture(scope="module")
def two_paths():
    """A cross on sand becomes a disc on the sea, for a network with an interaction; units by path and class."""
    scene = WORLD.scene(WORLD.ids("train"))
    before, after = scene.edit(shape="cross", background="sand"), scene.edit(shape="disc", background="sea")
    return handwritten.two_path(classes=2), batch_of(before), batch_of(after), scene


def test_along_each_path_the_effect_is_its_weight_and_all_units_carry_all(two_paths):
    network, before, after, _ = two_paths
    shape, background, both, all_units = [0, 1], [2, 3], [4, 5], None
    found = effects(network, before, after, "units", [shape, background, both, all_units])
    assert (found.total[:, 1] == 2 + handwritten.STRENGTH).all()
    carried = found.total_indirect[:, :, 1]
    assert (carried[:2] == 1).all()
    assert (carried[2] == handwritten.STRENGTH).all()
    assert (carried[3] == found.total[:, 1]).all()
    assert (found.direct[3] == 0).all()
    assert (found.interaction == 0).all()  # behind the units the network is linear


def test_where_neither_way_alone_does_anything_the_interaction_is_everything(two_paths):
    _, before, after, _ = two_paths
    only_both = handwritten.Handwritten({"shape": 0.0, "background": 0.0}, both=1.0, classes=2)
    found = effects(only_both, before, after, "readers.background", [None])
    assert (found.total[:, 1] == 1).all()
    assert (found.direct[0, :, 1] == 0).all()  # ReLU(input + mediator - 1): neither alone
    assert (found.pure_indirect[0, :, 1] == 0).all()
    assert (found.total_indirect[0, :, 1] == 1).all()
    assert (found.interaction[0, :, 1] == 1).all()


def test_what_is_not_on_the_way_carries_nothing(two_paths):
    network, _, _, scene = two_paths
    before, after = scene.edit(background="sand"), scene.edit(background="sea")
    found = effects(network, batch_of(before), batch_of(after), "readers.shape", [None])
    assert (found.total_indirect == 0).all()
    assert (found.pure_indirect == 0).all()
    assert torch.equal(found.direct[0], found.total)


def test_in_the_additive_network_parts_add_up_to_a_millionth():
    scene = WORLD.scene(WORLD.ids("train"))
    after = scene.edit(shape="cross", background="sea", mark="yes")
    network = handwritten.additive(classes=2)
    units = [[unit] for unit in range(6)]
    found = effects(network, batch_of(scene), batch_of(after), "units", [*units, [0, 2, 4]])
    torch.testing.assert_close(found.direct + found.pure_indirect, found.total.expand(7, -1, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.pure_indirect[:6].sum(0), found.total, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.total_indirect[6], found.total_indirect[[0, 2, 4]].sum(0), atol=1e-6, rtol=0)


class Small(nn.Module):
    """Convolutions with a skip, in any precision."""

    def __init__(self, width: int, kind: type[nn.Module], skip: bool, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.act, self.skip = nn.BatchNorm2d(width), kind(), skip
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(width, 3)

    def forward(self, image):
        x = self.act(self.first(image))
        added = self.norm(self.second(x))
        return self.head(self.pool(x + added if self.skip else added).flatten(1))


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 6),
    kind=st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh]),
    skip=st.booleans(),
    seed=st.integers(0, 2**16),
    layer=st.sampled_from(["first", "act", "norm", "second"]),
    channels=st.sets(st.integers(0, 5)),
)
def test_all_four_corners_equal_whole_passes_and_total_is_direct_and_total_indirect(
    width, kind, skip, seed, layer, channels
):
    with torch.random.fork_rng(devices=[]):
        network = Small(width, kind, skip, seed).double().eval()
        images = [torch.rand(3, 3, 6, 6, dtype=torch.float64) for _ in range(2)]
    chosen = sorted(channel % width for channel in channels)
    before, after = (Batch(("a", "b", "c"), {"image": image}) for image in images)
    found = effects(network, before, after, layer, [chosen])

    def plainly(of: Batch, other: Batch) -> torch.Tensor:
        """Two whole passes, by plain hooks."""
        with torch.no_grad(), hooks.read(network, [layer]) as seen:
            network(**other.inputs)

        def exchange(x):
            mixed = x.clone()
            mixed[:, chosen] = seen[layer][:, chosen]
            return mixed

        with torch.no_grad(), hooks.change(network, {layer: exchange}):
            return network(**of.inputs)

    exact = {"atol": 1e-12, "rtol": 0}
    torch.testing.assert_close(found.held[0], plainly(after, before), **exact)
    torch.testing.assert_close(found.carried[0], plainly(before, after), **exact)
    with torch.no_grad():
        torch.testing.assert_close(found.total, network(**after.inputs) - network(**before.inputs), **exact)
    torch.testing.assert_close(found.direct[0] + found.total_indirect[0], found.total, **exact)


def test_exchanging_everything_for_itself_changes_nothing_and_the_network_is_as_it_was():
    network = networks.find("resnet_tiny", classes=3).module.train()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    body = nn.Sequential(network)
    body.forward = lambda image: network(image)
    before, after = (Batch(("a", "b"), {"image": torch.rand(2, 3, 8, 8)}) for _ in range(2))
    found = effects(body, before, after, None, [None, [0], []])
    torch.testing.assert_close(found.held[0], found.before, atol=1e-5, rtol=0)  # the last layer is the only way
    torch.testing.assert_close(found.held[2], found.after, atol=1e-5, rtol=0)
    assert network.training
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or "forward" in vars(module) for module in network.modules())


def test_more_mediators_than_fit_at_once_give_the_same(two_paths, monkeypatch):
    network, before, after, _ = two_paths
    units = [[unit] for unit in range(6)]
    whole = effects(network, before, after, "units", units)
    monkeypatch.setattr(_mediation, "AT_ONCE", 30)
    part = effects(network, before, after, "units", units)
    assert torch.equal(whole.held, part.held)
    assert torch.equal(whole.carried, part.carried)


def test_the_first_guess_is_exact_where_the_head_is_linear(two_paths):
    network, before, after, _ = two_paths
    with hooks.frozen(network):
        at = _mediation.last_layer(network, before)

        def second(output, batch):
            return output[:, 1:]

        first, other = (_mediation.recorded(network, each, [at], second) for each in (before, after))
        guess = _mediation.attributed(network, first, other, at, second)
        found = _mediation.mediated(network, first, other, at, [[unit] for unit in range(6)], second)
    assert torch.equal(guess, found.pure_indirect[:, :, 0].T)


def test_channels_are_found_in_maps_tokens_and_plain_units():
    image = Batch(("a",), {"x": torch.rand(1, 3, 32, 32)})
    for name, channels in (("resnet_small", 128), ("vit_ti16", 192), ("lenet5", 84)):
        network = networks.find(name, classes=3).module.eval()
        wrapped = nn.Module()
        wrapped.body = network
        wrapped.forward = lambda x, network=network: network(x)
        assert _mediation.channels(_mediation.last_layer(wrapped, image)) == channels


def test_ways_are_the_branches_of_blocks_and_a_chain_has_none():
    image = Batch(("a",), {"input": torch.rand(1, 3, 32, 32)})

    def ways(name, most=12):
        wrapped = nn.Module()
        wrapped.body = networks.find(name, classes=3).module.eval()
        wrapped.forward = lambda input: wrapped.body(input)
        return [layer.name.removeprefix("body.") for layer in _mediation.ways(wrapped, image, most)]

    stages = [f"stage{stage}.block1.{part}" for stage in (1, 2, 3) for part in ("norm2", "shortcut")]
    assert ways("resnet_small") == stages
    assert ways("resnet_small", most=2) == [stages[0], stages[-1]]
    assert ways("vgg11") == []
    scene = WORLD.scene(WORLD.ids("train")[:1])
    parts = _mediation.ways(handwritten.two_path(), batch_of(scene))
    assert [layer.name for layer in parts] == ["readers.shape", "readers.background"]


def test_a_layer_that_cannot_be_exchanged_is_named():
    network = Small(2, nn.ReLU, True, 0).eval()
    twice = nn.Sequential(network.first, network.act, network.second, network.act)
    image = Batch(("a",), {"input": torch.rand(1, 3, 6, 6)})
    with pytest.raises(ValueError, match="'1' is used 2 times in a run; name one that is used once"):
        _mediation.named_layer(twice, image, "1")
    with pytest.raises(ValueError, match="No layer of this network is linear"):
        _mediation.last_layer(twice, image)
    with pytest.raises(KeyError, match="nrm"):
        _mediation.named_layer(network, Batch(("a",), {"image": torch.rand(1, 3, 6, 6)}), "nrm")
