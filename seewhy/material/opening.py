"""From a place to images that can be learnt from or asked about: opened, scanned, rid of what cannot be used, split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from seewhy import data as sources
from seewhy import shelf
from seewhy.material import scanning, splitting
from seewhy.model import Model
from seewhy.processes import ranks
from seewhy.settings import Settings
from seewhy.storage.cache import Cache, code_version
from seewhy.storage.files import fingerprint
from seewhy.storage.run import Run
from seewhy.types import Dataset, Problem, Progress, Scan


@dataclass(frozen=True, eq=False)
class Material:
    """A data set that was looked at before anything is learnt from it. `digest` names its content and its split."""

    dataset: Dataset
    scan: Scan
    digest: str


def open_material(
    settings: Settings, cache: Cache, *, data: Any = None, model: Model | None = None
) -> Generator[Progress, None, Material]:
    """Open, scan (or remember the scan), drop what cannot be used, split. `data` is for images that are in memory.

    For a given model, rows that it was trained on stay in their split and all others are for testing.
    """
    dataset, scan = yield from _usable(settings, cache, data, model)
    return _material(_split(dataset, scan, settings, model), scan)


def open_learnt(
    settings: Settings, cache: Cache, model: Model, *, data: Any = None
) -> Generator[Progress, None, tuple[Material, bool]]:
    """The images that a given model was trained on, as the training split, and whether that is known. Where it is not,
    the data's own training split counts as that, else every image. None need be left for testing."""
    dataset, scan = yield from _usable(settings, cache, data, model)
    again = _split_again(dataset, scan, settings, model)
    known = again is not None and "train" in again.splits
    chosen = again if again is not None and known else dataset
    if "train" not in chosen.splits:
        chosen = replace(chosen, splits=("train",) * len(chosen))
    return _material(chosen, scan), known


def _usable(
    settings: Settings, cache: Cache, data: Any, model: Model | None
) -> Generator[Progress, None, tuple[Dataset, Scan]]:
    """The rows that can be used, and what was found out about them."""
    yield Progress("open", 0, 1, note=settings.data)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    dataset = _opened(settings.data if data is None else data, settings)
    if settings.test is not None:
        dataset = sources.joined(dataset, _opened(settings.test, settings))
    if model is not None:
        _check_classes(dataset, model)
    scan = yield from ranks.once_through(remembered_scan(dataset, cache, settings.threads))
    dataset = scanning.usable(dataset, scan)
    if not len(dataset):
        raise ValueError(f"{settings.data} holds no image that can be used: {_why_none(scan)}")
    return dataset, scan


def _material(dataset: Dataset, scan: Scan) -> Material:
    """Raises ValueError where ranks find other images."""
    digest = _digest(dataset, scan)
    if digest != ranks.once(lambda: digest):
        raise ValueError(f"Rank {ranks.number()} finds other images in {dataset.name} than rank 0 does")
    return Material(dataset, scan, digest)


def _opened(location: Any, settings: Settings) -> Dataset:
    return sources.open(location, label=settings.label, allow_outside=settings.allow_outside)


def _split(dataset: Dataset, scan: Scan, settings: Settings, model: Model | None) -> Dataset:
    """Split for training, or so that nothing is tested that the given model was trained on."""
    if model is None:
        return splitting.split(dataset, scan, seed=settings.seed, how=settings.split, by=settings.split_by)
    again = _split_again(dataset, scan, settings, model)
    if again is None and "test" in dataset.splits:
        again = replace(dataset, splits=tuple(split or "train" for split in dataset.splits))
    elif again is None:
        again = replace(dataset, splits=("test",) * len(dataset))
        if "data_digest" in model.provenance:
            what = "the model lies outside its run, so it is not known which of these images it was trained on"
            again = replace(again, problems=(*again.problems, Problem("unknown-training", dataset.name, what)))
    if "test" not in again.splits:
        raise ValueError(f"{dataset.name} holds no image to test {model.name} on: it was trained on all of them")
    return again


