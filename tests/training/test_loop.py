"""The one loop learns, can be stopped anywhere, and goes on to the same weights."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from seewhy import data
from seewhy.loading import Loader
from seewhy.tasks.classify import Classify
from seewhy.training import Settings, Training
from seewhy.training.adapting import HEAD_PENALTY
from seewhy.training.augmenting import Augmentation
from seewhy.training.evaluating import evaluate
from seewhy.types import Preprocessing


def left_or_right(count, seed=0):
    """Images whose bright half names the class."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, 8, 8, 3), dtype=np.uint8)
    labels = ["left" if bit else "right" for bit in generator.integers(0, 2, count)]
    for image, label in zip(images, labels, strict=True):
        image[:, slice(0, 4) if label == "left" else slice(4, 8)] += 120
    return data.open((images, labels))


def small_network(dropout=0.0, pool=None):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten() if pool is None else nn.Sequential(nn.AdaptiveAvgPool2d(pool), nn.Flatten()),
        nn.Dropout(dropout),
        nn.Linear(4 * (pool or 8) ** 2, 2),
    )


class ByName(nn.Module):
    """A network that takes its image by name."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, image):
        return self.body(image)


def make_training(settings, *, count=60, memory=10**9, dropout=0.0, network=None, **how):
    task = Classify(("left", "right"), Preprocessing((8, 8)), **how)
    train, validation = left_or_right(count), left_or_right(20, seed=1)
    loaders = Loader(train, task, memory=memory), Loader(validation, task, memory=memory)
    return Training(ByName(network or small_network(dropout)), task, *loaders, settings)


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


def finished(training):
    for _ in training:
        pass
    return training


EVERYTHING = Settings(
    epochs=3,
    batch=20,
    accumulate=3,
    ema=0.9,
    mixup=0.4,
    cutmix=1.0,
    grow_from=0.5,
    layer_decay=0.7,
    augmentation=Augmentation(flip=True, shift=0.1, turn=5, rand_augment=7),
    seed=5,
)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("stop", [4, 6])
def test_with_everything_on_it_goes_on_in_the_middle_of_an_epoch_to_the_same_weights(stop, precision):
    def begin(seed):
        training = make_training(replace(EVERYTHING, precision=precision), network=small_network(0.2, pool=2))
        torch.manual_seed(seed)
        return training

    whole = finished(begin(1))
    first = begin(1)
    for progress in first:
        if progress.stage == "train" and progress.done == stop:
            break
    tensors, plain = first.state()
    second = begin(99)
    second.restore({name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(plain)))
    finished(second)
    assert torch.equal(weights(whole), weights(second))
    assert torch.equal(weights(whole.rehearsal()), weights(second.rehearsal()))
    assert whole.history == second.history
    assert whole._arithmetic.state() == second._arithmetic.state()


def one_step(settings, **how):
    """The weights after one step without normalisation, whose rate is large enough to show any difference."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).double()
    training = make_training(replace(settings, steps=1, batch=22), network=AsDouble(plain), **how)
    return weights(finished(training))


class AsDouble(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, image):
        return self.body(image.double())


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        (Settings(optimizer="sgd", learning_rate=1.0), {}),
        (Settings(optimizer="sgd", learning_rate=1.0), {"class_weights": (0.3, 1.9), "label_smoothing": 0.1}),
        (Settings(optimizer="sgd", learning_rate=1.0, mixup=1.0, augmentation=HOW.augmentation), {}),
        (Settings(optimizer="sgd", learning_rate=1.0, cutmix=1.0, clip=0.01), {}),
    ],
    ids=["plain", "class weights", "mixup", "cutmix and clip"],
)
@pytest.mark.parametrize("pieces", [3, 100])
def test_a_batch_in_pieces_gives_the_gradient_of_the_whole(settings, how, pieces):
    whole, cut = one_step(settings, **how), one_step(replace(settings, accumulate=pieces), **how)
    assert (whole - cut).abs().max() < 1e-6
    assert (whole - one_step(replace(settings, learning_rate=1e-9), **how)).abs().max() > 1e-3


def test_the_average_is_what_is_validated_and_kept():
    training = make_training(Settings(epochs=2, batch=16, ema=0.5, learning_rate=0.01))
    kept, mine = {}, None
    for progress in training:
        if progress.stage == "train":
            share = min(0.5, (progress.done - 1) / (progress.done + 9))
            now = nn.utils.parameters_to_vector(training.network.parameters()).detach()
            mine = now if mine is None else share * mine + (1 - share) * now
        elif progress.stage == "validate":
            ours = nn.utils.parameters_to_vector(training.judged.parameters())
            assert torch.allclose(ours, mine, atol=1e-6)
            assert progress.numbers["val_loss"] == evaluate(training.judged, training.validation, 16, "cpu")[0]
            assert progress.numbers["val_loss"] != evaluate(training.network, training.validation, 16, "cpu")[0]
            kept[progress.done] = ours.clone()
    best = nn.utils.parameters_to_vector(training.network.parameters())
    assert torch.equal(best, kept[int(training.best["step"])])


def test_a_mixed_image_has_no_one_right_answer_so_no_training_accuracy_is_told():
    training = make_training(replace(EVERYTHING, grow_from=1.0))
    rows = [progress.numbers for progress in training if progress.stage in ("train", "validate")]
    assert not any("accuracy" in row for row in rows)
    assert all("val_accuracy" in row for row in training.history)


