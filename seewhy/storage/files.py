"""Writing files so that whoever looks, and whenever the power goes, there is the old file or the new one.

A temporary file beside the target, flushed to the disk, then renamed over it, then the folder flushed: a plain
`torch.save` that is killed leaves a broken file nearly always, this never. What takes several files is a folder that
is renamed whole (`write_folder`), or one file that is written last and names others that are never written over.
Nothing else in the package writes.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

#: Ends the name of every file and folder that is not finished yet, after the number of the process that makes it.
UNFINISHED = ".unfinished"
#: What a folder answers that cannot be flushed, as on some network file systems.
NOT_FLUSHED = (errno.EINVAL, errno.ENOTSUP)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write the whole file or leave what was there. Raises OSError naming the path, the need and what is free, and
    ValueError where something lies there that is no file, such as a device."""
    target = Path(path)
    if target.exists() and not target.is_file():
        raise ValueError(f"{target} is no file, so nothing is written there")
    temporary = _unfinished(target)
    with _told(target, lambda: len(data)):
        target.parent.mkdir(parents=True, exist_ok=True)
        drop_left(target.parent, f"{target.name}.")
        try:
            _write(temporary, data)
            temporary.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(target.parent)


def write_folder(path: str | Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write a folder of named files that comes into being whole, or not at all; one that is there stays as it is.

    Raises OSError naming the path, the need so far and what is free.
    """
    target = Path(path)
    temporary, needed = _unfinished(target), 0
    with _told(target, lambda: needed):
        target.parent.mkdir(parents=True, exist_ok=True)
        drop_left(target.parent, f"{target.name}.")
        try:
            temporary.mkdir()
            for name, data in contents:
                needed += len(data)
                _write(temporary / name, data)
            _flush_folder(temporary)
            try:
                temporary.replace(target)
            except OSError:
                if not target.is_dir():  # otherwise it was there, or another process was quicker
                    raise
        finally:
            remove(temporary, quietly=True)
        _flush_folder(target.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, all of it or none."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON, all of it or none; NaN is refused, for it is no JSON."""
    write_bytes(path, as_json(value))


def as_json(value: Any) -> bytes:
    """Readable JSON as the bytes of a file. Raises ValueError for NaN."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


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
    """Read JSON. Raises ValueError naming the file where it is none, or is nested without end."""
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from error


def append_line(path: str | Path, value: Any) -> None:
    """Add one line of JSON to a log, or none. A kill breaks at most the last line, which the next one does not join."""
    line = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    target = Path(path)
    with _told(target, lambda: len(line)):
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            if size and _last_byte(handle, size) != b"\n":
                line = b"\n" + line
            try:
                _write_all(handle, line)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)


def read_lines(path: str | Path) -> list[Any]:
    """The whole lines of a JSON log; a last line that a kill cut off is left out."""
    lines = []
    if Path(path).exists():
        for line in Path(path).read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
    return lines


def make_folder(path: str | Path) -> None:
    """A folder and those above it. Raises OSError naming it."""
    folder = Path(path)
    if not folder.is_dir():
        with _told(folder, lambda: 0):
            folder.mkdir(parents=True, exist_ok=True)


def remove(path: str | Path, *, quietly: bool = False) -> None:
    """A file, or a folder with all that is in it; it may be gone already. `quietly` leaves what cannot be removed.

    A folder is renamed first, so that no half of it is ever found under its name.
    """
    target = Path(path)
    try:
        if target.is_dir() and not target.is_symlink():
            if not target.name.endswith(UNFINISHED):
                target = target.replace(_unfinished(target))
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    except OSError:
        if not quietly:
            raise


def sha256(path: str | Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """A short stable name for plain values: equal values, equal names, in any process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def sweep(folder: str | Path) -> None:
    """Remove all that a killed process left unfinished in a folder, and below it, where no other can be at work."""
    for stale in list(Path(folder).rglob(f"*{UNFINISHED}")):
        remove(stale)


def drop_left(folder: Path, start: str = "") -> None:
    """Remove what killed processes left unfinished in a folder, if its name starts so; not what others are writing."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            named = [entry.name for entry in entries if entry.name.startswith(start)]
        for name in named:
            maker = re.search(rf"\.(\d+){re.escape(UNFINISHED)}$", name)
            if maker is not None and not _at_work(int(maker[1])):
                remove(folder / name)


def _unfinished(target: Path) -> Path:
    return target.with_name(f"{target.name}.{os.getpid()}{UNFINISHED}")


def _at_work(process: int) -> bool:
    """Whether another process of that number is there; yes, where that cannot be known."""
    if process == os.getpid():
        return False
    if os.name != "posix":  # there, to ask after a process would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _write(path: Path, data: bytes) -> None:
    """A new file, flushed to the disk."""
    free = shutil.disk_usage(path.parent).free
    if len(data) > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _write_all(handle, data)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def _last_byte(handle: int, size: int) -> bytes:
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1)


def _flush_folder(folder: Path) -> None:
    """Make a rename itself durable; Windows has no such handle and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in NOT_FLUSHED:
                raise
        finally:
            os.close(handle)


@contextlib.contextmanager
def _told(target: Path, needed: Callable[[], int]) -> Iterator[None]:
    """An OSError that names what was to be written, how much of it there is and how much is free."""
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error} ({_space(target, needed())})"
        raise OSError(error.errno, why, str(target)) from error


def _space(target: Path, needed: int) -> str:
    there = next((folder for folder in target.parents if folder.is_dir()), Path())
    with contextlib.suppress(OSError):
        return f"needed {needed / 1e6:.1f} MB, free {shutil.disk_usage(there).free / 1e6:.1f} MB"
    return f"needed {needed / 1e6:.1f} MB"
