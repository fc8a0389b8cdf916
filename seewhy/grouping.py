"""Which group does each row belong to, by the values of a tag?

Words as they are; numbers of more than a few values cut at their quarters; rows without a value are a group of their
own, for not to know may matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

#: The name of the group of rows that have no value.
MISSING = "(missing)"
#: So many different numbers are taken as words.
FEW_NUMBERS = 6
QUARTERS = 4


class Groups(NamedTuple):
    """Names in order of value, the missing last; and each row's place among them."""

    names: tuple[str, ...]
    place: Int[np.ndarray, " rows"]


def grouped(values: Shaped[np.ndarray, " rows"]) -> Groups:
    """The groups of a column as `Predictions` gives it: objects for words, float64 with NaN for numbers."""
    missing = np.array([value is None or value != value for value in values], dtype=bool)  # NaN differs from itself
    known = values[~missing]
    if values.dtype == object:
        found, place = np.unique(known.astype(str), return_inverse=True)
        names = [str(name) for name in found]
    elif len(found := np.unique(known)) <= FEW_NUMBERS:
        place, names = np.searchsorted(found, known), [f"{value:.6g}" for value in found]
    else:
        edges = np.unique(np.quantile(known, np.arange(1, QUARTERS) / QUARTERS))
        place = np.unique(np.searchsorted(edges, known, side="right"), return_inverse=True)[1]
        parts = [known[place == each] for each in range(int(place.max()) + 1)]
        names = [f"{part.min():.6g} to {part.max():.6g}" for part in parts]
    names += [MISSING] if missing.any() else []
    unique = {name: number for number, name in enumerate(dict.fromkeys(names))}  # two numbers may read alike
    whole = np.full(len(values), len(names) - 1)
    whole[~missing] = place
    return Groups(tuple(unique), np.array([unique[name] for name in names], dtype=np.int64)[whole])
