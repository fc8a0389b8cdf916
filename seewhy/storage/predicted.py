"""Tables of predictions on disk: those that SeeWhy wrote, and those that anybody else's system made."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from seewhy.shelf import nearest
from seewhy.storage import files
from seewhy.types import PREDICTION_COLUMNS, Predictions

#: float16 ends at 65,504; beyond it a log-probability says nothing more.
LARGEST = 60_000.0
#: The file of a saved table; and how the columns of a user's own table that hold a class's probability begin.
TABLE, PREFIX = "predictions.parquet", "p:"


def save(predictions: Predictions, folder: str | Path) -> None:
    """Write a table and what stands beside it into a folder, each file old-or-new, the table itself last."""
    for name, content in as_files(predictions):
        files.write_bytes(Path(folder) / name, content)


def as_files(predictions: Predictions) -> Iterator[tuple[str, bytes]]:
    """The files of a table, each with its name: what stands beside it, then the table itself."""
    for name in ("log_probabilities", "embeddings"):
        array = getattr(predictions, name)
        if array is not None:
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            yield f"{name}.npy", buffer.getvalue()
    if predictions.parts is not None:
        yield "parts.parquet", as_parquet(predictions.parts)
    named = predictions.table.replace_schema_metadata({"classes": json.dumps(predictions.classes)})
    yield TABLE, as_parquet(named)


def load(folder: str | Path) -> Predictions:
    """What `save` wrote."""
    folder = Path(folder)
    table = pa.parquet.read_table(folder / TABLE)
    classes = json.loads((table.schema.metadata or {}).get(b"classes", b"[]"))
    beside = {
        name: np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ("log_probabilities", "embeddings")
        if (folder / f"{name}.npy").exists()
    }
    parts = folder / "parts.parquet"
    return Predictions(
        table.replace_schema_metadata(None),
        tuple(classes),
        pa.parquet.read_table(parts) if parts.exists() else None,
        **beside,
    )


def is_table(location: str | Path) -> bool:
    """Whether a file is a table of predictions rather than of images: CSV or Parquet with an `answer`, or with a
    `target` and columns of probabilities."""
    path = Path(location)
    if not path.is_file() or path.suffix.lower() not in (".csv", ".parquet"):
        return False
    try:
        if path.suffix.lower() == ".csv":
            names = pa.csv.open_csv(path).schema.names
        else:
            names = pa.parquet.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return False
    probabilities = sum(name.startswith(PREFIX) for name in names) > 1
    return "file_name" not in names and ("answer" in names or ("target" in names and probabilities))


def from_table(path: str | Path) -> Predictions:
    """Predictions that someone else's system made, or that `save` wrote: a CSV or Parquet file with `target` and
    `answer`, perhaps `id`, `confidence` and `right`; or, with or without `answer`, a column `p:NAME` for the
    probability of each class. Every other column is a tag.

    Raises ValueError where a needed column is missing, an id stands twice, or a number is no probability.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        text = pa.csv.ConvertOptions(column_types={name: pa.string() for name in ("id", "target", "answer")})
        found = _empty_as_null(pa.csv.read_csv(path, convert_options=text))
    else:
        found = pa.parquet.read_table(path)
        if path.name == TABLE and b"classes" in (found.schema.metadata or {}):
            return load(path.parent)
    given = [name for name in found.column_names if name.startswith(PREFIX)]
    for name in ("target",) if given else ("target", "answer"):
        if name not in found.column_names:
            raise ValueError(
                f"{path} has no column {name!r}. {nearest(name, found.column_names)}"
                f"A table of predictions needs `target` and `answer`; it has {', '.join(found.column_names)}."
            )
    columns: dict[str, Any] = {field.name: pa.nulls(found.num_rows, field.type) for field in PREDICTION_COLUMNS}
    columns["condition"] = pa.array([""] * found.num_rows)
    columns["id"] = pa.array([str(row) for row in range(found.num_rows)])
    for name in PREDICTION_COLUMNS.names:
        if name in found.column_names:
            columns[name] = found.column(name).cast(PREDICTION_COLUMNS.field(name).type)
    targets, answers = (columns[name].unique().to_pylist() for name in ("target", "answer"))
    classes = tuple(sorted({*targets, *answers, *(name.removeprefix(PREFIX) for name in given)} - {None}))
    logs = _from_probabilities(found, given, classes, columns, path) if given else None
    if "right" not in found.column_names:
        equal = pa.compute.fill_null(pa.compute.equal(columns["answer"], columns["target"]), False)
        labelled = pa.compute.is_valid(columns["target"])
        columns["right"] = pa.compute.if_else(labelled, equal.cast(pa.float32()), pa.scalar(None, pa.float32()))
    table = pa.table(columns, schema=PREDICTION_COLUMNS)
    for name in found.column_names:
        if name not in (*PREDICTION_COLUMNS.names, *given):
            table = table.append_column(f"tag:{name.removeprefix('tag:')}", found.column(name))
    _check_table(table, path)
    return Predictions(table, classes, None, logs)


