"""A run's folder: what was asked, what happened, what came of it, so that it can be resumed, audited again, shown.

Of several ranks the first alone holds it and writes; the others read what it wrote.

settings.json           what the run was asked to do
data.parquet            id, split, sha256 of each row: what the model has and has not seen
quarantine.csv          the files that were left out, and why
progress.jsonl          what happened, line by line
checkpoint.safetensors  the last state of an unfinished training
checkpoints/            with --keep-checkpoints: weights on the way, each a file named for its step
model/                  the trained model
findings.json, report.html
shown/                  what a report draws: the findings name the folder in it that is theirs
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seewhy.processes import ranks
from seewhy.settings import Settings
from seewhy.storage import files
from seewhy.types import Dataset, Problem, Scan


@dataclass(frozen=True, slots=True)
class Changes:
    """Which images, by id, are not what they were when a model was made from them, and how many are.

    Where none is (`kept` is 0) these are other data, whatever the files are called.
    """

    kept: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.new)

    def __str__(self) -> str:
        """Such as "1 changed ('cat/1.png'), 2 new ('cat/2.png', 'cat/3.png')"."""
        return ", ".join(
            f"{len(ids):,} {name} ({', '.join(map(repr, ids[:5]))}{', ...' if len(ids) > 5 else ''})"
            for name, ids in (("changed", self.changed), ("missing", self.missing), ("new", self.new))
            if ids
        )

    def problems(self) -> Iterator[Problem]:
        """Each file that has changed, and how many are missing or new, for a model that is asked about these data;
        nothing of other data."""
        if not self.kept:
            return
        for id in self.changed:
            yield Problem("changed-since-training", id, "the model was trained when this file held other bytes")
        if self.missing:
            what = f"{len(self.missing):,} images that the model was made from are not here; this is the first"
            yield Problem("missing-since-training", self.missing[0], what)
        if self.new:
            what = f"{len(self.new):,} images were not here when the model was made; this is the first"
            yield Problem("new-since-training", self.new[0], what)


class Run:
    """One run's folder. Every file in it is written whole or not at all."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def start(cls, settings: Settings, *, out: str | Path | None = None, root: str | Path = "runs") -> Run:
        """The folder named, or the unfinished run of the same settings under `root`, or a new folder there.

        Raises ValueError if `out` holds a run of other settings, or files that are no run's.
        """
        if out is not None:
            run = cls(out)
            run._take(settings)
            return run
        data = Path(settings.data)
        called = f"{data.parent.name} {data.stem}" if data.suffix in (".parquet", ".csv", ".jsonl") else data.name
        name = re.sub(r"[^\w.-]+", "-", called).strip("-.")[:60] or "data"
        number = 1
        while (run := cls(Path(root) / (name if number == 1 else f"{name}-{number}"))).folder.exists():
            if not run.finished and run.settings == settings:
                break
            number += 1
        run._take(settings)
        return run

    @classmethod
    def holding(cls, model: str | Path) -> Run:
        """The run of that folder, or of the folder around a saved model."""
        folder = Path(model)
        inside = (folder / "model.json").is_file() and (folder.parent / "settings.json").is_file()
        return cls(folder.parent if inside else folder)

    def _take(self, settings: Settings) -> None:
        for data in (settings.data, settings.test):
            if data is not None and Path(data).is_dir() and self.folder.resolve().is_relative_to(Path(data).resolve()):
                raise ValueError(f"{self.folder} lies inside the data, which are only read; name a folder with --out")
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; a run needs a folder")
        before = self.settings
        if before is None and self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder} is not empty and holds no run; name a new folder with --out")
        if before is not None and before != settings:
            ours, theirs = settings.as_dict(), before.as_dict()
            differ = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
            raise ValueError(
                f"{self.folder} holds a run with other settings ({', '.join(differ)}); name another folder with --out"
            )
        files.write_json(self.folder / "settings.json", settings.as_dict())

    @property
    def settings(self) -> Settings | None:
        """What the run was asked; None if the folder holds no run."""
        path = self.folder / "settings.json"
        return Settings.from_dict(files.read_json(path)) if path.is_file() else None

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return (self.folder / "findings.json").is_file()

    @property
    def model_folder(self) -> Path:
        """Where the trained model is, or will be."""
        return self.folder / "model"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the system lets go of it when the process ends, however it ends.

        Raises RuntimeError naming the process that holds it already.
        """
        if not ranks.is_first():
            yield
            return
        lock, holder = FileLock(self.folder / "lock"), self.folder / "holder"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text(encoding="utf-8") if holder.exists() else "unknown"
            raise RuntimeError(f"{self.folder} is in use by process {who}") from None
        try:
            files.sweep(self.folder)
            files.write_text(holder, str(os.getpid()))
            yield
        finally:
            files.remove(holder, quietly=True)
            lock.release()

    @ranks.by_the_first
    def log(self, row: Mapping[str, Any]) -> None:
        """Add a line to what happened."""
        files.append_line(self.folder / "progress.jsonl", dict(row))

    def logged(self) -> list[dict[str, Any]]:
        """What happened so far."""
        return files.read_lines(self.folder / "progress.jsonl")

    @ranks.by_the_first
    def save_checkpoint(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Keep the state of a training, in one file, so that it is the old state or the new one."""
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        files.write_bytes(self.folder / "checkpoint.safetensors", save(whole, {"state": json.dumps(plain)}))

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state kept last; None if there is none. Raises ValueError if the file is damaged."""
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return None
        try:
            return _with_state(path)
        except ValueError as error:
            raise ValueError(f"{error}; delete it to train from the beginning") from error

    @ranks.by_the_first
    def drop_checkpoint(self) -> None:
        """A finished training needs no state."""
        files.remove(self.folder / "checkpoint.safetensors")

    @ranks.by_the_first
    def keep_weights(self, weights: Mapping[str, Tensor], *, step: int, learning_rate: float) -> None:
        """Keep what the network was after a step, for good. Made again after a kill, the file is the same."""
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        told = {"state": json.dumps({"step": step, "learning_rate": learning_rate})}
        files.write_bytes(self.folder / "checkpoints" / f"{step:08d}.safetensors", save(whole, told))

    def kept_weights(self) -> Iterator[tuple[dict[str, Tensor], int, float]]:
        """Weights, step and learning rate of each moment that was kept, in order, one at a time.

        Raises ValueError for a file that is damaged.
        """
        for path in sorted((self.folder / "checkpoints").glob("*.safetensors")):
            tensors, told = _with_state(path)
            try:
                yield tensors, int(told["step"]), float(told["learning_rate"])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path} does not tell its step and its learning rate") from error

    @ranks.by_the_first
    def drop_weights(self) -> None:
        """A training that begins anew may take other steps."""
        files.remove(self.folder / "checkpoints")

    @ranks.by_the_first
    def save_data(self, dataset: Dataset, scan: Scan) -> None:
        """Remember which rows were in which split, by content."""
        hashes = dict(zip(scan.files["id"].to_pylist(), scan.files["sha256"].to_pylist(), strict=True))
        table = pa.table(
            {"id": dataset.ids, "split": list(dataset.splits), "sha256": [hashes[id] for id in dataset.ids]}
        )
        buffer = io.BytesIO()
        pa.parquet.write_table(table, buffer)
        files.write_bytes(self.folder / "data.parquet", buffer.getvalue())

    @ranks.by_the_first
    def save_quarantine(self, scan: Scan) -> None:
        """List the files that were left out, for whoever is to mend them."""
        rows = ((problem.where, problem.code, problem.size, problem.what) for problem in scan.quarantine)
        files.write_csv(self.folder / "quarantine.csv", ("path", "code", "bytes", "what"), rows)

    def _rows(self) -> list[dict[str, Any]] | None:
        """What `save_data` wrote; None if nothing is known."""
        path = self.folder / "data.parquet"
        return pa.parquet.read_table(path).to_pylist() if self.settings is not None and path.is_file() else None

    def splits_of(self, ids: Sequence[str], hashes: Sequence[str]) -> tuple[str, ...] | None:
        """The split of each row when the model was made: of the same row, else of the same content, else, if these are
        its data and this file was changed since, of the same id, else "test".

        Content that the model has seen in training counts as seen wherever else it lies. None if nothing is known.
        """
        rows, changes = self._rows(), self.changes(ids, hashes)
        if rows is None or changes is None:
            return None
        order = ("test", "val", "train")
        rows = sorted(rows, key=lambda row: order.index(row["split"]))
        known: dict[Any, str] = {row["sha256"]: row["split"] for row in rows}
        known |= {(row["id"], row["sha256"]): row["split"] for row in rows}
        changed = {row["id"]: row["split"] for row in rows} if changes.kept else {}
        return tuple(
            known.get((id, sha256), known.get(sha256, changed.get(id, "test")))
            for id, sha256 in zip(ids, hashes, strict=True)
        )

    def changes(self, ids: Sequence[str], hashes: Sequence[str]) -> Changes | None:
        """What is otherwise in these data than in those the model was made from; None if nothing is known of them."""
        rows = self._rows()
        if rows is None:
            return None
        before, now = {row["id"]: row["sha256"] for row in rows}, dict(zip(ids, hashes, strict=True))
        return Changes(
            kept=len(before.items() & now.items()),
            changed=tuple(id for id in now if id in before and before[id] != now[id]),
            missing=tuple(id for id in before if id not in now),
            new=tuple(id for id in now if id not in before),
        )

    def check_data(self, ids: Sequence[str], hashes: Sequence[str]) -> None:
        """Raises ValueError, naming the files, where a run would go on with other data than it began with."""
        changes = self.changes(ids, hashes)
        if changes:
            raise ValueError(
                f"The data are not those that {self.folder} was trained on: {changes}. Put them back to go on with it, "
                "or name another folder with --out to train on them as they are now."
            )

    def save_shown(self, images: Mapping[str, np.ndarray], beside: Iterable[tuple[str, bytes]]) -> str:
        """Keep what the report draws, thumbnails and the files `beside` them, so that it can be written again without
        the data. Returns the name under which the findings are to remember it; what earlier ones name stays."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"image{place}": image for place, image in enumerate(images.values())}
        np.savez_compressed(buffer, names=np.array(json.dumps(list(images))), **arrays)
        contents = [("pictures.npz", buffer.getvalue()), *beside]
        name = files.fingerprint([hashlib.sha256(content).hexdigest() for _, content in contents])
        files.write_folder(self.folder / "shown" / name, contents)
        return name

    def shown(self, name: object) -> Path | None:
        """The folder of what the findings with that name draw; None if there is none."""
        folder = self.folder / "shown" / str(name)
        return folder if re.fullmatch(r"[0-9a-f]{16}", str(name)) and folder.is_dir() else None

    def drop_shown(self, *, but: str) -> None:
        """Forget what only earlier findings draw."""
        for folder in (self.folder / "shown").iterdir():
            if folder.name != but:
                files.remove(folder, quietly=True)


def _with_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what it tells of them. Raises ValueError where it is damaged."""
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return tensors, json.loads(opened.metadata()["state"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def pictures(shown: Path) -> dict[str, np.ndarray]:
    """The thumbnails by id."""
    with np.load(shown / "pictures.npz", allow_pickle=False) as kept:
        names = json.loads(str(kept["names"]))
        return {name: kept[f"image{place}"] for place, name in enumerate(names)}
