"""What lists of images have in common: ids, classes in their natural order, names of splits, files read when asked for.

Names come from anywhere, so nothing here trusts them: a name may be a formula, a tag, bytes that are no text, or 200
characters long. Classes come back as they were. Only what no JSON can hold, bytes that are no UTF-8, is written out.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, UInt8

from seewhy.images import decoding
from seewhy.shelf import nearest
from seewhy.types import Boxes, Problem

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LABELS = ("label", "target", "class")
_SPLIT_OF = {word: name for name, words in SPLITS.items() for word in words}
#: Folders and files that systems leave behind; whatever begins with a dot is hidden as well.
_SYSTEM = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
    | {"thumbs.db", "desktop.ini", "ehthumbs.db"}
)
_LOOKS_ESCAPED = re.compile(r"\\ud[89a-f][0-9a-f]{2}")


# ------------------------------------------------------------------------------------------------------ names


def split_name(word: str) -> str | None:
    """Which of train, val and test a word means, in any case; None for any other word."""
    return _SPLIT_OF.get(word.strip().lower())


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """A key that puts '2' before '10', and 'b' beside 'B'."""
    parts = re.split(r"(\d+)", name)  # text and digits take turns, and text begins
    return tuple(int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)), name


def visible(name: str) -> str:
    """The name as text that JSON and Arrow can hold: a byte that is no UTF-8 is written as `\\udcff`, nothing else is
    changed, and no two names become one."""
    if _LOOKS_ESCAPED.search(name):
        name = name.replace("\\", "\\\\")
    return name.encode("utf-8", "backslashreplace").decode()


def hidden(name: str) -> bool:
    """Whether a file or folder is the system's business, not the user's."""
    return name.startswith(".") or name.lower() in _SYSTEM


def is_image(name: str) -> bool:
    """Whether a file's ending is that of an image."""
    return Path(name).suffix.lower() in decoding.SUFFIXES


# ----------------------------------------------------------------------------------------------------- labels


def missing(value: Any) -> bool:
    """None, NaN and the empty text: nobody said."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def class_name(value: Any) -> str:
    """A label as the name of a class: 3 and 3.0 are "3", text stays as it is."""
    if isinstance(value, (list, dict, set, tuple, np.ndarray)):
        raise ValueError(f"a label is one name or number, not {value!r}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return visible(str(value))


def labelled(
    values: Sequence[Any], classes: Sequence[str] | None = None
) -> tuple[tuple[str | None, ...], tuple[str, ...], tuple[Problem, ...]]:
    """Targets, classes and problems. Without `classes` they are the values that come, numbers by size and text in
    natural order."""
    targets = tuple(None if missing(value) else class_name(value) for value in values)
    if classes is None:
        distinct = {target: value for target, value in zip(targets, values, strict=True) if target is not None}
        numbers = all(isinstance(value, (int, float)) for value in distinct.values())
        classes = sorted(distinct, key=distinct.__getitem__ if numbers else natural)
    return targets, tuple(classes), tuple(lookalikes(classes))


def lookalikes(classes: Sequence[str]) -> Iterator[Problem]:
    """Classes that a reader would take for one: they differ in case, accents' encoding or blanks alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = " and ".join(ascii(name) for name in names)
            yield Problem("alike-classes", names[0], f"the classes {listed} look alike but count as {len(names)}")


def label_column(columns: Sequence[str], wanted: str | None, where: str) -> str | None:
    """Which column holds the label: the one asked for, or the first usual name that is there."""
    if wanted is None:
        return next((name for name in LABELS if name in columns), None)
    if wanted not in columns:
        raise ValueError(
            f"{where} has no column {wanted!r}. {nearest(wanted, columns)}There are: {', '.join(columns)}."
        )
    return wanted


def split_column(values: Iterable[Any], where: str) -> tuple[str | None, ...]:
    """The splits of a column of words; raises ValueError at a word that names none."""
    splits = []
    for value in values:
        split = None if missing(value) else split_name(str(value))
        if split is None and not missing(value):
            raise ValueError(f"The column 'split' of {where} has {value!r}; it may have train, val or test")
        splits.append(split)
    return tuple(splits)


