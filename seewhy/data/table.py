"""Does a table say what each image file shows?

A folder with metadata.csv, metadata.parquet or metadata.jsonl in it (or in its train/, val/ and test/), or such a table
by its own name. Columns: `file_name`, a path from the table's folder; a label (`label`, `target`, `class`, or named by
the setting `label`), without which the folder a file lies in is its class; `split`; `mask_file`, an image that is
black where the object is not; `objects`, the Hugging Face hub's boxes {"bbox": [[x, y, width, height], ...],
"categories": [...]}. All other columns with plain values become tags.

Nothing outside the table's folder is read, through links neither, unless `allow_outside`; web addresses never are. An
empty label, `nan` and `null` (unquoted in a CSV) mean: not labelled. A file listed twice counts once, with no label if
the two disagree. Files that are not there, or lie there unlisted, are named as problems.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from seewhy.data import _listing
from seewhy.shelf import nearest
from seewhy.types import Dataset, Problem

KINDS = (".csv", ".parquet", ".jsonl")
_OWN = ("file_name", "split", "mask_file", "objects")
_NULLS = ("", "nan", "NaN", "null", "NULL")
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")


def recognises(location: object) -> bool:
    """A table file, or a folder with a metadata table at its top or in its splits."""
    if not isinstance(location, (str, Path)):
        return False
    path = Path(location)
    if path.is_dir():
        return bool(_tables(path))
    if not path.is_file() or path.suffix.lower() not in KINDS:
        return False
    if path.suffix.lower() != ".parquet":
        return True
    try:
        return "file_name" in pyarrow.parquet.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False


def open(location: str | Path, *, label: str | None = None, allow_outside: bool = False) -> Dataset:
    """`label` is the column that holds the label; `allow_outside` lets paths leave the table's folder."""
    path = Path(location)
    root = (path if path.is_dir() else path.parent).resolve()
    columns, named = _load(path)
    paths, problems = _paths(root, columns["file_name"], allow_outside)
    splits, folders = _from_folders(paths)
    if "split" in columns:
        splits = list(_listing.split_column(columns["split"], str(path)))
    column = _listing.label_column(list(columns), label, str(path))
    labels = folders if column is None else columns[column]
    if column is None and "objects" not in columns and all(name is None for name in folders):
        raise ValueError(
            f"{path} has no column with a label ({', '.join(_listing.LABELS)}), and its files lie in no class folders. "
            f"Name the column to use as label; there are: {', '.join(columns)}."
        )
    labels, kept, twice = _once(paths, labels)
    if not kept:
        reason = f", such as {problems[0].where!r}: {problems[0].what}" if problems else ": it has no rows"
        raise ValueError(f"None of the {len(paths)} files that {path} lists can be used{reason}")
    targets, classes, alike = _listing.labelled([labels[row] for row in kept], named.get(column or ""))
    tags, left_out = _listing.tags_of(columns, {*_OWN, column or ""})
    boxes = [_listing.boxes_of(columns["objects"][row], f"row {row + 1}") for row in kept if "objects" in columns]
    if not classes:
        classes = _listing.labelled([name for each in boxes if each for name in each.labels])[1]
    masks, lost = _paths(root, columns["mask_file"], allow_outside) if "mask_file" in columns else ([], [])
    lost = [problem for problem in lost if problem.code != "no-name"]
    listed = tuple(path for path in (paths[row] for row in kept) if path is not None)
    return Dataset(
        name=root.name if path.is_dir() else path.stem,
        source=_listing.Files(str(root), listed, tuple(masks[row] for row in kept) if masks else ()),
        ids=tuple(_listing.visible(path) for path in listed),
        targets=targets,
        classes=classes,
        rows=np.arange(len(kept)),
        tags={name: tuple(values[row] for row in kept) for name, values in tags.items()},
        splits=tuple(splits[row] for row in kept) if any(splits) else (),
        boxes=tuple(boxes),
        problems=(
            *problems,
            *twice,
            *lost,
            *left_out,
            *alike,
            *(_unlisted(root, [*listed, *masks]) if path.is_dir() else ()),
        ),
    )


# --------------------------------------------------------------------------------------------------- the table


def _tables(folder: Path) -> list[Path]:
    """The metadata tables of a folder: at its top or, without any there, in its splits."""
    splits = sorted(each for each in folder.iterdir() if each.is_dir() and _listing.split_name(each.name))
    found = [[place / f"metadata{kind}" for kind in KINDS] for place in (folder, *splits)]
    there = [[table for table in tables if table.is_file()] for tables in found]
    return there[0] or [table for tables in there[1:] for table in tables]


def _load(path: Path) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    """All columns of all tables below one another, `file_name` and `mask_file` from the top folder on, and the classes
    that a Parquet file's schema names."""
    tables = _tables(path) if path.is_dir() else [path]
    for place in {table.parent for table in tables}:
        beside = [table.name for table in tables if table.parent == place]
        if len(beside) > 1:
            raise ValueError(
                f"{place} has more than one table, {' and '.join(beside)}. Keep one, or name the one meant."
            )
    columns: dict[str, list[Any]] = {}
    named: dict[str, tuple[str, ...]] = {}
    rows = 0
    for table in tables:
        read, classes = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[table.suffix.lower()](table)
        if "file_name" not in read:
            close = nearest("file_name", read)
            raise ValueError(f"{table} has no column 'file_name'. {close}There are: {', '.join(read)}.")
        if table.parent != path and path.is_dir():
            for column in {"file_name", "mask_file"} & set(read):
                read[column] = [name and f"{table.parent.name}/{name}" for name in read[column]]
        count = len(read["file_name"])
        for column in {**columns, **read}:
            columns[column] = columns.get(column, [None] * rows) + read.get(column, [None] * count)
        rows += count
        named |= classes
    return columns, named


