"""The one loop learns, can be stopped anywhere, and goes on to the same weights."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from seewhy import data
from seewhy.adapting import HEAD_PENALTY
from seewhy.augmenting import Augmentation
from seewhy.loading import Loader
from seewhy.optimising import scheduled
from seewhy.tasks.classify import Classify
from seewhy.training import Settings, Training, evaluate
from seewhy.types import Preprocessing


def left_or_right(count, seed=0):
    """Images whose bright half names the class."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, 8, 8, 3), dtype=np.uint8)
    labels = ["left" if bit else "right" for bit in generator.integers(0, 2, count)]
    for image, label in zip(images, labels, strict=True):
        image[:, slice(0, 4) if label == "left" else slice(4, 8)] += 120
    return data.open((images, labels))


def small_network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(256, 2),
    )


class ByName(nn.Module):
    """A network that takes its image by name."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, image):
        return self.body(image)


def make_training(settings, *, count=60, memory=10**9, dropout=0.0):
    task = Classify(("left", "right"), Preprocessing((8, 8)))
    train, validation = left_or_right(count), left_or_right(20, seed=1)
    loaders = Loader(train, task, memory=memory), Loader(validation, task, memory=memory)
    return Training(ByName(small_network(dropout)), task, *loaders, settings)


def weights(training):
    return torch.cat([value.flatten().double() for value in training.network.state_dict().values()])


HOW = Settings(epochs=3, batch=16, augmentation=Augmentation(shift=0.1, light=0.1, cover=0.2), seed=4)


def test_it_learns_what_there_is_to_learn():
    training = make_training(Settings(epochs=8, batch=16))
    *_, last = training
    assert last.stage == "validate"
    assert training.best["val_accuracy"] == 1.0
    assert [row["step"] for row in training.history] == [3.0 * epoch for epoch in range(1, 9)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", (0, 1, 2, 3, 4, 8, 11))
def test_stopped_after_any_word_it_goes_on_to_the_same_weights(stop, optimizer):
    how = Settings(epochs=3, batch=16, augmentation=HOW.augmentation, seed=4, optimizer=optimizer, learning_rate=0.01)
    whole = make_training(how, dropout=0.3)
    torch.manual_seed(1)
    for _ in whole:
        pass
    first = make_training(how, dropout=0.3)
    torch.manual_seed(1)
    for _ in itertools.islice(first, stop + 3):  # the first words are about decoding
        pass
    tensors, plain = first.state()
    second = make_training(how, dropout=0.3)
    torch.manual_seed(99)
    second.restore({name: tensor.clone() for name, tensor in tensors.items()}, plain)
    for _ in second:
        pass
    assert torch.equal(weights(whole), weights(second))
    assert whole.history == second.history


def test_the_same_weights_whether_decoded_once_or_each_time():
    kept, streamed = make_training(HOW), make_training(HOW, memory=0)
    for training in (kept, streamed):
        for _ in training:
            pass
    assert torch.equal(weights(kept), weights(streamed))


def test_a_loss_that_is_not_finite_stops_before_the_step_and_says_where():
    training = make_training(HOW)
    steps = (progress for progress in training if progress.stage == "train")
    next(steps)
    with torch.no_grad():
        training.network.body[0].weight[0] = torch.inf
    before = [parameter.detach().clone() for parameter in training.network.parameters()]
    with pytest.raises(FloatingPointError, match=r"stopped before step 2: .*not finite"):
        next(steps)
    after = training.network.parameters()
    assert all(torch.equal(now, then) for now, then in zip(after, before, strict=True))


def test_a_head_that_is_fitted_first_starts_near_its_best_and_moves_nothing_below():
    training = make_training(Settings(epochs=1, batch=16, fine_tune=True, learning_rate=1e-9))
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    for progress in training:
        if progress.stage == "calibrate":
            break
    moved = {name for name, value in training.network.state_dict().items() if not torch.equal(value, before[name])}
    statistics = {f"body.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved == {"body.5.weight", "body.5.bias"} | statistics
    assert evaluate(training.network, training.train, 20, "cpu")[1] == 1.0


def test_the_head_that_is_fitted_first_is_the_one_of_a_slow_twin():
    training = make_training(Settings(epochs=1, batch=16, fine_tune=True))
    network = training.network
    for progress in training:
        if progress.stage == "calibrate":
            break
    network.eval()
    batch = training.train.batch(range(60))
    with torch.no_grad():
        features = network.body[:5](batch.inputs["image"]).double()
    standard = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)
    # sklearn's binary model has one vector of weights where ours has two opposed ones, which halves the penalty
    twin = LogisticRegression(C=2 / (HEAD_PENALTY * 60), tol=1e-8, max_iter=5000).fit(standard, batch.targets)
    ours = network(batch.inputs["image"]).softmax(1)[:, 1].detach().numpy()
    assert np.abs(ours - twin.predict_proba(standard)[:, 1]).max() < 5e-3


def test_minutes_become_steps_without_moving_a_weight():
    training = make_training(Settings(epochs=10_000, batch=16, minutes=0.002))
    before, random = weights(training), torch.get_rng_state()
    for progress in training:
        if progress.stage == "train":
            break
        assert torch.equal(weights(training), before)
    assert torch.equal(random, torch.get_rng_state())
    assert 1 <= training.steps < 30_000


def test_patience_ends_a_training_that_no_longer_gets_better():
    training = make_training(Settings(epochs=50, batch=16, patience=2, learning_rate=1e-12))
    training._stale = 0
    for _ in training:
        pass
    assert training.step < training.steps


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_rates_rise_then_never_rise_again(schedule):
    rates = [scheduled(step / 100, schedule, warm_up=0.1) for step in range(100)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) <= 1
    assert rates[-1] < 0.05 or schedule == "constant"


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match="Training setting batch is 1, which is out of range"):
        Settings(batch=1)
