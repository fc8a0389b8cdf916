"""The tables that audits ask for: each made once, kept under a key that holds all it depends on, or refused with why.

So a second audit of the same model computes nothing, and a change of weights, data, split, seed, threads or code finds
no stale table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seewhy import hooks, shelf
from seewhy.material.opening import Material
from seewhy.model import IN_RUN, Model
from seewhy.model.manifest import MANIFEST
from seewhy.processes import ranks
from seewhy.settings import Settings
from seewhy.storage import cache
from seewhy.storage.cache import Cache
from seewhy.storage.files import fingerprint, sha256
from seewhy.tables import Subject, Unavailable
from seewhy.types import Need, Progress

__all__ = ["Planner", "Unavailable"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a table cost, less the other tables that it asked for: images sent through the whole network, seconds; or
    that it was remembered."""

    table: str
    images: int
    seconds: float
    remembered: bool


@dataclass(eq=False)
class Planner:
    """Makes tables by need. Without a model or images it has only the tables it was given.

    `costs` tells of each table that was made, in order.
    """

    settings: Settings
    cache: Cache
    given: Mapping[Need, Any]
    material: Material | None = None
    model: Model | None = None
    log: Sequence[Mapping[str, Any]] = ()
    costs: list[Cost] = field(default_factory=list)
    _images: int = 0
    _depth: int = 0

    def make(self, need: Need) -> Generator[Progress, None, Any]:
        """The table: given, remembered, or made now. Raises Unavailable with the reason."""
        if need in self.given:
            return self.given[need]
        if need.table not in (known := shelf.members("tables")):
            raise Unavailable(f"no such table: {need}. {shelf.nearest(need.table, known)}")
        subject = self.subject
        if subject is None:
            raise Unavailable("it needs the images and the network; only a table of predictions was given")
        maker = shelf.load("tables", need.table)
        key = self._key(need, subject.material, subject.model)
        keep = not getattr(maker, "cheap", False)
        began, images, earlier = time.perf_counter(), self._images, len(self.costs)
        table = ranks.once(lambda: self.cache.get(key)) if keep else None
        remembered = table is not None
        if not remembered:
            work = maker.make(subject, **dict(need.settings))
            with self._counted(subject.model.network):
                table = yield from work if getattr(maker, "shared", False) else ranks.once_through(work)
            if keep:
                self.cache.put(key, table)
        others = self.costs[earlier:]
        seconds = time.perf_counter() - began - sum(other.seconds for other in others)
        own = self._images - images - sum(other.images for other in others)
        self.costs.append(Cost(str(need), own, seconds, remembered))
        return table

    @contextmanager
    def _counted(self, network: nn.Module) -> Iterator[None]:
        """While it lasts, images are counted that go through the whole network; by one hook, however often entered."""

        def count(module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any], output: Any) -> None:
            self._images += len(hooks.first_tensor(output, "the network"))

        self._depth += 1
        handle = network.register_forward_hook(count, with_kwargs=True) if self._depth == 1 else None
        try:
            yield
        finally:
            self._depth -= 1
            if handle is not None:
                handle.remove()

    @cached_property
    def subject(self) -> Subject | None:
        """What tables are made of; None where there is nothing but given tables."""
        if self.material is None or self.model is None:
            return None
        return Subject(self.settings, self.material, self.model, self.log, self.make)

    def _key(self, need: Need, material: Material, model: Model) -> str:
        asked = [self.settings.seed, self.settings.split_by, torch.get_num_threads()]
        depends = [model.digest, material.digest, *asked, cache.code_version(), *_own_code(need, model)]
        return f"{need.table}-{fingerprint([need.settings, depends])}"


def _own_code(need: Need, model: Model) -> list[str]:
    """Hashes of files that may be the user's own, which no version of ours speaks of: explainers, interventions, the
    network, and peers, of which a manifest holds the hash of the weights."""
    settings = dict(need.settings)
    modules = [shelf.load("explainers", name) for name in settings.get("methods", ())]
    modules += [shelf.load("interventions", name) for name in (settings.get("intervention"),) if name]
    modules += [sys.modules[name] for name in (model.name.partition(":")[0],) if name in sys.modules]
    own = [Path(module.__file__) for module in modules if module.__file__ is not None]
    for peer in map(Path, settings.get("peers", ())):
        own += [place for place in (peer, peer / MANIFEST, peer / IN_RUN / MANIFEST) if place.is_file()]
    return [sha256(path) for path in own]