def _from_probabilities(
    found: pa.Table, given: list[str], classes: tuple[str, ...], columns: dict[str, Any], path: Path
) -> np.ndarray:
    """The log-probabilities; fills in what follows from them and was not given: answer, confidence, loss and odds."""
    p = np.zeros((found.num_rows, len(classes)))
    for name in given:
        column = found.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)) or column.null_count:
            raise ValueError(f"{path}: column {name!r} must hold a number in every row, a probability")
        p[:, classes.index(name.removeprefix(PREFIX))] = column.to_numpy()
    sums = p.sum(axis=1)
    for row in np.flatnonzero((p.min(axis=1) < 0) | ~(np.abs(sums - 1) < 0.02))[:1]:
        raise ValueError(f"{path}: the probabilities of row {row + 1} sum to {sums[row]:.4g}; they must sum to 1")
    p /= sums[:, None]
    names = np.array([*classes, None], dtype=object)
    if "answer" not in found.column_names:
        columns["answer"] = pa.array(names[p.argmax(axis=1)], pa.string())
    rows = np.arange(len(p))
    answer, target = (
        pa.compute.fill_null(pa.compute.index_in(columns[name], pa.array(classes)), -1).to_numpy(zero_copy_only=False)
        for name in ("answer", "target")
    )
    if "confidence" not in found.column_names:
        columns["confidence"] = pa.array(np.where(answer < 0, np.nan, p[rows, answer]), pa.float32(), from_pandas=True)
    true = np.where(target < 0, np.nan, p[rows, target]).clip(1e-30, None)
    columns["loss"] = pa.array(-np.log(true), pa.float32(), from_pandas=True)
    columns["logodds_true"] = pa.array(
        np.log(true) - np.log1p(-true.clip(None, 1 - 1e-12)), pa.float32(), from_pandas=True
    )
    top = np.argsort(-p, axis=1, kind="stable")[:, :5]
    ends = pa.array(np.arange(len(p) + 1, dtype=np.int32) * top.shape[1])
    columns["top_answers"] = pa.ListArray.from_arrays(ends, pa.array(names[top.ravel()], pa.string()))
    columns["top_probabilities"] = pa.ListArray.from_arrays(
        ends, pa.array(np.take_along_axis(p, top, axis=1).ravel().astype(np.float32))
    )
    with np.errstate(divide="ignore"):
        return np.log(p).clip(-LARGEST, 0).astype(np.float16)


def as_parquet(table: pa.Table) -> bytes:
    """The table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _empty_as_null(table: pa.Table) -> pa.Table:
    """A cell of text without text is no answer; one that says NA is, for a class may be called so."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(place)
            empty = pa.compute.equal(column, "")
            table = table.set_column(place, field, pa.compute.if_else(empty, pa.scalar(None, pa.string()), column))
    return table


def _check_table(table: pa.Table, path: Path) -> None:
    often = table.column("id").value_counts()
    many = pa.compute.greater(often.field("counts"), 1)
    if pa.compute.any(many).as_py():
        twice = often.field("values").filter(many)[0].as_py()
        raise ValueError(f"{path} holds the id {twice!r} more than once; each row needs its own")
    for name in ("confidence", "right"):
        values = table.column(name).drop_null().to_numpy()
        if len(values) and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"{path}: column {name!r} runs from {values.min():g} to {values.max():g}; it must be in 0 to 1"
            )