def _split_again(dataset: Dataset, scan: Scan, settings: Settings, model: Model) -> Dataset | None:
    """As it was split when the model was trained, by what its run wrote down or by doing it once more; or None."""
    if settings.model is not None:
        run, hashes = Run.holding(settings.model), hashes_of(dataset, scan)
        splits = run.splits_of(dataset.ids, hashes)
        if splits is not None:
            changes = run.changes(dataset.ids, hashes)
            since = changes.problems() if changes else ()
            return replace(dataset, splits=splits, problems=(*dataset.problems, *since))
    how = model.provenance.get("split") or {}
    if not how or how.get("by") not in (None, *dataset.tags):
        return None
    again = splitting.split(dataset, scan, **how)
    return again if _digest(again, scan) == model.provenance.get("data_digest") else None


def _check_classes(dataset: Dataset, model: Model) -> None:
    """Raises ValueError where the data have a class that the model cannot answer; it may know more."""
    held = set(dataset.targets)
    unknown = [name for name in dataset.classes if name in held and name not in model.classes]
    if unknown:
        raise ValueError(
            f"{dataset.name} has the class {unknown[0]!r}, which {model.name} cannot answer. "
            f"{shelf.nearest(unknown[0], model.classes)}The data have: {_some(dataset.classes)}. The model answers: "
            f"{_some(model.classes)}. Rename the classes, or say with --mapping which ones stand for which."
        )


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def hashes_of(dataset: Dataset, scan: Scan) -> list[str]:
    """The sha256 of each row's bytes."""
    hashes = _hashes(scan)
    return [hashes[id] for id in dataset.ids]


def _hashes(scan: Scan) -> dict[str, str]:
    return dict(zip(scan.files["id"].to_pylist(), scan.files["sha256"].to_pylist(), strict=True))


def _digest(dataset: Dataset, scan: Scan) -> str:
    """A name for the content, labels, tags and split of all rows."""
    hashes = _hashes(scan)
    rows = zip(dataset.ids, dataset.targets, dataset.splits, strict=True)
    tags = {name: [str(value) for value in column] for name, column in dataset.tags.items()}
    return fingerprint([[(id, hashes[id], target, split) for id, target, split in rows], tags])


def remembered_scan(dataset: Dataset, cache: Cache, threads: int | None) -> Generator[Progress, None, Scan]:
    """The scan of exactly these bytes, made now or remembered; not remembered where it hung on the moment."""
    digest = hashlib.sha256(
        repr((dataset.ids, dataset.targets, dataset.splits, dataset.problems)).encode("utf-8", "surrogateescape")
    )
    for index in range(len(dataset)):
        try:
            digest.update(dataset.content(index))
        except (OSError, ValueError) as error:  # the scan itself will say which file and why
            digest.update(str(error).encode("utf-8", "surrogateescape"))
        if index % 1000 == 0:
            yield Progress("read", index, len(dataset))
    key = f"scan-{fingerprint([digest.hexdigest(), code_version()])}"
    found = cache.get(key)
    if found is None:
        found = yield from scanning.scan(dataset, threads=threads)
        if not any(problem.code in scanning.OF_THE_MOMENT for problem in found.quarantine):
            cache.put(key, found)
    return found


def scanned(settings: Settings, cache: Cache | None = None) -> Generator[Progress, None, dict[str, Any]]:
    """What `seewhy scan` tells: counts, classes, problems, look-alikes, as plain values."""
    dataset = _opened(settings.data, settings)
    scan = yield from remembered_scan(dataset, cache or Cache(), settings.threads)
    return {
        "data": dataset.name,
        "images": len(dataset),
        "usable": len(scanning.usable(dataset, scan)),
        "classes": list(dataset.classes),
        "tags": list(dataset.tags),
        "problems": [dataclasses.asdict(problem) for problem in scan.problems],
        "quarantine": [
            {"path": problem.where, "code": problem.code, "bytes": problem.size, "what": problem.what}
            for problem in scan.quarantine
        ],
        "same": [list(group) for group in scan.same],
        "near": [list(group) for group in scan.near],
        "duplicates": scanning.duplicates(scan),
    }


def _why_none(scan: Scan) -> str:
    if not scan.problems:
        return "there are no rows with a label"
    first = scan.problems[0]
    return f"{len(scan.problems)} problem(s), the first: {first.where}: {first.what}"
