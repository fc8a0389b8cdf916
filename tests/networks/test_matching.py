"""Bare weights find the network they belong to, or the reason is told why not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seewhy import networks
from seewhy.types import Preprocessing


def saved(path, name, classes=3, **changes):
    """The state of that network in a file, with tensors changed or, where None, left out."""
    state = {**networks.find(name, classes=classes, pretrained=False, seed=1).module.state_dict(), **changes}
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return path


def same(built, name, classes=3):
    expected = networks.find(name, classes=classes, pretrained=False, seed=1).module.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        return torch.equal(built.module.eval()(image), expected(image))


@pytest.mark.parametrize(
    ("file", "name", "found"),
    [
        ("resnet20-best.pt", "resnet20", "resnet20"),
        ("plain20.epoch-3.pt", "resnet20", "plain20"),
        ("resnet18-5c106cde.pth", "torchvision:resnet18", "torchvision:resnet18"),
        ("mobilenetv3_small_050.lamb_in1k.pt", "timm:mobilenetv3_small_050", "timm:mobilenetv3_small_050"),
    ],
)
def test_the_name_of_a_file_decides_among_networks_that_fit(tmp_path, file, name, found):
    built, assumed = networks.from_weights(saved(tmp_path / file, name))
    assert built.name == found
    assert assumed[0] == f"The weights in {file} are taken for those of {found}, which has the same tensors."
    assert "does not tell how its images were fitted and normalised; taken to be usual for" in assumed[1]
    if name == found:
        assert same(built, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet_tiny", "lite0", "vit_mini", "torchvision:squeezenet1_1", "torchvision:regnet_y_400mf",
     "torchvision:shufflenet_v2_x0_5", "timm:ghostnet_050"],
)  # fmt: skip
def test_a_network_is_found_by_its_tensors_alone(tmp_path, name):
    built, _ = networks.from_weights(saved(tmp_path / "weights.pt", name))
    assert built.name == name


@pytest.mark.slow
def test_what_fits_several_that_answer_differently_is_not_guessed(tmp_path):
    path = saved(tmp_path / "best.pt", "resnet20")
    with pytest.raises(
        ValueError, match=r"best\.pt: it fits networks that answer differently, resnet20, plain20; name"
    ):
        networks.from_weights(path)
    assert networks.from_weights(path, name="plain20")[0].name == "plain20"
    path = saved(tmp_path / "other.pt", "timm:vit_tiny_patch16_224")
    with pytest.raises(ValueError, match=r"called as in \d+ networks of timm, too many to compare; name the one"):
        networks.from_weights(path)


def test_what_does_not_fit_is_told_by_the_first_three_of_each_kind(tmp_path):
    extra = {f"extra{number}.weight": torch.zeros(2) for number in range(5)}
    changes = {"bn1.bias": None, "conv1.weight": torch.zeros(64, 1, 7, 7), **extra}
    path = saved(tmp_path / "best.pt", "torchvision:resnet18", **changes)
    reasons = (
        r"1 missing in the file \(bn1\.bias\); 5 not in the network \(extra0\.weight, extra1\.weight, extra2\.weight "
        r"and 2 more\); 1 of another shape \(conv1\.weight \(64, 1, 7, 7\) for \(64, 3, 7, 7\)\)"
    )
    with pytest.raises(ValueError, match=rf"best\.pt: it does not fit torchvision:resnet18: {reasons}"):
        networks.from_weights(path, name="torchvision:resnet18")
    with pytest.raises(KeyError, match=r"torchvision has no network 'resnet19'\. Did you mean 'resnet18'"):
        networks.from_weights(path, name="torchvision:resnet19")


@pytest.mark.slow
def test_the_nearest_network_is_told_and_none_where_nothing_is_near(tmp_path):
    path = saved(tmp_path / "best.pt", "torchvision:resnet18", **{"bn1.bias": None})
    with pytest.raises(
        ValueError, match=r"it fits no network known here\. The nearest is torchvision:resnet18: 1 missing"
    ):
        networks.from_weights(path)
    torch.save(nn.Sequential(nn.Linear(3, 2)).state_dict(), tmp_path / "own.pt")
    with pytest.raises(
        ValueError, match=r"its tensors \(0\.weight, 0\.bias, \.\.\.\) are called as in no network known"
    ):
        networks.from_weights(tmp_path / "own.pt")


def test_counts_of_batches_and_auxiliary_heads_do_not_matter(tmp_path):
    path = saved(tmp_path / "resnet18.pt", "torchvision:resnet18", **{"bn1.num_batches_tracked": None})
    state = torch.load(path, weights_only=True)
    torch.save({**state, "aux1.fc.weight": torch.zeros(2)}, path)
    assert same(networks.from_weights(path)[0], "torchvision:resnet18")


def test_numbers_that_are_not_finite_are_assumed_to_be_meant_and_told(tmp_path):
    path = saved(tmp_path / "resnet18.pt", "torchvision:resnet18", **{"bn1.bias": torch.full((64,), torch.nan)})
    _, assumed = networks.from_weights(path)
    assert assumed[-1] == "1 of the 122 tensors in resnet18.pt hold numbers that are not finite: bn1.bias."


def test_a_head_of_a_thousand_is_taken_for_imagenet(tmp_path):
    built, assumed = networks.from_weights(saved(tmp_path / "lite0.pt", "lite0", classes=1000))
    assert built.class_names[0] == "tench"
    assert "are taken for ImageNet's classes in their usual order" in assumed[2]
    assert built.preprocessing == Preprocessing((224, 224), "crop", (0.5,) * 3, (0.5,) * 3)
    assert networks.from_weights(saved(tmp_path / "lite0.pt", "lite0"))[0].class_names is None