def columns_of(table: pa.Table) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    """The columns as plain values, and the classes of those that the Hugging Face hub's schema calls ClassLabel; their
    numbers become names, -1 becomes None."""
    described = _features(table.schema)
    columns, named = {}, {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        classes = _names_of(described.get(name))
        if classes and pa.types.is_integer(table.schema.field(name).type):
            wrong = [value for value in values if value is not None and not -1 <= value < len(classes)]
            if wrong:
                raise ValueError(
                    f"The column {name!r} holds {wrong[0]}, but its {len(classes)} class names go from 0 to "
                    f"{len(classes) - 1}"
                )
            values = [None if value is None or value == -1 else classes[value] for value in values]
            named[name] = classes
        columns[name] = values
    return columns, named


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """What the hub wrote of the columns into the schema; nothing if it wrote nothing."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _names_of(feature: Any) -> tuple[str, ...] | None:
    """The class names of a ClassLabel in order, with their number behind those that come twice: in ImageNet both the
    bird and the machine are "crane"."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list):
        return None
    names = [visible(str(name)) for name in names]
    times = Counter(names)
    return tuple(f"{name} ({place})" if times[name] > 1 else name for place, name in enumerate(names))


# -------------------------------------------------------------------------------------------- tags and boxes


def tags_of(
    columns: Mapping[str, Sequence[Any]], without: Iterable[str]
) -> tuple[dict[str, tuple[Any, ...]], list[Problem]]:
    """The columns of plain values that are nothing else, as tags; a problem for each other one that is left out."""
    tags: dict[str, tuple[Any, ...]] = {}
    problems = []
    others = set(without)
    for name in columns:
        if name in others:
            continue
        if any(isinstance(value, (list, dict, bytes)) for value in columns[name]):
            problems.append(Problem("column-left-out", visible(name), "its values are no plain text or numbers"))
        else:
            tags[visible(name)] = tuple(_plain(value) for value in columns[name])
    return tags, problems


def boxes_of(value: Any, where: str) -> Boxes | None:
    """The hub's `objects`, {"bbox": [[x, y, width, height], ...], "categories": [...]}, as corners and labels."""
    if missing(value):
        return None
    try:
        objects = json.loads(value) if isinstance(value, str) else value
        if isinstance(objects, list):  # one record a box
            objects = {key: [box[key] for box in objects] for key in (objects or [{"bbox": 0, "categories": 0}])[0]}
        corners = [[x, y, x + width, y + height] for x, y, width, height in objects["bbox"]]
        key = next(key for key in ("categories", "category", "label", "labels") if key in objects)
        labels = tuple(class_name(entry) for entry in objects[key])
        return Boxes(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4), labels)
    except (ValueError, TypeError, KeyError, IndexError, StopIteration) as error:
        expected = '{"bbox": [[x, y, width, height], ...], "categories": [...]}'
        raise ValueError(f"The objects of {where} are not {expected}: {error or type(error).__name__}") from error


def _plain(value: Any) -> Any:
    """A tag's value as JSON holds it; NaN is None, a date is its text."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str):
        return visible(value)
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


# ------------------------------------------------------------------------------------------------------ files


@dataclass(frozen=True)
class Files:
    """Images that are files: one path a row under `root`, and perhaps one of a mask, which is of the image's size and
    black where the object is not."""

    root: str
    paths: tuple[str, ...]
    masks: tuple[str | None, ...] = ()

    def content(self, row: int) -> bytes:
        return _read(self.root, self.paths[row])

    def file_name(self, row: int) -> str:
        return visible(self.paths[row])

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return decoding.decode(self.content(row), self.file_name(row))

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        path = self.masks[row] if self.masks else None
        if path is None:
            return None
        there: np.ndarray = decoding.decode(_read(self.root, path), visible(path)).max(2) > 0
        return there


def _read(root: str, path: str) -> bytes:
    file = Path(root) / path
    try:
        size = file.stat().st_size
        if size > decoding.MAX_BYTES:
            what = f"{visible(path)!r} has {size:,} bytes; the most that is read is {decoding.MAX_BYTES:,}"
            raise decoding.Undecodable(what, "too-large", size)
        return file.read_bytes()
    except OSError as error:
        raise decoding.Undecodable(f"{visible(path)!r} cannot be read: {error.strerror}", "unreadable") from error


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds: relative POSIX paths of its images in natural order, its empty folders, and what was passed
    over."""

    images: tuple[str, ...]
    folders: tuple[str, ...]
    problems: tuple[Problem, ...]


def walk(root: Path) -> Found:
    """Everything under a folder, links followed but no folder read twice, so a circle of links ends."""
    images: list[str] = []
    folders: list[str] = []
    problems: list[Problem] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [""], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)  # links last: a folder goes by its own name
        try:
            status = (root / folder).stat()
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem("unreadable", visible(folder), f"this folder cannot be read: {error.strerror}"))
            continue
        if (status.st_dev, status.st_ino) in seen:
            problems.append(Problem("linked-twice", visible(folder), "this links to a folder that is read anyway"))
            continue
        seen.add((status.st_dev, status.st_ino))
        if folder:
            folders.append(folder)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            kind, problem = _looked_at(entry, path, root)
            if problem is not None:
                problems.append(problem)
            elif kind == "image":
                images.append(path)
            else:
                (links if entry.is_symlink() else waiting).append(path)
    ordered = sorted(images, key=natural), sorted(folders, key=natural)
    return Found(tuple(ordered[0]), tuple(ordered[1]), (*problems, *_twins(ordered[0])))


def _twins(images: Sequence[str]) -> Iterator[Problem]:
    """Files of one folder whose names differ in case or in the encoding of accents alone."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in images:
        folder, _, name = path.rpartition("/")
        alike[folder, unicodedata.normalize("NFC", name).casefold()].append(path)
    for paths in alike.values():
        if len(paths) > 1:
            others = " and ".join(ascii(path.rpartition("/")[2]) for path in paths[1:])
            what = (
                f"{others} beside it differs in case or the encoding of accents alone; other systems keep one of them"
            )
            yield Problem("alike-files", visible(paths[0]), what)


def _looked_at(entry: os.DirEntry[str], path: str, root: Path) -> tuple[str, Problem | None]:
    """Whether it is a "folder" or an "image", or the problem with anything else."""
    try:
        folder, file = entry.is_dir(), entry.is_file()
        size = entry.stat().st_size if file else 0
    except OSError:  # a link to itself
        folder, file, size = False, False, 0
    if hidden(entry.name):
        return "", Problem("hidden", visible(path), "hidden or of the system, so not read", size)
    if folder:
        if entry.is_symlink() and root.resolve().is_relative_to(Path(entry.path).resolve()):
            return "", Problem("linked-twice", visible(path), "this links to a folder that is read anyway")
        return "folder", None
    if not file:
        return "", Problem("no-file", visible(path), "a broken link or a special file, so not read")
    if not is_image(entry.name):
        return "", Problem("not-an-image", visible(path), "its ending is not that of an image", size)
    return "image", None
