"""Are the images inside Parquet files, as the Hugging Face hub writes them?

One file, or a folder of them (or of a folder data/): train-00000-of-00002.parquet, test.parquet; in a folder the first
word of a file's name is its split, a single file has none unless it has a column `split`. The image is a column
{bytes, path} or one of bytes; the label a column `label`, `target` or `class`, a ClassLabel, or the one that the
setting `label` names. Class names come from the schema where the hub wrote them, else a number is its own name.
`objects` are boxes, other columns of plain values tags. An id is the image's path, or file and row where paths are
missing or not unique.

Up to HELD bytes of images stay in memory, so that any row is at hand; of larger data a few row groups do.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from jaxtyping import Bool, UInt8

from seewhy.data import _listing
from seewhy.images import decoding
from seewhy.types import Dataset

HELD = 1_000_000_000
#: Row groups kept of data sets larger than HELD; the hub writes about a hundred images into each.
GROUPS = 8
_IMAGES = ("image", "img", "png", "jpg", "jpeg", "bytes", "pixels")


def recognises(location: object) -> bool:
    """A Parquet file, or a folder of Parquet files."""
    if not isinstance(location, (str, Path)):
        return False
    path = Path(location)
    return bool(_files(path)) if path.is_dir() else path.is_file() and path.suffix.lower() == ".parquet"


def open(location: str | Path, *, label: str | None = None) -> Dataset:
    """`label` is the column that holds the label."""
    path = Path(location)
    files = _files(path) if path.is_dir() else [path]
    given = _splits(path, files) if path.is_dir() else [None]
    opened = [_opened(file) for file in files]
    first = opened[0]
    for file, other in zip(files, opened, strict=True):
        if (list(other.columns), other.image, other.named) != (list(first.columns), first.image, first.named):
            raise ValueError(
                f"{file} and {files[0]} differ in their columns or class names: {_words(other)}; {_words(first)}"
            )
    columns = {name: [value for each in opened for value in each.columns[name]] for name in first.columns}
    counts = [len(each.paths) for each in opened]
    chosen = _label(list(columns), first.named, label, str(path))
    targets, classes, alike = _listing.labelled(columns[chosen], first.named.get(chosen))
    tags, left_out = _listing.tags_of(columns, {chosen, "split", "objects"})
    splits = [split for split, count in zip(given, counts, strict=True) for _ in range(count)]
    if "split" in columns and not any(splits):
        splits = list(_listing.split_column(columns["split"], str(path)))
    boxes = [_listing.boxes_of(value, f"row {row + 1}") for row, value in enumerate(columns.get("objects", []))]
    return Dataset(
        name=path.resolve().name if path.is_dir() else path.stem,
        source=_rows(files, opened),
        ids=_ids([path for each in opened for path in each.paths], files, counts, splits),
        targets=targets,
        classes=classes,
        rows=np.arange(sum(counts)),
        tags=tags,
        splits=tuple(splits) if any(splits) else (),
        boxes=tuple(boxes),
        problems=(*left_out, *alike),
    )


# ---------------------------------------------------------------------------------------------------- the files


def _files(folder: Path) -> list[Path]:
    """The Parquet files of a folder or, without any there, of its data/; a metadata.parquet is a table, not images."""
    for place in (folder, folder / "data"):
        found = [file for file in place.glob("*.parquet") if file.is_file() and file.stem != "metadata"]
        if found:
            return sorted(
                (file for file in found if not _listing.hidden(file.name)), key=lambda f: _listing.natural(f.name)
            )
    return []


def _splits(folder: Path, files: Sequence[Path]) -> list[str | None]:
    """The split each file's name begins with; all of them or none."""
    splits = [_listing.split_name(re.split(r"[-_.]", file.stem)[0]) for file in files]
    odd = [file.name for file, split in zip(files, splits, strict=True) if split is None]
    if odd and len(odd) < len(files):
        raise ValueError(
            f"{folder} has files of splits and others, such as {odd[0]!r}. A file's name begins with train, val or "
            "test, or none does. To use one file alone, name it."
        )
    return splits


@dataclass(frozen=True, slots=True)
class _Opened:
    """All of a file but its images: its columns, the classes of some, the images' paths, and where the images are."""

    columns: dict[str, list[Any]]
    named: dict[str, tuple[str, ...]]
    paths: list[str | None]
    image: str
    groups: tuple[int, ...]  # rows of each row group
    size: int  # bytes of all images


