"""The tables that audits ask for: one file a table, made from images and a network, or refused with why."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from seewhy import chance
from seewhy.loading import Loader
from seewhy.material.opening import Material
from seewhy.model import Model
from seewhy.settings import Settings
from seewhy.training import choosing
from seewhy.types import Dataset, Need, Progress


class Unavailable(Exception):
    """A table that cannot be made here; its text says why, in the user's words."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is questioned: the images, the network, what happened in training; and `table`, for tables made of others.

    Samples and their decoded images are kept, so that many tables of the same images decode them once.
    """

    settings: Settings
    material: Material
    model: Model
    log: Sequence[Mapping[str, Any]]
    table: Callable[[Need], Generator[Progress, None, Any]]
    _loaders: dict[tuple[str, int | None], Loader] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return choosing.chosen_device(self.settings.device)

    def split(self, name: str) -> Dataset:
        """The rows of a split. Raises Unavailable where there is none."""
        rows = self.material.dataset.split(name)
        if not len(rows):
            raise Unavailable(f"there is no image in the {name} split")
        return rows

    def loader(self, split: str, count: int | None = None) -> Loader:
        """At most `count` rows of a split, drawn by their ids, so that fewer are always among more; None for all.

        `count` is meant for images of up to 64 pixels a side; of larger ones, which cost more, fewer are taken, down to
        a fifth. Raises Unavailable where the split is empty.
        """
        if count is not None:
            height, width = self.model.preprocessing.size
            count = max(min(count, round(count * 64**2 / (height * width))), -(-count // 5))
        key = (split, count)
        if key not in self._loaders:
            rows = self.split(split)
            if count is not None and count < len(rows):
                drawn = chance.order(chance.keys(rows.ids), seed=self.settings.seed, epoch=0)[:count]
                rows = rows.subset(sorted(drawn.tolist()))
            self._loaders[key] = Loader(rows, self.model.task, workers=self.settings.workers)
        return self._loaders[key]
