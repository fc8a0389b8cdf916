"""Writing files so that whoever looks, and whenever the power goes, there is the old file or the new one.

A temporary file beside the target, flushed to the disk, then renamed over it, then the folder flushed: a plain
`torch.save` that is killed leaves a broken file nearly always, this never.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: Ends the name of every file that is not finished yet; `sweep` removes what a killed process left.
UNFINISHED = ".unfinished"


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write the whole file or leave what was there. Raises OSError naming the path, the need and what is free."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}{UNFINISHED}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"{error.strerror} ({_space(target.parent, len(data))})", str(target)) from error
    _flush_folder(target.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, all of it or none."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON, all of it or none; NaN is refused, for it is no JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table that a spreadsheet opens as it is, all of it or none; no cell of it is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in rows)
    write_text(path, text.getvalue())


def cell(text: str) -> str:
    """Text for a cell of a CSV: a ' before what a spreadsheet would take for a formula, such as a file's name."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def read_json(path: str | Path) -> Any:
    """Read JSON. Raises ValueError naming the file where it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from error


def append_line(path: str | Path, value: Any) -> None:
    """Add one line of JSON to a log. A kill breaks at most the last line, which the next one does not join."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    with Path(path).open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(line.encode("utf-8"))


def read_lines(path: str | Path) -> list[Any]:
    """The whole lines of a JSON log; a last line that a kill cut off is left out."""
    lines = []
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
    return lines


def sha256(path: str | Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """A short stable name for plain values: equal values, equal names, in any process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def sweep(folder: str | Path) -> None:
    """Remove the temporary files that a killed process left in a folder of ours."""
    for stale in Path(folder).rglob(f"*{UNFINISHED}"):
        stale.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no such handle and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _space(folder: Path, needed: int) -> str:
    with contextlib.suppress(OSError):
        return f"needed {needed / 1e6:.1f} MB, free {shutil.disk_usage(folder).free / 1e6:.1f} MB"
    return f"needed {needed / 1e6:.1f} MB"
