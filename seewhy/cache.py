"""Nothing is computed twice: tables kept by what they were made from.

A table's key holds all that it depends on (weights, data, split, preprocessing, settings, seed, version), so a stale
one cannot be found, only an old one; the least recently used go when the cache outgrows its limit. Predictions are
kept as Parquet beside NumPy arrays, everything else as JSON with arrays beside it: nothing in a cache can run code.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from seewhy import files, predicting
from seewhy.types import Explanation, Predictions, Problem, Scan

#: Bytes that the cache may hold before the least recently used tables are dropped.
LIMIT = 4_000_000_000


def default_folder() -> Path:
    """SEEWHY_CACHE, or `seewhy/tables` in the user's cache folder."""
    if chosen := os.environ.get("SEEWHY_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "seewhy" / "tables"


class Cache:
    """Tables on disk by key. A table that cannot be read is as good as none: it is dropped and made again."""

    def __init__(self, folder: str | Path | None = None, *, limit: int = LIMIT) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.limit = limit

    def get(self, key: str) -> Any | None:
        """The table of that key, or None."""
        place = self.folder / key
        if not (place / "kind.json").is_file():  # written last: without it the table is not whole
            return None
        try:
            kind = files.read_json(place / "kind.json")
            table = READERS[kind["kind"]](place)
        except (OSError, ValueError, KeyError):
            shutil.rmtree(place, ignore_errors=True)
            return None
        os.utime(place)
        return table

    def put(self, key: str, table: Any) -> None:
        """Keep a table. Raises TypeError for a kind of table that the cache does not know."""
        kinds = [kind for kind, (known, _) in WRITERS.items() if isinstance(table, known)]
        if not kinds:
            raise TypeError(f"The cache cannot keep a {type(table).__name__}")
        place = self.folder / key
        place.mkdir(parents=True, exist_ok=True)
        WRITERS[kinds[0]][1](table, place)
        files.write_json(place / "kind.json", {"kind": kinds[0]})
        self._drop_oldest()

    def entries(self) -> list[tuple[str, int, float]]:
        """Key, bytes and time of last use (seconds since 1970) of each table, the latest first."""
        found = []
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place.is_dir():
                size = sum(file.stat().st_size for file in place.iterdir())
                found.append((place.name, size, place.stat().st_mtime))
        return sorted(found, key=lambda entry: -entry[2])

    def clear(self) -> int:
        """Drop all tables; returns the bytes set free."""
        freed = sum(size for _, size, _ in self.entries())
        for key, _, _ in self.entries():
            shutil.rmtree(self.folder / key, ignore_errors=True)
        return freed

    def _drop_oldest(self) -> None:
        held = 0
        for key, size, _ in self.entries():
            held += size
            if held > self.limit:
                shutil.rmtree(self.folder / key, ignore_errors=True)


def _write_scan(scan: Scan, place: Path) -> None:
    files.write_bytes(place / "files.parquet", predicting.as_parquet(scan.files))
    problems, quarantine = ([asdict(problem) for problem in some] for some in (scan.problems, scan.quarantine))
    plain = {"problems": problems, "same": scan.same, "near": scan.near, "quarantine": quarantine}
    files.write_json(place / "scan.json", plain)


def _read_scan(place: Path) -> Scan:
    plain = files.read_json(place / "scan.json")
    return Scan(
        pyarrow.parquet.read_table(place / "files.parquet"),
        tuple(Problem(**problem) for problem in plain["problems"]),
        tuple(map(tuple, plain["same"])),
        tuple(map(tuple, plain["near"])),
        tuple(Problem(**problem) for problem in plain["quarantine"]),
    )


def _write_explanations(explanations: tuple[Explanation, ...], place: Path) -> None:
    rows: list[dict[str, Any]] = []
    heats: dict[str, Any] = {}
    for number, explanation in enumerate(explanations):
        rows.append({**vars(explanation), "heat": list(explanation.heat)})
        for name, heat in explanation.heat.items():
            heats[f"{number} {name}"] = np.asarray(heat, dtype=np.float32)
    with (place / "heat.npz").open("wb") as file:
        np.savez_compressed(file, **heats)
    files.write_json(place / "explanations.json", rows)


def _read_explanations(place: Path) -> tuple[Explanation, ...]:
    with np.load(place / "heat.npz", allow_pickle=False) as heats:
        return tuple(
            Explanation(**{**row, "heat": {name: heats[f"{number} {name}"] for name in row["heat"]}})
            for number, row in enumerate(files.read_json(place / "explanations.json"))
        )


def _write_plain(value: Mapping[str, Any], place: Path) -> None:
    files.write_json(place / "plain.json", value)


def _read_plain(place: Path) -> Any:
    return files.read_json(place / "plain.json")


WRITERS: dict[str, tuple[type, Callable[[Any, Path], None]]] = {
    "predictions": (Predictions, predicting.save),
    "scan": (Scan, _write_scan),
    "explanations": (tuple, _write_explanations),
    "plain": (dict, _write_plain),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "predictions": predicting.load,
    "scan": _read_scan,
    "explanations": _read_explanations,
    "plain": _read_plain,
}
