"""Augmentation changes images a little, the same way for the same example, and nothing else."""

import pytest
import torch

from seewhy.training.augmenting import NONE, Augmentation, augment
from seewhy.types import Batch


def make_batch(count=6, side=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=generator)
    return Batch(tuple(f"{number}" for number in range(count)), {"image": images}, torch.arange(count))


EVERYTHING = Augmentation(flip=True, shift=0.1, turn=20, zoom=0.2, light=0.3, cover=0.25)


def test_an_example_is_changed_the_same_way_in_any_batch():
    batch = make_batch()
    together = augment(batch, EVERYTHING, seed=1, epoch=2).inputs["image"]
    alone = augment(batch.rows([4]), EVERYTHING, seed=1, epoch=2).inputs["image"]
    assert torch.equal(together[4:5], alone)
    assert not torch.equal(together, augment(batch, EVERYTHING, seed=1, epoch=3).inputs["image"])


def test_images_stay_images():
    images = augment(make_batch(), EVERYTHING, seed=0, epoch=0).inputs["image"]
    assert images.shape == (6, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1


def test_nothing_asked_nothing_done():
    batch = make_batch()
    assert augment(batch, NONE, seed=0, epoch=0) is batch


def test_flip_and_shift_alone_move_whole_pixels():
    batch = make_batch(count=40)
    moved = augment(batch, Augmentation(flip=True, shift=0.125), seed=0, epoch=0).inputs["image"]
    for old, new in zip(batch.inputs["image"], moved, strict=True):
        assert torch.isin(new.mul(1e4).round(), old.mul(1e4).round()).float().mean() > 0.99
    flipped = augment(batch, Augmentation(flip=True), seed=0, epoch=0).inputs["image"]
    same = [torch.allclose(new, old, atol=1e-5) for old, new in zip(batch.inputs["image"], flipped, strict=True)]
    mirrored = [
        torch.allclose(new, old.flip(2), atol=1e-5) for old, new in zip(batch.inputs["image"], flipped, strict=True)
    ]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert 8 < sum(mirrored) < 32


def test_a_cover_hides_its_share():
    batch = make_batch()
    covered = augment(batch, Augmentation(cover=0.5), seed=0, epoch=0).inputs["image"]
    assert ((covered != batch.inputs["image"]).any(1).float().mean((1, 2)) == 0.25).all()


def test_a_share_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"Augmentation shift is 3; it must lie between 0 and 1"):
        Augmentation(shift=3)