def test_growing_images_reach_their_full_size_and_the_last_quarter_of_the_steps_has_it():
    training = make_training(Settings(steps=8, batch=16, grow_from=0.5), network=small_network(pool=2))
    sides = []
    training.network.register_forward_pre_hook(
        lambda module, arguments, named: sides.append(named["image"].shape[-1]) if module.training else None,
        with_kwargs=True,
    )
    finished(training)
    assert sides == [4, 4, 6, 6, 6, 6, 8, 8]


def test_a_network_that_takes_one_size_alone_says_so_before_the_first_step():
    training = make_training(Settings(steps=8, batch=16, grow_from=0.5))
    with pytest.raises(ValueError, match="takes no images of 4 x 4 pixels, so they cannot grow"):
        finished(training)
    assert training.step == 0


def test_fp16_skips_a_step_whose_scaled_gradients_overflow_and_goes_on_with_half_the_scale():
    training = make_training(Settings(steps=6, batch=16, precision="fp16"))
    training._arithmetic.restore({**training._arithmetic.state(), "scale": 2.0**40})
    before = [parameter.detach().clone() for parameter in training.network.parameters()]
    steps = (progress for progress in training if progress.stage == "train")
    next(steps)
    after = [parameter.detach().clone() for parameter in training.network.parameters()]
    assert all(torch.equal(now, then) for now, then in zip(after, before, strict=True))
    assert training._arithmetic.state()["scale"] == 2.0**39


def test_fp16_with_a_loss_that_is_not_finite_is_no_matter_of_the_scale():
    training = make_training(Settings(steps=6, batch=16, precision="fp16"))
    with torch.no_grad():
        training.network.body[5].weight[0] = torch.inf
    with pytest.raises(FloatingPointError, match="stopped before step 1"):
        finished(training)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_that_overflow_in_a_step_are_neither_validated_nor_kept(accumulate):
    training = make_training(Settings(steps=6, batch=16, accumulate=accumulate))
    steps = (progress for progress in training if progress.stage == "train")
    next(steps)
    with torch.no_grad():
        training.network.body[5].bias[0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"stopped after step 1: 'body.5.bias' is no longer finite. A lower"):
        training.state()
    with pytest.raises(FloatingPointError, match=r"stopped before step 2"):
        next(steps)


def test_the_last_step_cannot_leave_weights_that_are_not_finite():
    training = make_training(Settings(steps=1, batch=16))
    work = iter(training)
    for progress in work:
        if progress.stage == "train":
            with torch.no_grad():
                training.network.body[0].weight[0] = torch.inf
            break
    with pytest.raises(FloatingPointError, match=r"'body.0.weight' is no longer finite"):
        next(work)


def test_bf16_learns_as_fp32_does():
    for precision in ("fp32", "bf16"):
        training = finished(make_training(Settings(epochs=8, batch=16, precision=precision)))
        assert training.best["val_accuracy"] == 1.0
        assert {value.dtype for value in training.network.parameters()} == {torch.float32}


def test_without_a_compiler_it_trains_all_the_same_and_says_so(monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("No working C++ compiler found\n\nand more")

    monkeypatch.setattr(torch, "compile", refuse)
    training = finished(make_training(Settings(steps=3, batch=16, compile=True)))
    assert training.notes == ["Training is not compiled: No working C++ compiler found"]
    assert torch.equal(weights(training), weights(finished(make_training(Settings(steps=3, batch=16)))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_training_learns_the_same():
    how = Settings(steps=4, batch=16, optimizer="sgd", learning_rate=0.01)
    plain, quick = (finished(make_training(replace(how, compile=on))) for on in (False, True))
    assert not quick.notes
    assert torch.allclose(weights(plain), weights(quick), atol=1e-4)


MANY_EPOCHS = """
import gc
from pathlib import Path
import numpy as np, torch
from torch import nn
from seewhy import data
from seewhy.loading import Loader
from seewhy.tasks.classify import Classify
from seewhy.training import Settings, Training
from seewhy.types import Preprocessing

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    def forward(self, image):
        return self.body(image)

torch.set_num_threads(1)
task = Classify(("a", "b"), Preprocessing((8, 8)))
images = np.random.default_rng(0).integers(0, 255, (32, 8, 8, 3), dtype=np.uint8)
loader = Loader(data.open((images, ["a", "b"] * 16)), task)
training = Training(Small(), task, loader, loader, Settings(epochs=110, batch=16, ema=0.9, mixup=0.2, cutmix=1.0))
for progress in training:
    if progress.stage == "validate" and len(training.history) in (30, 110):
        gc.collect()
        tensors = [entry for entry in gc.get_objects() if issubclass(type(entry), torch.Tensor)]
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(len(tensors), sum(entry.nbytes for entry in tensors), pages * 4096)
        del tensors
"""


def test_what_a_training_holds_does_not_grow_with_its_epochs():
    """In a process of its own: what watches over types in tests holds on to what it saw."""
    done = subprocess.run([sys.executable, "-c", MANY_EPOCHS], capture_output=True, text=True, check=True)
    early, late = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert late[:2] == early[:2]
    assert late[2] - early[2] < 8_000_000  # bytes


def test_patience_ends_a_training_that_no_longer_gets_better():
    training = make_training(Settings(epochs=50, batch=16, patience=2, learning_rate=1e-12))
    training._stale = 0
    for _ in training:
        pass
    assert training.step < training.steps


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match="Training setting batch is 1, which is out of range"):
        Settings(batch=1)
