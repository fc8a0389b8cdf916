"""Batches of a data set in any order: decoded once where they fit in memory, decoded ahead where they do not.

What a small data set costs most is decoding and resizing, again each epoch. So examples are collated once, their
images kept as bytes (a collated image is made of 256 levels, so nothing is lost), and a batch is a choice of rows.
Threads or worker processes decode; the batches are the same to the bit. Ranks decode their shares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from seewhy.processes import ranks
from seewhy.processes.workers import Room, Workers
from seewhy.types import Batch, Dataset, Progress, Task

#: How many bytes of collated images are kept in memory before batches are decoded anew each epoch.
MEMORY = 2_000_000_000
CHUNK = 64


class Loader:
    """A data set as a task's batches. `prepare` decodes what fits in memory; without it every batch is decoded anew."""

    def __init__(
        self, dataset: Dataset, task: Task, *, memory: int = MEMORY, threads: int | None = None, workers: int = 0
    ) -> None:
        self.dataset = dataset
        self.task = task
        self.threads = threads or os.cpu_count() or 1
        self.workers = workers
        height, width = task.preprocessing.size
        self.fits = len(dataset) * 3 * height * width <= memory
        self._kept: Batch | None = None
        self._pool: Workers | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def prepare(self) -> Iterator[Progress]:
        """Decode and collate everything once, if it fits; tells how far it is. Ranks take turns and tell each other."""
        if not self.fits or not len(self):
            return
        if all(ranks.gathered(self._kept is not None)):  # the first may have prepared it for work of its own
            return
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        own = self._decoded(chunks[ranks.number() :: ranks.count()])
        collated: list[Any] = []
        for place in range(len(chunks)):
            teller = place % ranks.count()
            batch = _owned(next(own)) if teller == ranks.number() else None
            collated.append(ranks.told(batch, teller))
            yield Progress("decode", min(len(collated) * CHUNK, len(self)), len(self))
        self._kept = joined(collated)

    def batch(self, index: Sequence[int]) -> Batch:
        """The examples at these places, collated."""
        if self._kept is not None:
            return _as_floats(self._kept.rows(index))
        return _collated(self.dataset, self.task, index)

    def batches(self, order: Sequence[int], size: int) -> Iterator[Batch]:
        """Batches of `size` in this order; the last may be smaller."""
        return self.each([order[start : start + size] for start in range(0, len(order), size)])

    def each(self, places: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """The batch of each of these lists of places, in order. While one is used the next are being decoded."""
        if self._kept is not None:
            return (self.batch(index) for index in places)
        if self.workers:
            return map(_as_floats, self._decoded(places))
        return _ahead(self.batch, places, self.threads)

    def _decoded(self, places: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Collated, with the images as bytes; those of workers hold until the next is asked for."""
        if not self.workers:
            yield from _ahead(lambda index: _as_bytes(_collated(self.dataset, self.task, index)), places, self.threads)
            return
        if self._pool is None and places:
            height, width = self.task.preprocessing.size
            most = max(map(len, places)) * 3 * height * width
            self._pool = Workers(_Decoding(self.dataset, self.task), self.workers, most, self._named)
        for (batch, shape), room in self._pool.results(places) if self._pool else ():
            yield batch if shape is None else batch.with_inputs(image=torch.from_numpy(room[: prod(shape)]).view(shape))

    def _named(self, places: Sequence[int], part: int) -> str:
        return repr(self.dataset.ids[int(places[part])])


@dataclass(frozen=True)
class _Decoding:
    """What a worker does: images become bytes in the room, if they fit; returns the rest, and their shape."""

    dataset: Dataset
    task: Task

    def __call__(self, places: Sequence[int], room: Room, tell: Callable[[int], None]) -> tuple[Batch, Any]:
        torch.set_num_threads(1)  # one a worker
        examples = []
        for part, place in enumerate(places):
            tell(part)
            examples.append(self.dataset[int(place)])
        batch = _as_bytes(self.task.collate(examples))
        images = batch.inputs["image"]
        if images.numel() > len(room):
            return batch, None
        torch.from_numpy(room[: images.numel()]).view(images.shape).copy_(images)
        return batch.with_inputs(image=None), tuple(images.shape)


def _collated(dataset: Dataset, task: Task, places: Sequence[int]) -> Batch:
    return task.collate([dataset[int(place)] for place in places])


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


def _owned(batch: Batch) -> Batch:
    return batch.with_inputs(image=batch.inputs["image"].clone())


def _as_floats(batch: Batch) -> Batch:
    return replace(batch, inputs={**batch.inputs, "image": batch.inputs["image"].float().div_(255)})


def joined(batches: Sequence[Batch]) -> Batch:
    """Many batches as one."""

    def column(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.cat(list(values))
        return None if values[0] is None else tuple(entry for value in values for entry in value)

    return Batch(
        ids=column([batch.ids for batch in batches]),
        inputs={name: column([batch.inputs[name] for batch in batches]) for name in batches[0].inputs},
        targets=column([batch.targets for batch in batches]),
        tags=column([batch.tags for batch in batches]),
        masks=column(_masks(batches)),
        boxes=column([batch.boxes for batch in batches]),
    )


def _masks(batches: Sequence[Batch]) -> list[Tensor | None]:
    """The masks of each batch; empty ones where only others have any."""
    size = next((batch.masks.shape[1:] for batch in batches if batch.masks is not None), None)
    if size is None:
        return [None] * len(batches)
    nowhere = (torch.zeros(len(batch), *size, dtype=torch.bool) for batch in batches)
    return [empty if batch.masks is None else batch.masks for batch, empty in zip(batches, nowhere, strict=True)]
