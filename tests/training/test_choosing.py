"""What is left open is decided from the images; what the user names wins."""

import numpy as np
import pytest

from seewhy import data, networks
from seewhy.settings import Settings
from seewhy.training import augmenting, choosing


def rows(labels=("dark", "light") * 14, colour=False):
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (len(labels), 8, 8, 3 if colour else 1), dtype=np.uint8)
    return data.open((images.repeat(1 if colour else 3, axis=3), list(labels)))


def usual(dataset=None, **settings):
    built = networks.find("resnet_tiny", classes=2)
    return choosing.usual(built, dataset or rows(), Settings(data="arrays", device="cpu", **settings))


def test_what_the_user_names_wins_and_a_cpu_gets_ten_minutes_if_nothing_is_said():
    how = usual(learning_rate=0.5, optimizer="sgd")
    assert (how.learning_rate, how.optimizer, how.minutes) == (0.5, "sgd", 10.0)
    assert usual(epochs=2).minutes is None


def test_pictures_without_colour_are_not_mirrored():
    assert usual().augmentation == augmenting.GREY
    assert usual(rows(colour=True)).augmentation == augmenting.SMALL
    assert usual(rand_augment=5).augmentation == augmenting.Augmentation(shift=0.1, turn=10, zoom=0.1, rand_augment=5)


def test_what_costs_or_changes_much_is_off_unless_it_is_named():
    how = usual()
    assert (how.ema, how.mixup, how.cutmix, how.augmentation.rand_augment) == (0, 0, 0, 0)
    assert (how.accumulate, how.layer_decay, how.grow_from, how.compile, how.precision) == (1, 1, 1, False, "auto")


def test_rare_classes_weigh_more_with_mean_one_over_the_examples():
    labels = ["dark"] * 6 + ["light"] * 2
    dataset = rows(labels)
    weights = choosing.balanced(dataset)
    assert weights == pytest.approx((8 / 12, 2.0))
    assert np.mean([weights[dataset.classes.index(label)] for label in labels]) == pytest.approx(1)
