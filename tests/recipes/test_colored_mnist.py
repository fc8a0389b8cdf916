"""The lab's first story: what is built is what the paper describes, and the effect of colour is read off rightly."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from seewhy.recipes import colored_mnist as lab
from seewhy.types import Batch, Preprocessing, finished


@pytest.fixture(scope="module")
def report():
    torch.set_num_threads(1)
    return finished(lab.run("digits", seeds=1, scale="tiny"))


def test_the_colour_tells_the_label_as_often_as_described():
    random = np.random.default_rng(0)
    digits, numbers = random.integers(0, 255, (60_000, 2, 2), dtype=np.uint8), random.integers(0, 10, 60_000)
    learnt, asked = lab._environments(digits, numbers, seed=0)
    assert (len(learnt), len(asked)) == (50_000, 10_000)
    for dataset, environments in ((learnt, (0, 1)), (asked, (2,))):
        below = np.array([target == lab.CLASSES[1] for target in dataset.targets])
        where = np.array(dataset.tags["environment"])
        red, number = dataset.source.red[dataset.rows], numbers[[int(id) for id in dataset.ids]]
        for environment in environments:
            here = where == environment
            assert (below != red)[here].mean() == pytest.approx(lab.OFF[environment], abs=0.015)
            assert (below != (number < 5))[here].mean() == pytest.approx(lab.WRONG_LABELS, abs=0.015)
    pixels = asked.pixels(0)
    assert (pixels.reshape(-1, 3).max(0) > 0).sum() == 1  # one channel holds the digit


def test_the_penalty_is_the_squared_slope_of_the_loss():
    """Against the closed form: d/dw CE(w z) = mean of (p - y) . z."""
    output = torch.randn(50, 2, dtype=torch.float64)
    targets = torch.randint(0, 2, (50,))
    error = output.softmax(1) - torch.nn.functional.one_hot(targets, 2)
    slope = (error * output).sum(1).mean()
    assert torch.allclose(lab._penalty(output, targets), slope.square())


def test_setting_the_colour_changes_the_colour_alone():
    batch = Batch(("a",), {"image": torch.rand(1, 3, 4, 4) * torch.tensor([1.0, 0.0, 0.0])[:, None, None]})
    red, green = (lab.painted(batch, red=red).inputs["image"] for red in (True, False))
    assert torch.equal(red, batch.inputs["image"])
    assert torch.equal(green[:, 1], red[:, 0])
    assert not green[:, 0].any()


def test_who_cannot_see_colour_does_not_follow_it_and_who_can_does(report):
    assert report["lab:colour_blind:colour"].value == 0.0
    assert report["lab:erm:colour"].value > 0.5
    assert report["lab:erm:test"].value < 0.5 < report["lab:colour_blind:test"].value
    assert "so no interval" in report["lab:erm:test"].statement
    assert report["lab:erm:test"].low is None


def test_weights_begin_as_published():
    network = lab.Layers(14, 256, blind=False)
    assert sum(weight.numel() for weight in network.parameters()) == 2 * 196 * 256 + 256 + 256 * 256 + 256 + 256 + 1
    task = lab.Invariant(network, Preprocessing((14, 14)), lab.NETWORKS["erm"])
    assert task.question("below five").score(network(torch.zeros(1, 3, 14, 14))).item() == 0.0  # no bias yet


def test_the_command_lists_runs_and_refuses(command):
    assert "colored-mnist" in command("lab").out
    ended = command("lab", "colored-mnist", "--set", "seeds=1", "--set", "scale=tiny", "--json", "--out", "here")
    assert ended.code == 0
    assert {each["id"] for each in json.loads(ended.out)["findings"]} >= {"lab:irm:colour", "lab:erm:train"}
    ended = command("lab", "colored-mnits")
    assert ended.code == 2
    assert "No recipe 'colored_mnits'. Did you mean 'colored_mnist'?" in ended.err
    assert "has no setting 'sedes'. Did you mean 'seeds'?" in command("lab", "colored-mnist", "--set", "sedes=1").err
    assert "it must be the digits 0 to 9" in command("lab", "colored-mnist", "made").err