def _csv(file: Path) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    """A CSV in UTF-8, separated by commas, semicolons or tabs. Columns that hold numbers alone, written as numbers are,
    become numbers; "007" stays text."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            header = lines.readline()
        separator = next((mark for mark in ",;\t" if mark in header), ",")
        names = next(csv.reader([header], delimiter=separator), [])
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"it has more than one column {twice[0]!r}")
        table = pyarrow.csv.read_csv(
            file,
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(_NULLS),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as a CSV in UTF-8: {error}") from error
    return {
        name: table.column(name).to_pylist() if name in _OWN else _numbers(table.column(name))
        for name in table.column_names
    }, {}


def _numbers(column: pa.ChunkedArray) -> list[Any]:
    """A column of text as numbers if that loses nothing."""
    try:
        whole = column.cast(pa.int64())
        return whole.to_pylist() if whole.cast(pa.string()).equals(column) else column.to_pylist()
    except pa.ArrowInvalid:
        pass
    try:
        numbers = column.cast(pa.float64()).to_pylist()
    except pa.ArrowInvalid:
        return column.to_pylist()
    return numbers if all(number is None or math.isfinite(number) for number in numbers) else column.to_pylist()


def _jsonl(file: Path) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    """One JSON object a line; a key that some lack is None there."""
    records = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"Line {number} of {file} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f'Line {number} of {file} is no record such as {{"file_name": "a.jpg", "label": "cat"}}')
        records.append(record)
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}, {}


def _parquet(file: Path) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    try:
        return _listing.columns_of(pyarrow.parquet.read_table(file))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from error


# --------------------------------------------------------------------------------------------------- its files


def _paths(root: Path, names: Sequence[Any], allow_outside: bool) -> tuple[list[str | None], list[Problem]]:
    """The files' paths from the root on, tidied; None, and a problem, where there is no such file."""
    paths: list[str | None] = []
    problems = []
    folders: dict[Path, bool] = {}  # whether what lies in it is truly inside the root
    for row, name in enumerate(names, start=1):
        path = "" if _listing.missing(name) else os.path.normpath(str(name)).replace(os.sep, "/")
        if _ADDRESS.match(str(name)):
            raise ValueError(
                f"Row {row} names {str(name)!r}. Addresses are not followed: fetch the file, name its path."
            )
        there = os.path.isfile(root / path)  # noqa: PTH113 - false, too, for a name no file can have
        leaves = (
            path.split("/")[0] == ".."
            or Path(path).is_absolute()
            or (there and not _inside(root, root / path, folders))
        )
        if leaves and not allow_outside:
            raise ValueError(
                f"Row {row} names {str(name)!r}, which lies outside {root}. Only files in the table's folder are read, "
                "unless you allow files outside it."
            )
        if not path:
            problems.append(Problem("no-name", f"row {row}", "this row of the table names no file"))
        elif not there:
            problems.append(Problem("missing-file", _listing.visible(path), "the table lists it, but it is not there"))
        paths.append(path if there else None)
    return paths, problems


def _inside(root: Path, file: Path, folders: dict[Path, bool]) -> bool:
    """Whether the file lies under the root, all links followed; its folder is looked up once."""
    if file.is_symlink():
        return file.resolve().is_relative_to(root)
    if file.parent not in folders:
        folders[file.parent] = file.parent.resolve().is_relative_to(root)
    return folders[file.parent]


def _from_folders(paths: Sequence[str | None]) -> tuple[list[str | None], list[str | None]]:
    """Splits and classes as the folders say them: splits where every file lies in a folder of such a name."""
    parts = [path.split("/")[:-1] if path else [] for path in paths]
    tops = [_listing.split_name(folders[0]) if folders else None for folders in parts]
    split = all(top for top, path in zip(tops, paths, strict=True) if path)
    below = [folders[1:] if split else folders for folders in parts]
    return tops if split else [None] * len(parts), [folders[0] if folders else None for folders in below]


def _once(paths: Sequence[str | None], labels: Sequence[Any]) -> tuple[list[Any], list[int], list[Problem]]:
    """The labels, the rows to keep, and a problem for each file that is listed more than once."""
    labels = [None if _listing.missing(label) else label for label in labels]
    first: dict[str, int] = {}
    twice: dict[str, set[Any]] = {}
    for row, path in enumerate(paths):
        if path is not None and first.setdefault(path, row) != row:
            twice.setdefault(path, {str(labels[first[path]])}).add(str(labels[row]))
    problems = []
    for path, said in twice.items():
        code, what = "listed-twice", "the table lists this file more than once; it counts once"
        if len(said) > 1:
            labels[first[path]] = None
            code = "contradiction"
            what = f"the table gives it the labels {', '.join(map(ascii, sorted(said)))}, so it counts as unlabelled"
        problems.append(Problem(code, _listing.visible(path), what))
    return labels, list(first.values()), problems


def _unlisted(root: Path, listed: Sequence[str | None]) -> list[Problem]:
    """Images of the folder that its table does not name."""
    known = set(listed)
    others = [path for path in _listing.walk(root).images if path not in known]
    if not others:
        return []
    example = _listing.visible(others[0])
    return [Problem("unlisted", example, f"{len(others)} images such as this one are not in the table, so not used")]