def _opened(file: Path) -> _Opened:
    try:
        with pyarrow.parquet.ParquetFile(file) as reader:
            schema, footer = reader.schema_arrow, reader.metadata
            column = _image_column(schema, file)
            nested = pa.types.is_struct(schema.field(column).type)
            wanted = [name for name in schema.names if name != column] + ([f"{column}.path"] if nested else [])
            table = reader.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from error
    image = f"{column}.bytes" if nested else column
    paths: list[str | None] = [None] * footer.num_rows
    if column in table.column_names:
        paths = [value and value.get("path") for value in table.column(column).to_pylist()]
        table = table.drop_columns([column])
    columns, named = _listing.columns_of(table)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    size = sum(
        group.column(place).total_uncompressed_size
        for group in groups
        for place in range(group.num_columns)
        if group.column(place).path_in_schema == image
    )
    return _Opened(columns, named, paths, image, tuple(group.num_rows for group in groups), size)


def _words(opened: _Opened) -> str:
    return ", ".join([opened.image, *opened.columns, *(f"{name} of {len(of)}" for name, of in opened.named.items())])


def _image_column(schema: pa.Schema, file: Path) -> str:
    """The column of images: {bytes, path} or plain bytes; by its usual name where there are several."""

    def holds_bytes(kind: pa.DataType) -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    found = []
    for field in schema:
        inner = {part.name: part.type for part in field.type} if pa.types.is_struct(field.type) else {}
        if holds_bytes(inner.get("bytes", field.type)):
            found.append(field.name)
    usual = [name for name in _IMAGES if name in found]
    if len(found) != 1 and not usual:
        which = f"several columns that could be images ({', '.join(found)})" if found else "no column of images"
        raise ValueError(
            f"{file} has {which}; expected one called 'image' with bytes, as the Hugging Face hub writes it. Its "
            f"columns are {', '.join(schema.names)}."
        )
    return usual[0] if usual else found[0]


def _label(columns: list[str], named: dict[str, tuple[str, ...]], wanted: str | None, where: str) -> str:
    found = _listing.label_column(columns, wanted, where) or (next(iter(named)) if len(named) == 1 else None)
    if found is None:
        raise ValueError(
            f"{where} has no column {', '.join(map(repr, _listing.LABELS))}. Name the column to use as label; "
            f"there are: {', '.join(columns) or 'none besides the image'}."
        )
    return found


def _ids(
    paths: Sequence[str | None], files: Sequence[Path], counts: Sequence[int], splits: Sequence[str | None]
) -> tuple[str, ...]:
    if all(paths):
        ids = [_listing.visible(str(path)) for path in paths]
        if len(set(ids)) == len(ids):
            return tuple(ids)
        ids = [f"{split}/{id}" for split, id in zip(splits, ids, strict=True)]
        if any(splits) and len(set(ids)) == len(ids):
            return tuple(ids)
    return tuple(
        f"{_listing.visible(file.stem)}/{row}"
        for file, count in zip(files, counts, strict=True)
        for row in range(count)
    )


# ----------------------------------------------------------------------------------------------------- the rows


@dataclass(frozen=True)
class Rows:
    """Rows of a column of bytes in Parquet files, read a row group at a time; the `keep` last used ones stay.

    What was read stays with this process: a pickled copy holds none of it and reads for itself.
    """

    files: tuple[str, ...]
    column: str
    groups: tuple[tuple[int, int], ...]  # (file, row group in it)
    starts: tuple[int, ...]  # the first row of each group
    keep: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "_read", OrderedDict())
        object.__setattr__(self, "_lock", Lock())

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.files, self.column, self.groups, self.starts, self.keep)

    def content(self, row: int) -> bytes:
        group = bisect_right(self.starts, row) - 1
        found = self._group(group)[row - self.starts[group]]
        if found is None:
            raise decoding.Undecodable(f"row {row} holds no bytes of an image", "empty-file")
        return found

    def file_name(self, row: int) -> str:
        return f"row {row}"

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return decoding.decode(self.content(row), self.file_name(row))

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return None

    def _group(self, number: int) -> list[bytes | None]:
        read: OrderedDict[int, list[bytes | None]] = self.__dict__["_read"]
        with self.__dict__["_lock"]:
            if number not in read:
                file, group = self.groups[number]
                read[number] = _column(self.files[file], group, self.column)
                while len(read) > self.keep:
                    read.popitem(last=False)
            read.move_to_end(number)
            return read[number]


def _column(file: str, group: int, column: str) -> list[bytes | None]:
    try:
        with pyarrow.parquet.ParquetFile(file) as reader:
            return reader.read_row_group(group, columns=[column]).flatten().column(0).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise decoding.Undecodable(f"row group {group} of {file} cannot be read: {error}", "unreadable") from error


def _rows(files: Sequence[Path], opened: Sequence[_Opened]) -> Rows:
    groups = [(file, group) for file, each in enumerate(opened) for group in range(len(each.groups))]
    sizes = [count for each in opened for count in each.groups]
    keep = len(groups) if sum(each.size for each in opened) <= HELD else GROUPS
    names = tuple(str(file.resolve()) for file in files)
    return Rows(names, opened[0].image, tuple(groups), (0, *accumulate(sizes))[:-1], keep)
