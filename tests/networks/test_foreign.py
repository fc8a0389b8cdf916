"""Networks of timm, of torchvision, and of the user."""

import os
import sys
import types

import pytest
import timm
import torch
import torchvision
from torch import nn

from seewhy import networks
from seewhy.types import Preprocessing


class Small(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, image):
        return self.head(image.mean((2, 3)))


@pytest.fixture
def mine(monkeypatch):
    module = types.ModuleType("mine")
    module.small = Small
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


@pytest.mark.parametrize("name", ["timm:resnet10t", "torchvision:mobilenet_v3_small", "torchvision:googlenet"])
def test_a_foreign_network_gets_a_head_of_our_classes(name):
    built = networks.find(name, classes=3)
    assert built.module.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    assert (built.name, built.pretrained, built.class_names) == (name, False, None)


def test_it_keeps_its_own_head_and_imagenet_names_without_classes():
    for name in ("timm:resnet10t", "torchvision:mobilenet_v3_small"):
        built = networks.find(name)
        assert len(built.class_names) == 1000
        assert built.class_names[0] == "tench"


def test_a_network_of_one_image_size_says_so_and_others_do_not():
    assert networks.find("timm:vit_tiny_patch16_224", classes=2).preprocessing.size == (224, 224)
    assert networks.find("timm:vit_tiny_patch16_224", classes=2, img_size=32).preprocessing.size == (32, 32)
    assert networks.find("timm:resnet10t", classes=2).preprocessing is None
    assert networks.find("torchvision:mobilenet_v3_small", classes=2).preprocessing is None


def test_unknown_names_bring_the_nearest():
    with pytest.raises(KeyError, match=r"timm has no network 'resnet81'. Did you mean 'resnet18'"):
        networks.find("timm:resnet81")
    with pytest.raises(KeyError, match=r"torchvision has no network 'resnet81'. Did you mean 'resnet18'"):
        networks.find("torchvision:resnet81")


@pytest.mark.parametrize("name", ["hf-hub:someone/thing", "local-dir:/tmp", "../resnet18", "hf_hub:x"])
def test_a_name_never_leads_to_a_hub_or_a_folder(name):
    with pytest.raises(KeyError, match="timm has no network"):
        networks.find(f"timm:{name}", classes=2)


@pytest.mark.parametrize("setting", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_settings_that_load_something_are_not_taken(setting):
    with pytest.raises(ValueError, match=f"takes no setting '{setting}' here"):
        networks.find("timm:resnet10t", classes=2, **{setting: "x"})
    with pytest.raises(ValueError, match="takes no setting 'weights' here"):
        networks.find("torchvision:resnet18", classes=2, weights="DEFAULT")


def test_weights_that_cannot_be_fetched_are_one_clear_error(monkeypatch):
    def offline(*given, **settings):
        raise FileNotFoundError("no connection")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(torchvision.models, "get_model", offline)
    for name in ("timm:resnet10t", "torchvision:resnet18"):
        with pytest.raises(
            OSError, match=f"The weights of {name} could not be had: no connection. .* lite0 has weights"
        ):
            networks.find(name, pretrained=True)


def test_fetched_checkpoints_may_hold_weights_only(monkeypatch):
    seen = []

    def build(name, **settings):
        seen.append(os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD"))
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 1000))

    monkeypatch.setattr(torchvision.models, "get_model", build)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    built = networks.find("torchvision:resnet18", classes=4, pretrained=True)
    assert seen == ["1"]
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    assert built.module[1].out_features == 4
    assert built.preprocessing == Preprocessing((224, 224), "crop", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_users_function_is_told_how_many_classes(mine):
    built = networks.find("mine:small", classes=5)
    assert built.module.head.out_features == 5
    assert (built.preprocessing, built.class_names, built.pretrained) == (None, None, False)


def test_a_users_network_may_tell_its_classes_and_its_images(mine):
    def trained():
        network = Small(2)
        network.classes, network.preprocessing = ["cat", "dog"], Preprocessing((8, 8), "squash")
        return network

    mine.trained = trained
    built = networks.find("mine:trained")
    assert built.class_names == ("cat", "dog")
    assert built.preprocessing.size == (8, 8)


def test_what_is_wrong_with_a_users_function_is_said(mine):
    mine.number = lambda: 3
    mine.wants = lambda width: Small(width)
    with pytest.raises(KeyError, match=r"mine has no function 'smal'. Did you mean 'small'"):
        networks.find("mine:smal")
    with pytest.raises(KeyError, match="No module 'not_there' for the network 'not_there:f'"):
        networks.find("not_there:f")
    with pytest.raises(ValueError, match=r"mine:number gave a int; a factory of networks gives a torch.nn.Module"):
        networks.find("mine:number")
    with pytest.raises(ValueError, match="mine:wants cannot be called with no settings: missing a required argument"):
        networks.find("mine:wants")
    with pytest.raises(ValueError, match="takes no setting `pretrained`"):
        networks.find("mine:small", pretrained=True)
