"""Which group does each row belong to, by the values of a tag, or of several?

Words as they are; numbers of more than a few values cut at their quarters; rows without a value are a group of their
own, for not to know may matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Shaped

from seewhy.shelf import nearest
from seewhy.types import Predictions

#: The name of the group of rows that have no value.
MISSING = "(missing)"
#: So many different numbers are taken as words.
FEW_NUMBERS = 6
QUARTERS = 4
#: More different values than this are no groups.
MOST_GROUPS = 20


class Groups(NamedTuple):
    """Names in order of value, the missing last; and each row's place among them."""

    names: tuple[str, ...]
    place: Int[np.ndarray, " rows"]

    @property
    def sizes(self) -> Int[np.ndarray, " groups"]:
        """How many rows each has."""
        return np.bincount(self.place, minlength=len(self.names))


def grouped(values: Shaped[np.ndarray, " rows"]) -> Groups:
    """The groups of a column as `Predictions` gives it: objects for words, float64 with NaN for numbers."""
    if values.dtype == object:
        names, place = _words(values)
        missing = place < 0
        place = place[~missing]
    elif len(found := np.unique(known := values[~(missing := np.isnan(values))])) <= FEW_NUMBERS:
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


def check(tags: Sequence[str], predictions: Predictions) -> None:
    """Raises ValueError for a tag that is not there."""
    for tag in tags:
        if tag not in predictions.tags:
            there = f"There are: {', '.join(predictions.tags)}." if predictions.tags else "There are none."
            raise ValueError(f"The predictions have no tag {tag!r}. {nearest(tag, predictions.tags)}{there}")


def by(predictions: Predictions, tag: str, rows: Int[np.ndarray, " rows"]) -> Groups | None:
    """The groups of these rows by a tag; None where there is but one, or more than twenty besides the missing."""
    groups = grouped(predictions[f"tag:{tag}"][rows])
    return groups if 2 <= len(groups.names) <= MOST_GROUPS + (MISSING in groups.names) else None


def crossed(groups: Mapping[str, Groups]) -> Groups:
    """The groups in which those of several tags meet, named "sex f, age 0 to 24"; only those that have a row."""
    whole = np.zeros(1, dtype=np.int64)
    for each in groups.values():
        whole = whole * len(each.names) + each.place
    cells, place = np.unique(whole, return_inverse=True)
    shape = tuple(len(each.names) for each in groups.values())
    names = [
        ", ".join(f"{tag} {each.names[here]}" for (tag, each), here in zip(groups.items(), where, strict=True))
        for where in zip(*(axis.tolist() for axis in np.unravel_index(cells, shape)), strict=True)
    ]
    return Groups(tuple(names), place)


def units(predictions: Predictions, tag: str | None, rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"] | None:
    """Which of these rows belong together, as numbers; a row without a value stands alone. None without a tag."""
    if tag is None:
        return None
    check((tag,), predictions)
    values = predictions[f"tag:{tag}"][rows]
    if values.dtype == object:
        place = _words(values)[1]
    else:
        place = np.unique(values, return_inverse=True)[1]
        place = np.where(np.isnan(values), -1, place)
    alone = int(place.max(initial=-1)) + 1 + np.arange(len(place))
    return np.unique(np.where(place < 0, alone, place), return_inverse=True)[1]


def _words(values: Shaped[np.ndarray, " rows"]) -> tuple[list[str], Int[np.ndarray, " rows"]]:
    """The words in order, and each row's place among them, -1 where it has no value."""
    try:
        encoded = pa.array(values, from_pandas=True).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a mixture
        texts = [None if value is None or value != value else str(value) for value in values]  # NaN differs from itself
        encoded = pa.array(texts, pa.string()).dictionary_encode()
    said = [str(value) for value in encoded.dictionary.to_pylist()]
    words = sorted(set(said))
    places = {word: place for place, word in enumerate(words)}
    to_place = np.array([*(places[word] for word in said), -1])  # the last is for rows without a value
    return words, to_place[encoded.indices.fill_null(len(said)).to_numpy(zero_copy_only=False)]
