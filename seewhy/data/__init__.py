"""Data: one file a kind of source, and one way to open any of them.

    open("photos/")                    a sub-folder a class, a table, Parquet or idx files: whatever is there
    open("digits")                     real images that come along
    open("made:background=0.9")        made ones, of which the whole truth is known
    open((images, labels))             arrays or tensors
    joined(open("photos/"), open("other/"))     the second one to test on

A file here has `recognises(location) -> bool`, which looks and opens nothing large, and `open(location, *, ...) ->
Dataset`. Where two recognise the same place the folder of images yields; between others the user decides.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from seewhy import shelf
from seewhy.types import Dataset, Problem, Source

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
#: Recognises every folder, so any other kind that recognises one knows better.
GENERAL = "folder"


def open(location: Any, *, label: str | None = None, allow_outside: bool = False) -> Dataset:
    """The data set at a path, under a built-in name, or in arrays; a Dataset comes back as it is.

    `label` names the column of a table that holds the label, `allow_outside` lets a table name files outside its
    folder. Raises FileNotFoundError or ValueError that say what was found and what was expected.
    """
    if isinstance(location, Dataset):
        return location
    kind = _kind(location)
    settings: dict[str, Any] = {"label": label} if label is not None else {}
    settings |= {"allow_outside": True} if allow_outside else {}
    known = {setting.name for setting in shelf.members("data")[kind].settings}
    if label is not None and "label" not in known:
        raise ValueError(f"{location} is read as {kind}, which has no columns, so no column {label!r} for the label")
    return shelf.load("data", kind).open(location, **{name: settings[name] for name in settings.keys() & known})


def joined(dataset: Dataset, test: Dataset) -> Dataset:
    """One data set whose test split is `test`, all of it; what the first had for testing is left out.

    Classes are matched by name. Raises ValueError where the second has one that the first has not.
    """
    unknown = [name for name in test.classes if name not in dataset.classes and name in test.targets]
    if unknown:
        raise ValueError(
            f"{test.name} has the class {unknown[0]!r}, which {dataset.name} has not. {dataset.name}: "
            f"{', '.join(dataset.classes)}. {test.name}: {', '.join(test.classes)}."
        )
    problems = [*dataset.problems, *test.problems]
    if "test" in dataset.splits:
        kept = [row for row, split in enumerate(dataset.splits) if split != "test"]
        what = f"its own test split, {len(dataset) - len(kept)} images, is left out, for {test.name} is to test on"
        problems.append(Problem("replaced-test", dataset.name, what))
        dataset = dataset.subset(kept)
    taken = set(dataset.ids)
    clash = any(id in taken for id in test.ids)
    ids = tuple(f"test:{id}" if clash else id for id in test.ids)
    tags = {
        name: (*(_column(dataset, name)), *(_column(test, name))) for name in dict.fromkeys((*dataset.tags, *test.tags))
    }
    boxes = (
        (*(dataset.boxes or (None,) * len(dataset)), *(test.boxes or (None,) * len(test)))
        if dataset.boxes or test.boxes
        else ()
    )
    return replace(
        dataset,
        source=Joined(
            (dataset.source, test.source), (len(dataset), len(test)), tuple(map(int, (*dataset.rows, *test.rows)))
        ),
        ids=(*dataset.ids, *ids),
        targets=(*dataset.targets, *test.targets),
        rows=np.arange(len(dataset) + len(test)),
        tags=tags,
        splits=(*(dataset.splits or (None,) * len(dataset)), *("test",) * len(test)),
        boxes=boxes,
        problems=tuple(problems),
    )


@dataclass(frozen=True, eq=False)
class Joined:
    """Rows of several sources, one after the other; `rows` are their places in their own source."""

    sources: tuple[Source, ...]
    counts: tuple[int, ...]
    rows: tuple[int, ...]

    def content(self, row: int) -> bytes:
        return self._source(row).content(self.rows[row])

    def file_name(self, row: int) -> str | None:
        named = getattr(self._source(row), "file_name", None)
        return None if named is None else named(self.rows[row])

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._source(row).pixels(self.rows[row])

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return self._source(row).mask(self.rows[row])

    def _source(self, row: int) -> Source:
        return self.sources[bisect_right(list(accumulate(self.counts)), row)]


def _column(dataset: Dataset, tag: str) -> Sequence[Any]:
    return dataset.tags.get(tag) or (None,) * len(dataset)


def _kind(location: Any) -> str:
    """The member that reads what is there."""
    if isinstance(location, str) and _ADDRESS.match(location):
        raise ValueError(f"{location} is an address. Nothing is fetched: download it and name the file or folder.")
    if location == "":
        raise ValueError("The data are named by an empty text. Expected a folder, a file, or the word 'digits'.")
    names = [name for name in shelf.members("data") if shelf.load("data", name).recognises(location)]
    if len(names) > 1:
        names = [name for name in names if name != GENERAL]
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(f"{location} could be read as {' or as '.join(names)}. Name the file that is meant.")
    if not isinstance(location, (str, Path)):
        raise ValueError(
            f"Data are a path, (images, labels), or a mapping with images and labels, not {type(location).__name__}"
        )
    path = Path(location)
    if path.exists():
        raise ValueError(
            f"{path} is a file of no kind that is read: expected .csv, .jsonl, .parquet or idx, or a folder of images."
        )
    raise FileNotFoundError(
        f"There is no {str(path)!r}. {_nearby(path)}Expected a folder, a file, or the word 'digits'."
    )


def _nearby(path: Path) -> str:
    """A name like it among its neighbours."""
    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either. "
    return shelf.nearest(path.name, [*(entry.name for entry in path.parent.iterdir()), "digits"])
