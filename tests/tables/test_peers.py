"""Peers are named or trained once more; a peer from the same seed would be the network itself, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seewhy.material import opening
from seewhy.planner import Planner, Unavailable
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.training import fitting
from seewhy.types import Need, finished


@pytest.fixture
def trained(here):
    """A planner for a model that learnt light from dark in a few steps."""
    random = np.random.default_rng(0)
    labels = ["dark", "light"] * 30
    images = np.stack([random.integers(0, 128, (8, 8, 3)) + 120 * (label == "light") for label in labels])
    given = (images.astype(np.uint8), labels)
    settings, cache = Settings(data="arrays", network="resnet_tiny", steps=4, threads=1), Cache(here / "cache")
    model, _ = finished(fitting.train(settings, out="run", data=given))
    return Planner(settings, cache, {}, finished(opening.open_material(settings, cache, data=given)), model)


def test_once_more_from_the_same_seed_gives_the_same_weights_and_another_seed_others(trained):
    state = torch.get_rng_state()
    same, other = (
        finished(fitting.once_more(trained.material, trained.settings, trained.model, seed_more=more))
        for more in (0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    own = trained.model.network.body.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in same.network.body.state_dict().items())
    assert any(not torch.equal(value, own[name]) for name, value in other.network.body.state_dict().items())


def test_trained_peers_are_remembered_and_asked_about_every_image(trained, monkeypatch):
    first = finished(trained.make(Need("peers", train=2)))
    monkeypatch.setattr(fitting, "once_more", None)
    again = finished(trained.make(Need("peers", train=2, count=5)))
    baseline = finished(trained.make(Need("baseline")))
    assert list(dict.fromkeys(first["condition"])) == ["trained from seed 1", "trained from seed 2"]
    assert list(first["id"]) == list(baseline["id"]) * 2
    assert set(again["id"]) < set(first["id"])
    weights = finished(trained.make(Need("peer", number=1))).tensors
    assert set(weights) == set(trained.model.network.body.state_dict())


def test_a_named_peer_that_was_saved_anew_is_asked_anew(trained):
    model = finished(fitting.once_more(trained.material, trained.settings, trained.model, seed_more=1))
    model.save("other")
    need = Need("peers", peers=("other",))
    before = trained._key(need, trained.material, trained.model)
    first = finished(trained.make(need))
    assert set(first["condition"]) == {"other"}
    with torch.no_grad():
        model.network.body.head.bias.add_(torch.tensor([100.0, -100.0]))
    fitting.Model(model.network, model.task, model.name, model.settings, model.outputs).save("other")
    assert trained._key(need, trained.material, trained.model) != before
    assert set(finished(trained.make(need))["answer"]) == {"dark"}


def test_what_is_no_peer_is_named(trained):
    for peers, says in (
        (("run",), "the peer 'run' is the network itself"),
        (("nowhere",), "the peer 'nowhere' cannot be loaded: "),
        (("seewhy.worlds.handwritten:reads_mark",), "answers in other classes than the network"),
        ((), "no peers were named"),
    ):
        with pytest.raises(Unavailable, match=says):
            finished(trained.make(Need("peers", peers=peers)))
    trained.model.provenance.pop("training")
    with pytest.raises(Unavailable, match="it is not known how the network was trained"):
        finished(trained.make(Need("peer", number=7)))
