"""The search for a learning rate finds a planted one and leaves no trace."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from seewhy import data
from seewhy.loading import Loader
from seewhy.tasks.classify import Classify
from seewhy.training import Settings, Training
from seewhy.training.augmenting import Augmentation
from seewhy.training.rate_finder import find, steepest
from seewhy.types import Preprocessing


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(288, 2)
        )

    def forward(self, image):
        return self.body(image)


def make_training(**settings):
    random = np.random.default_rng(0)
    labels = ["a", "b"] * 20
    images = np.stack([random.integers(0, 128, (8, 8, 3)) + 120 * (label == "b") for label in labels]).astype(np.uint8)
    task = Classify(("a", "b"), Preprocessing((8, 8)))
    loader = Loader(data.open((images, labels)), task)
    how = Settings(**{"steps": 6, "batch": 8, "augmentation": Augmentation(flip=True, rand_augment=3), **settings})
    return Training(Network(), task, loader, loader, how)


def finished(work):
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def everything(training):
    """A hash of all that could carry a trace."""
    tensors, plain = training.state()
    digest = hashlib.sha256(repr(sorted(plain.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    modules = [(name, module.training, len(module._forward_hooks)) for name, module in training.network.named_modules()]
    parameters = [(name, entry.requires_grad, entry.grad) for name, entry in training.network.named_parameters()]
    groups = [
        {name: value for name, value in group.items() if name != "params"} for group in training.optimizer.param_groups
    ]
    kept = training.train._kept
    loaded = None if kept is None else hashlib.sha256(kept.inputs["image"].numpy().tobytes()).hexdigest()
    said = (modules, [entry[:2] for entry in parameters], groups, loaded, training.settings, training.step)
    digest.update(repr(said).encode() + b"".join(grad.numpy().tobytes() for *_, grad in parameters if grad is not None))
    return digest.hexdigest()


@pytest.mark.parametrize("settings", [{}, {"fine_tune": True}, {"precision": "fp16", "ema": 0.9, "mixup": 0.4}])
@pytest.mark.parametrize("stop", [0, 5])
def test_it_leaves_no_trace(settings, stop):
    training = make_training(**settings)
    for progress in itertools.islice(training, None):
        if progress.stage == "calibrate" and not stop:
            break
        if progress.stage == "train" and progress.done == stop:
            break
    before, drawn = everything(training), torch.get_rng_state()
    curve = finished(find(training, steps=30))
    assert everything(training) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert len(curve.rates) == len(curve.losses) > 10


def test_half_a_search_leaves_no_trace_either():
    training = make_training()
    list(itertools.islice(training, 3))
    before = everything(training)
    work = find(training)
    for _ in range(5):
        next(work)
    work.close()
    assert everything(training) == before


def test_the_same_search_finds_the_same_rate_between_the_lowest_and_the_one_that_breaks():
    first, second = (finished(find(make_training(optimizer="sgd"), steps=60)) for _ in range(2))
    assert first == second
    assert first.rates[0] < first.suggested < first.rates[first.losses.index(min(first.losses))]
    assert first.losses[-1] > min(first.losses)


def test_the_rate_is_where_a_planted_loss_falls_fastest():
    rates = [10 ** (place / 10) for place in range(-60, 10)]
    losses = [2 - 1.5 / (1 + np.exp(-4 * (np.log10(rate) + 2))) + max(0.0, np.log10(rate) + 0.5) * 3 for rate in rates]
    assert steepest(rates, losses) == pytest.approx(1e-2, rel=0.3)


def test_a_loss_that_never_falls_gives_the_lowest_rate():
    assert steepest([1e-6, 1e-5, 1e-4], [1.0, 2.0, 3.0]) == 1e-6


def test_a_network_that_is_broken_already_is_said_to_be():
    training = make_training()
    with torch.no_grad():
        training.network.body[0].weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        finished(find(training))
