"""Nothing is computed twice: tables kept by what they were made from.

A table's key holds all that it depends on (weights, data, split, preprocessing, settings, seed, version), so a stale
one cannot be found, only an old one; the least recently used go when the cache outgrows its limit. Predictions are
kept as Parquet beside NumPy arrays, everything else as JSON with arrays beside it: nothing in a cache can run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import safetensors.torch

from seewhy.processes import ranks
from seewhy.storage import files, predicted
from seewhy.types import Explanation, Predictions, Problem, Scan, Weights

#: Bytes that the cache may hold before the least recently used tables are dropped.
LIMIT = 4_000_000_000


def default_folder() -> Path:
    """SEEWHY_CACHE, or `seewhy/tables` in the user's cache folder."""
    if chosen := os.environ.get("SEEWHY_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "seewhy" / "tables"


@cache
def code_version() -> str:
    """A name for the code that makes tables: any change of it makes what is remembered stale.

    Read once: what changes while a process runs is not the code that it runs.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{version('seewhy')}-{digest.hexdigest()[:12]}"


class NotKept(UserWarning):
    """A table could not be remembered; the work goes on without."""


class Cache:
    """Tables on disk by key. A table that cannot be read is as good as none: it is dropped and made again.

    A cache that cannot be written ends no work: it says so once, as a warning, and remembers nothing new.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = LIMIT) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.limit = limit
        self._said = False
        with contextlib.suppress(OSError):
            files.drop_left(self.folder)

    def get(self, key: str) -> Any | None:
        """The table of that key, or None."""
        place = self.folder / key
        if not place.is_dir():
            return None
        try:
            table = table_in(place)
        except (OSError, ValueError):
            files.remove(place, quietly=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(place)
        return table

    @ranks.by_the_first
    def put(self, key: str, table: Any) -> None:
        """Keep a table. Raises TypeError for a kind of table that the cache does not know."""
        contents = files_of(table)
        try:
            files.write_folder(self.folder / key, contents)
            self._drop_oldest()
        except OSError as error:
            if not self._said:
                what = f"What is computed now cannot be remembered: {error.filename}: {error.strerror}"
                warnings.warn(what, NotKept, stacklevel=2)
            self._said = True

    def entries(self) -> list[tuple[str, int, float]]:
        """Key, bytes and time of last use (seconds since 1970) of each table, the latest first."""
        found = []
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place.is_dir() and not place.name.endswith(files.UNFINISHED):
                size = sum(file.stat().st_size for file in place.iterdir())
                found.append((place.name, size, place.stat().st_mtime))
        return sorted(found, key=lambda entry: -entry[2])

    def clear(self) -> int:
        """Drop all tables; returns the bytes set free."""
        freed = sum(size for _, size, _ in self.entries())
        for key, _, _ in self.entries():
            files.remove(self.folder / key, quietly=True)
        return freed

    def _drop_oldest(self) -> None:
        held = 0
        for key, size, _ in self.entries():
            held += size
            if held > self.limit:
                files.remove(self.folder / key, quietly=True)


def files_of(table: Any) -> Iterator[tuple[str, bytes]]:
    """The files that hold a table, each with its name. Raises TypeError for a kind that is not known here."""
    for kind, (known, write) in WRITERS.items():
        if isinstance(table, known):
            return chain([("kind.json", files.as_json({"kind": kind}))], write(table))
    raise TypeError(f"The cache cannot keep a {type(table).__name__}")


def table_in(place: Path) -> Any:
    """The table in the folder of its files. Raises OSError or ValueError where it is damaged."""
    kind = files.read_json(place / "kind.json")
    try:
        return READERS[kind["kind"]](place)
    except (KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{place} is damaged: {type(error).__name__}: {error}") from error


def _scan_files(scan: Scan) -> Iterator[tuple[str, bytes]]:
    yield "files.parquet", predicted.as_parquet(scan.files)
    problems, quarantine = ([asdict(problem) for problem in some] for some in (scan.problems, scan.quarantine))
    plain = {"problems": problems, "same": scan.same, "near": scan.near, "quarantine": quarantine}
    yield "scan.json", files.as_json(plain)


def _read_scan(place: Path) -> Scan:
    plain = files.read_json(place / "scan.json")
    return Scan(
        pyarrow.parquet.read_table(place / "files.parquet"),
        tuple(Problem(**problem) for problem in plain["problems"]),
        tuple(map(tuple, plain["same"])),
        tuple(map(tuple, plain["near"])),
        tuple(Problem(**problem) for problem in plain["quarantine"]),
    )


def _explanation_files(explanations: tuple[Explanation, ...]) -> Iterator[tuple[str, bytes]]:
    rows: list[dict[str, Any]] = []
    heats: dict[str, Any] = {}
    for number, explanation in enumerate(explanations):
        rows.append({**vars(explanation), "heat": list(explanation.heat)})
        for name, heat in explanation.heat.items():
            heats[f"{number} {name}"] = np.asarray(heat, dtype=np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **heats)
    yield "heat.npz", buffer.getvalue()
    yield "explanations.json", files.as_json(rows)


def _read_explanations(place: Path) -> tuple[Explanation, ...]:
    with np.load(place / "heat.npz", allow_pickle=False) as heats:
        return tuple(
            Explanation(**{**row, "heat": {name: heats[f"{number} {name}"] for name in row["heat"]}})
            for number, row in enumerate(files.read_json(place / "explanations.json"))
        )


def _arrow_files(table: pyarrow.Table) -> Iterator[tuple[str, bytes]]:
    yield "table.parquet", predicted.as_parquet(table)


def _read_arrow(place: Path) -> pyarrow.Table:
    return pyarrow.parquet.read_table(place / "table.parquet")


def _plain_files(value: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield "plain.json", files.as_json(value)


def _read_plain(place: Path) -> Any:
    return files.read_json(place / "plain.json")


def _weights_files(weights: Weights) -> Iterator[tuple[str, bytes]]:
    yield "weights.safetensors", safetensors.torch.save(dict(weights.tensors))


def _read_weights(place: Path) -> Weights:
    try:
        return Weights(safetensors.torch.load((place / "weights.safetensors").read_bytes()))
    except safetensors.SafetensorError as error:
        raise ValueError(f"{place} is damaged: {error}") from error


#: Of each kind of table the type, and the files that hold one, each with its name.
WRITERS: dict[str, tuple[type, Callable[[Any], Iterator[tuple[str, bytes]]]]] = {
    "predictions": (Predictions, predicted.as_files),
    "scan": (Scan, _scan_files),
    "explanations": (tuple, _explanation_files),
    "arrow": (pyarrow.Table, _arrow_files),
    "plain": (dict, _plain_files),
    "weights": (Weights, _weights_files),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "predictions": predicted.load,
    "scan": _read_scan,
    "explanations": _read_explanations,
    "arrow": _read_arrow,
    "plain": _read_plain,
    "weights": _read_weights,
}
