"""Finding a network by name, choosing one, and listing them."""

import types

import pytest
import torch

from seewhy import networks, shelf
from seewhy.networks import resnet


def test_a_family_stands_for_its_usual_size():
    family, size = networks.find("resnet", classes=2), networks.find("resnet20", classes=2)
    assert family.name == size.name == "resnet20"
    assert all(torch.equal(a, b) for a, b in zip(family.module.parameters(), size.module.parameters(), strict=True))


def test_settings_change_a_size():
    built = networks.find("resnet20", classes=2, width=8, norm="group")
    assert built.module.conv1.out_channels == 8
    assert built.settings == {"width": 8, "norm": "group"}


def test_an_unknown_name_brings_the_nearest_and_all_of_them():
    with pytest.raises(
        KeyError, match=r"No network 'resnet_smal'. Did you mean 'resnet_small'. There are: .*lenet5.*timm:NAME"
    ):
        networks.find("resnet_smal", classes=2)


def test_an_unknown_setting_brings_the_nearest():
    with pytest.raises(ValueError, match=r"has no setting 'widht'. Did you mean 'width'"):
        networks.find("resnet20", classes=2, widht=8)
    with pytest.raises(ValueError, match="channels cannot be set here"):
        networks.find("resnet20", classes=2, channels=1)


def test_weights_are_taken_where_there_are_some_unless_they_are_refused():
    assert networks.find("lite0", classes=3).pretrained
    assert not networks.find("lite0", classes=3, pretrained=False).pretrained
    assert not networks.find("resnet20", classes=3).pretrained
    with pytest.raises(ValueError, match="'resnet20' brings no weights; those that do: lite0"):
        networks.find("resnet20", classes=3, pretrained=True)


def test_a_thousand_classes_of_the_user_are_not_imagenets():
    assert networks.find("lite0", classes=1000).class_names is None
    assert networks.find("lite0").class_names[0] == "tench"


def test_weights_that_fit_only_in_part_are_refused(monkeypatch):
    monkeypatch.setattr(
        resnet, "weights", lambda size: ({"conv1.weight": torch.zeros(16, 3, 3, 3)}, None, None), raising=False
    )
    with pytest.raises(ValueError, match=r"The weights do not fit: missing \['norm1.weight'"):
        networks.find("resnet20", classes=3)


def test_small_images_get_a_small_network_and_photos_a_pretrained_one():
    digits, why = networks.choose(height=8, width=8, count=1797, classes=10)
    assert digits == "resnet_tiny"
    assert why.startswith("1,797 images of 10 classes, usually 8 x 8 pixels: ")
    assert networks.choose(height=32, width=32, count=50_000, classes=10)[0] == "resnet_small"
    assert networks.choose(height=28, width=64, count=50_000, classes=10)[0] == "lite0"
    assert networks.choose(height=480, width=640, count=100, classes=2)[0] == "lite0"


def test_the_layers_of_a_network_are_listed_with_shapes_and_parameters():
    rows = {row["name"]: row for row in networks.layers("lenet5")}
    wanted = {"name": "conv2", "kind": "Conv2d", "shape": [16, 10, 10], "parameters": 2416, "receptive_field": [14, 14]}
    assert rows["conv2"] == wanted
    assert rows["head"]["shape"] == [10]
    assert rows["head"]["receptive_field"] == "whole image"
    assert networks.layers("timm:resnet10t")[-1]["shape"] == [1000]


def test_multiply_adds_are_counted_once_each(monkeypatch):
    two = {"lenet5": ("lenet", "lenet5"), "resnet20": ("resnet", "resnet20")}
    monkeypatch.setattr(networks, "names", lambda: two)
    rows = {row["name"]: row for row in networks.table()}
    by_hand = 6 * 28 * 28 * 25 + 16 * 10 * 10 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert rows["lenet5"]["multiply_adds"] == by_hand
    assert rows["resnet20"]["multiply_adds"] == pytest.approx(41e6, rel=0.02)  # as others count it: 0.041 billion


def test_two_families_with_one_name_are_an_error(monkeypatch):
    twin = types.SimpleNamespace(build=resnet.build, sizes={"resnet20": {}, "lenet5": {}})
    load = shelf.load
    monkeypatch.setattr(shelf, "load", lambda kind, name: twin if name == "resnet" else load(kind, name))
    with pytest.raises(ValueError, match="Two families have a network 'lenet5': lenet and resnet"):
        networks.names()
