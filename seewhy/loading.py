"""Batches of a data set in any order: decoded once where they fit in memory, decoded ahead where they do not.

What a small data set costs most is decoding and resizing, again each epoch. So examples are collated once, their
images kept as bytes (a collated image is made of 256 levels, so nothing is lost), and a batch is a choice of rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seewhy.types import Batch, Dataset, Progress, Task

#: How many bytes of collated images are kept in memory before batches are decoded anew each epoch.
MEMORY = 2_000_000_000
CHUNK = 64


class Loader:
    """A data set as a task's batches. `prepare` decodes what fits in memory; without it every batch is decoded anew."""

    def __init__(self, dataset: Dataset, task: Task, *, memory: int = MEMORY, threads: int | None = None) -> None:
        self.dataset = dataset
        self.task = task
        self.threads = threads or os.cpu_count() or 1
        height, width = task.preprocessing.size
        self.fits = len(dataset) * 3 * height * width <= memory
        self._kept: Batch | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def prepare(self) -> Iterator[Progress]:
        """Decode and collate everything once, if it fits; tells how far it is."""
        if not self.fits or self._kept is not None or not len(self):
            return
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        collated: list[Batch] = []
        for batch in _ahead(lambda index: _as_bytes(self._collate(index)), chunks, self.threads):
            collated.append(batch)
            yield Progress("decode", min(len(collated) * CHUNK, len(self)), len(self))
        self._kept = _joined(collated)

    def batch(self, index: Sequence[int]) -> Batch:
        """The examples at these places, collated."""
        if self._kept is not None:
            return _as_floats(self._kept.rows(index))
        return self._collate(index)

    def batches(self, order: Sequence[int], size: int) -> Iterator[Batch]:
        """Batches of `size` in this order; the last may be smaller. While one is used the next are being decoded."""
        places = [order[start : start + size] for start in range(0, len(order), size)]
        if self._kept is not None:
            yield from (self.batch(index) for index in places)
        else:
            yield from _ahead(self.batch, places, self.threads)

    def _collate(self, index: Sequence[int]) -> Batch:
        return self.task.collate([self.dataset[int(place)] for place in index])


def _ahead(work: Callable[[Any], Any], items: Sequence[Any], threads: int) -> Iterator[Any]:
    """`work` on each item, in order, a few ahead of the consumer. Decoding releases the interpreter's lock."""
    with ThreadPoolExecutor(threads) as pool:
        running: list[Future[Any]] = []
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > threads:
                    yield running.pop(0).result()
            while running:
                yield running.pop(0).result()
        finally:
            for future in running:
                future.cancel()


def _as_bytes(batch: Batch) -> Batch:
    return replace(batch, inputs={**batch.inputs, "image": batch.inputs["image"].mul(255).round_().to(torch.uint8)})


def _as_floats(batch: Batch) -> Batch:
    return replace(batch, inputs={**batch.inputs, "image": batch.inputs["image"].float().div_(255)})


def _joined(batches: Sequence[Batch]) -> Batch:
    """Many batches as one."""

    def joined(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.cat(list(values))
        return None if values[0] is None else tuple(entry for value in values for entry in value)

    return Batch(
        ids=joined([batch.ids for batch in batches]),
        inputs={name: joined([batch.inputs[name] for batch in batches]) for name in batches[0].inputs},
        targets=joined([batch.targets for batch in batches]),
        tags=joined([batch.tags for batch in batches]),
        masks=joined([batch.masks for batch in batches]),
        boxes=joined([batch.boxes for batch in batches]),
    )
