"""Changes made to images on purpose: one file a change, which says what it changes and what it keeps.

A member has

    changes, keeps      words for a sentence: "the background", "the object"
    exact               whether it does just what it says; False where it rests on an estimate, such as a guessed mask
    nuisance            perhaps: True where a network that looks at the object ought not to care
    needs               of NEEDS, what its `apply` is to be handed beside the batch
    donors              whose images it borrows from, if it needs donors: "other" or "same" class, or "any"
    strengths           the usual strengths from weak to strong, where there are several
    apply(batch, *, strength, seed, ...) -> Batch
    placebo(batch, *, strength, seed, ...) -> Batch     perhaps: as much of a change where it ought to do nothing

`apply` gets images in [0, 1] on any device and returns such images, a pure function of the batch, the seed and each
example's id: never of its place in the batch. Masks and boxes move along where the change moves things.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seewhy import chance, shelf
from seewhy.types import Batch

#: What a change may be handed: where the object is; examples of the training split, one for each of the batch; the
#: network and its task; the made world that the images come from.
NEEDS = ("masks", "donors", "network", "world")

#: Which arguments of `apply` are no settings of its own.
HANDED = frozenset({"batch", "strength", "seed", "donors", "network", "task", "world"})


@dataclass(frozen=True)
class Change:
    """An intervention as it is carried out: with its strength, its own settings, or as its placebo."""

    name: str
    strength: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    placebo: bool = False

    def __post_init__(self) -> None:
        """Raises KeyError for a change that is not there, ValueError for a setting or a placebo that it has not."""
        module = shelf.load("interventions", self.name)
        known = [name for name in inspect.signature(module.apply).parameters if name not in HANDED]
        for name, _ in self.settings:
            if name not in known:
                there = f"It has: {', '.join(known)}." if known else "It has none."
                near = shelf.nearest(name, known)
                raise ValueError(f"The intervention {self.name!r} has no setting {name!r}. {near}{there}")
        if self.placebo and not hasattr(module, "placebo"):
            raise ValueError(f"The intervention {self.name!r} has no placebo")

    def __str__(self) -> str:
        """The condition that predictions made under it are marked with: "jpeg_compression:3"."""
        own = ",".join(f"{name}={value}" for name, value in self.settings)
        parts = [self.name, *([] if self.strength is None else [f"{self.strength:g}"]), *([own] if own else [])]
        return ("placebo of " if self.placebo else "") + ":".join(parts)

    @property
    def module(self) -> Any:
        """The member of the shelf."""
        return shelf.load("interventions", self.name)

    @property
    def needs(self) -> frozenset[str]:
        """What it is to be handed beside the batch."""
        return frozenset(getattr(self.module, "needs", ()))

    def apply(self, batch: Batch, *, seed: int = 0, **given: Any) -> Batch:
        """The batch as it would be. `given` may hold `donors`, `network` and `task`, `world`; it takes what it needs.

        Raises ValueError where something that it needs is not given.
        """
        work = self.module.placebo if self.placebo else self.module.apply
        takes = inspect.signature(work).parameters
        chosen: dict[str, Any] = {name: value for name, value in self.settings if name in takes}
        if self.strength is not None:
            chosen["strength"] = self.strength
        for name in self.needs - {"masks"}:
            if given.get(name) is None:
                raise ValueError(f"The intervention {self.name!r} needs {name}, and none was given")
        handed = {name: value for name, value in given.items() if name in takes}
        return work(batch, seed=seed, **handed, **chosen)


def pair(
    ids: Sequence[str],
    targets: Sequence[Any],
    pool_ids: Sequence[str],
    pool_targets: Sequence[Any],
    *,
    which: str = "other",
    seed: int = 0,
) -> np.ndarray:
    """For each example the place of its donor in the pool, drawn by its id: of another class, the same one, or any.

    No example is its own donor. One without a label borrows from any; so does one for which no donor of that kind is
    there. Raises ValueError for an empty pool and for a kind that does not exist.
    """
    if which not in ("other", "same", "any"):
        raise ValueError(f"Donors are of the other class, the same, or any, not {which!r}")
    if not len(pool_ids):
        raise ValueError("There is no image to borrow from")
    labels, names = np.array([str(target) for target in pool_targets]), np.array(pool_ids)
    drawn = chance.uniform(chance.keys(list(ids)), seed=seed, stream="donor")[:, 0].numpy()
    everyone = np.arange(len(names))
    of_class = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    of_others = {label: np.flatnonzero(labels != label) for label in {*of_class, *map(str, targets)}}
    found = np.empty(len(ids), dtype=np.int64)
    for row, (id, target, number) in enumerate(zip(ids, targets, drawn, strict=True)):
        there: Mapping[str, np.ndarray] = {"other": of_others, "same": of_class, "any": {}}[which]
        choice = everyone if target is None else there.get(str(target), everyone)
        choice = choice if len(choice) else everyone
        place = min(int(number * len(choice)), len(choice) - 1)
        if names[choice[place]] == id and len(choice) > 1:
            place = (place + 1) % len(choice)
        found[row] = choice[place]
    return found
