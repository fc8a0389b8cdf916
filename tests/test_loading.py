"""Batches are the same however they are made, in the order asked for."""

import numpy as np
import pytest
import torch

from seewhy import data
from seewhy.loading import Loader
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing


def make_loader(memory, count=50, size=(8, 8), workers=0):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 9, 12, 3), dtype=np.uint8)
    labels = [f"class {number % 3}" for number in range(count)]
    dataset = data.open((images, labels))
    return Loader(dataset, Classify(dataset.classes, Preprocessing(size)), memory=memory, threads=2, workers=workers)


def test_kept_and_streamed_batches_are_equal():
    kept, streamed = make_loader(10**9), make_loader(0)
    assert [progress.done for progress in kept.prepare()][-1] == 50
    assert list(streamed.prepare()) == []
    order = [*range(49, -1, -3), 0, 0]
    for first, second in zip(kept.batches(order, 4), streamed.batches(order, 4), strict=True):
        assert first.ids == second.ids
        assert torch.equal(first.targets, second.targets)
        assert torch.equal(first.inputs["image"], second.inputs["image"])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("memory", [0, 10**9])
def test_worker_processes_make_the_batches_that_threads_make(memory, workers):
    ours, theirs = make_loader(0), make_loader(memory, workers=workers)
    list(theirs.prepare())
    order = [*range(49, -1, -3), 0, 0]
    for size in (4, 9):  # the second is larger than the rooms made for the first
        for first, second in zip(ours.batches(order, size), theirs.batches(order, size), strict=True):
            assert first.ids == second.ids
            assert first.tags == second.tags
            assert torch.equal(first.targets, second.targets)
            assert torch.equal(first.inputs["image"], second.inputs["image"])


def test_a_worker_that_is_killed_loses_no_batch_and_the_image_in_hand_is_named():
    ours, theirs = make_loader(0), make_loader(0, workers=1)
    order = range(50)
    batches = theirs.batches(order, 5)
    next(batches)
    theirs._pool._workers[0].process.kill()
    with pytest.warns(RuntimeWarning, match=r"killed by SIGKILL .* with '\d+' in hand"):
        rest = list(batches)
    for first, second in zip(list(ours.batches(order, 5))[1:], rest, strict=True):
        assert torch.equal(first.inputs["image"], second.inputs["image"])


@pytest.mark.parametrize("memory", [0, 10**9])
def test_rows_come_in_the_order_asked_for_and_the_last_batch_may_be_smaller(memory):
    loader = make_loader(memory)
    list(loader.prepare())
    batches = list(loader.batches([5, 3, 9, 1, 7], 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [id for batch in batches for id in batch.ids] == [loader.dataset.ids[place] for place in (5, 3, 9, 1, 7)]


def test_a_row_that_cannot_be_decoded_ends_the_batch_with_its_name():
    loader = make_loader(0)

    class Broken:
        def pixels(self, row):
            raise ValueError("cat.jpg ends early")

        def mask(self, row):
            return None

        def content(self, row):
            return b""

    object.__setattr__(loader.dataset, "source", Broken())
    with pytest.raises(ValueError, match=r"cat\.jpg ends early"):
        list(loader.batches(range(10), 5))


def test_an_empty_data_set_gives_no_batch():
    loader = make_loader(10**9, count=3)
    empty = Loader(loader.dataset.subset([]), loader.task)
    assert list(empty.prepare()) == []
    assert list(empty.batches([], 4)) == []
