"""Mixtures are what their papers say, and follow from seed, step and ids alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from seewhy.tasks.classify import Classify
from seewhy.training.mixing import mix
from seewhy.types import Batch, Preprocessing


def make_batch(count=6, side=16):
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(tuple(map(str, range(count))), {"image": images}, torch.arange(count) % 3)


def test_the_objective_is_that_of_the_mixed_target():
    task = Classify(("a", "b", "c"), Preprocessing((16, 16)), label_smoothing=0.1)
    batch, output = make_batch(), torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    mixture = mix(batch, mixup=1.0, cutmix=0.0, seed=0, epoch=0, step=3)
    one_hot = functional.one_hot(batch.targets, 3).float()
    soft = mixture.share * one_hot + (1 - mixture.share) * one_hot[[1, 0, 3, 2, 5, 4]]
    wanted = functional.cross_entropy(output, soft, label_smoothing=0.1)
    assert mixture.objective(task, output) == pytest.approx(wanted.item(), abs=1e-6)
    assert 0.05 < mixture.share < 0.95


def test_mixup_blends_neighbours():
    batch = make_batch()
    mixture = mix(batch, mixup=1.0, cutmix=0.0, seed=0, epoch=0, step=3)
    old, share = batch.inputs["image"], mixture.share
    assert torch.allclose(mixture.batch.inputs["image"][2], share * old[2] + (1 - share) * old[3], atol=1e-6)
    assert mixture.partners.ids == ("1", "0", "3", "2", "5", "4")


@pytest.mark.parametrize("step", range(5))
def test_cutmix_takes_exactly_its_share_from_the_neighbour_as_one_box(step):
    batch = make_batch()
    mixture = mix(batch, mixup=0.0, cutmix=1.0, seed=0, epoch=0, step=step)
    old, new = batch.inputs["image"], mixture.batch.inputs["image"]
    theirs = (new == mixture.partners.inputs["image"]).all(1)
    ours = (new == old).all(1)
    assert (theirs ^ ours).all()
    for image in theirs:
        assert image.float().mean().item() == pytest.approx(1 - mixture.share)
        rows, columns = image.nonzero().unbind(1)
        if len(rows):
            assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)


@pytest.mark.parametrize("kind", [{"mixup": 0.4, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}])
def test_even_pieces_of_a_batch_are_mixed_as_the_whole(kind):
    batch = make_batch()
    whole = mix(batch, **kind, seed=1, epoch=2, step=9)
    pieces = [mix(batch.rows(places), **kind, seed=1, epoch=2, step=9) for places in ([0, 1, 2, 3], [4, 5])]
    images = torch.cat([piece.batch.inputs["image"] for piece in pieces])
    assert torch.equal(images, whole.batch.inputs["image"])
    assert {piece.share for piece in pieces} == {whole.share}


def test_the_odd_one_out_keeps_itself():
    batch = make_batch(5)
    mixture = mix(batch, mixup=1.0, cutmix=0.0, seed=0, epoch=0, step=0)
    assert torch.allclose(mixture.batch.inputs["image"][4], batch.inputs["image"][4], atol=1e-6)


def test_shares_are_drawn_from_beta_and_a_coin_decides_between_the_two_kinds():
    batch = make_batch(2, side=4)
    shares = [mix(batch, mixup=0.5, cutmix=0.0, seed=0, epoch=0, step=step).share for step in range(400)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / 8, abs=0.02)  # of Beta(a, a): 1 / (4 (2 a + 1))
    mixed = [mix(batch, mixup=0.5, cutmix=0.5, seed=0, epoch=0, step=step) for step in range(60)]
    values = torch.cat([batch.inputs["image"], batch.inputs["image"].flip(0)])
    cut = [bool(torch.isin(mixture.batch.inputs["image"], values).all()) for mixture in mixed]
    assert 15 < sum(cut) < 45


def test_nothing_asked_nothing_done():
    batch = make_batch()
    mixture = mix(batch, mixup=0.0, cutmix=0.0, seed=0, epoch=0, step=0)
    assert mixture.batch is batch
    assert mixture.partners is None
