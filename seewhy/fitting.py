"""From images to a trained model: open, scan, split, choose a network, train, save; resumable at every step."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import platform
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from seewhy import augmenting, board, choosing, networks, ranks, rate_finder, scanning, shelf, splitting, training
from seewhy import data as sources
from seewhy.cache import Cache
from seewhy.choosing import chosen_device
from seewhy.files import fingerprint
from seewhy.loading import Loader
from seewhy.model import Model
from seewhy.run import Run
from seewhy.settings import Settings
from seewhy.types import Dataset, Problem, Progress, Scan
from seewhy.weights import not_finite

#: A training is saved whenever this many seconds have gone by since the last time: what a kill can cost.
SAVE_EVERY = 20.0


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


def check(settings: Settings) -> None:
    """Raises for a network or device that does not exist, before any image is read."""
    chosen_device(settings.device)
    for name in ("classes", "mapping"):
        if getattr(settings, name) is not None and settings.model is None:
            raise ValueError(f"Setting {name} speaks of a given model, and none is; name one with --model")
    if settings.tensorboard:
        board.check()
    if settings.network is not None and settings.model is None and _own(settings.network) is None:
        with torch.device("meta"):
            networks.find(settings.network, classes=2, pretrained=False)


def _own(network: str | None) -> str | None:
    """The name of a network that only the user's own code can build, `package.module:factory`."""
    origin, _, function = (network or "").partition(":")
    return network if function and origin not in ("timm", "torchvision") else None


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
        run, hashes = Run.holding(settings.model), _hashes_of(dataset, scan)
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


def _hashes_of(dataset: Dataset, scan: Scan) -> list[str]:
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


def train(
    settings: Settings, *, out: str | Path | None = None, data: Any = None, cache: Cache | None = None
) -> Generator[Progress, None, tuple[Model, Run]]:
    """Train on images and save the model in a run's folder."""
    with ranks.together():
        check(settings)
        material = yield from open_material(settings, cache or Cache(), data=data)
        run = ranks.once(lambda: Run.start(settings, out=out))
        with run.locked():
            run.save_quarantine(material.scan)
            model = yield from fit(material, settings, run)
        return model, run


def fit(material: Material, settings: Settings, run: Run) -> Generator[Progress, None, Model]:
    """Train a network on the training split, or go on where a killed run stopped; returns the saved model.

    Raises ValueError where the data are not what they were when the run began.
    """
    ranks.once(lambda: run.check_data(material.dataset.ids, _hashes_of(material.dataset, material.scan)))
    if ranks.once((run.model_folder / "model.json").is_file):
        run.drop_checkpoint()  # killed after the one was written and before the other went
        return Model.load(run.model_folder, network=_own(settings.network))
    model, loop = _made_ready(material, settings)
    run.save_data(material.dataset, material.scan)
    torch.manual_seed(settings.seed)  # dropout draws from it
    kept = ranks.once(run.load_checkpoint)
    if kept is not None:
        loop.restore(*kept)
    else:
        run.drop_weights()
    watched = settings.tensorboard and ranks.is_first()
    with board.opened(run.folder / "tensorboard", loop.step) if watched else nullcontext() as shown:
        yield from _kept(loop, run, shown, model, settings.keep_checkpoints)
    how = dataclasses.asdict(loop.settings)
    model.provenance.update(training={**how, "steps": loop.steps}, best=loop.best, notes=loop.notes)
    model = model if settings.tta == "none" else model.seeing(settings.tta)
    if ranks.is_first():
        model.save(run.model_folder)
    run.drop_checkpoint()
    return model


def _made_ready(material: Material, settings: Settings) -> tuple[Model, training.Training]:
    """A model that has learnt nothing yet, and the training that it is to get."""
    dataset = material.dataset
    train, validation = dataset.split("train"), dataset.split("val")
    if len(set(train.targets)) < 2:
        raise ValueError(
            f"The training split of {dataset.name!r} has {len(set(train.targets))} class(es); a classifier needs 2. "
            f"{len(train)} rows of the classes {', '.join(map(repr, sorted(map(str, set(train.targets)))[:5]))}."
        )
    name, reason = choosing.network_for(dataset, material.scan, settings)
    built = networks.find(name, classes=len(dataset.classes), pretrained=settings.pretrained, seed=settings.seed)
    task = shelf.load("tasks", "classify").Classify(
        dataset.classes,
        choosing.preprocessing_for(dataset, material.scan, settings, built),
        label_smoothing=settings.label_smoothing,
        class_weights=choosing.balanced(train) if settings.class_weights == "balanced" else None,
    )
    model = Model.assemble(built, task, _provenance(material, settings, reason))
    return model, training.Training(
        model.network,
        task,
        Loader(train, task, threads=settings.threads, workers=settings.workers),
        Loader(validation, task, threads=settings.threads, workers=settings.workers) if len(validation) else None,
        choosing.usual(built, train, settings),
        chosen_device(settings.device),
    )


def _kept(loop: training.Training, run: Run, shown: board.Board | None, model: Model, keep: int) -> Iterator[Progress]:
    """The training; what it tells is logged and shown, its state saved every now and then, and the weights of so many
    moments kept."""
    logged = {row["step"] for row in run.logged()}  # some of it may come again after a kill
    saved = time.monotonic()
    try:
        for progress in loop:
            if progress.stage == "train" and progress.done in moments(progress.total or 0, keep):
                # Before anybody may stop here: a state that is saved at this step does not come back to it.
                weights, rate = model.network.body.state_dict(), progress.numbers["learning_rate"]
                if not not_finite(weights):  # the loop itself will end, and say so
                    run.keep_weights(weights, step=progress.done, learning_rate=rate)
            yield progress
            if shown is not None:
                shown.add(progress)
            if progress.stage == "validate" and progress.done not in logged:
                run.log({"step": progress.done, "steps": progress.total, **progress.numbers})
            if progress.stage in ("train", "validate") and time.monotonic() - saved > SAVE_EVERY:
                run.save_checkpoint(*loop.state())
                saved = time.monotonic()
    except GeneratorExit:  # between two steps, where the state is whole
        if loop.steps is not None:
            run.save_checkpoint(*loop.state())
        raise


def moments(steps: int, count: int) -> frozenset[int]:
    """The middles, in steps, of so many equal parts of a training: what stands for the steps around it."""
    return frozenset(max(1, math.ceil((part + 0.5) * steps / count)) for part in range(count))


def once_more(
    material: Material, settings: Settings, model: Model, *, seed_more: int
) -> Generator[Progress, None, Model]:
    """The same network taught the same once more, from a seed that is larger: other first weights, order, augmentation.

    The rows and the number of steps are the model's. Nothing is saved. Raises ValueError for a model of which it is not
    known how it was trained, or on what.
    """
    told = model.provenance.get("training")
    if not told or model.mapping is not None or "train" not in material.dataset.splits:
        raise ValueError("it is not known how the network was trained, and on which of these images")
    how = training.Settings(**{**told, "augmentation": augmenting.Augmentation(**told["augmentation"])})
    how = replace(how, seed=how.seed + seed_more, minutes=None)
    built = networks.find(
        model.name, classes=len(model.outputs), pretrained=how.fine_tune, seed=how.seed, **model.settings
    )
    again = Model.assemble(built, model.task)
    train, validation = material.dataset.split("train"), material.dataset.split("val")
    loaders = (
        Loader(rows, model.task, threads=settings.threads, workers=settings.workers) for rows in (train, validation)
    )
    loop = training.Training(
        again.network,
        model.task,
        next(loaders),
        next(loaders) if len(validation) else None,
        how,
        chosen_device(settings.device),
    )
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)  # dropout draws from it
        yield from loop
    return again if model.views == "none" else again.seeing(model.views)


def find_rate(
    settings: Settings, *, data: Any = None, cache: Cache | None = None
) -> Generator[Progress, None, rate_finder.Curve]:
    """Which learning rate suits this network and these images? Trains nothing and writes nothing."""
    check(settings)
    material = yield from open_material(settings, cache or Cache(), data=data)
    _, loop = _made_ready(material, settings)
    torch.manual_seed(settings.seed)
    yield from loop.train.prepare()
    return (yield from rate_finder.find(loop))


@functools.cache
def code_version() -> str:
    """A name for the code that makes tables: any change of it makes what is remembered stale. Read once: what changes
    while a process runs is not the code that it runs."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{version('seewhy')}-{digest.hexdigest()[:12]}"


def _provenance(material: Material, settings: Settings, reason: str) -> dict[str, Any]:
    """Where a model comes from: enough to make it again."""
    dataset = material.dataset
    return {
        "data": dataset.name,
        "data_digest": material.digest,
        "counts": {name: dataset.splits.count(name) for name in ("train", "val", "test")},
        "split": {"how": settings.split, "by": settings.split_by, "seed": settings.seed},
        "seed": settings.seed,
        "network_reason": reason,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """Of SeeWhy, Python and PyTorch."""
    return {"seewhy": version("seewhy"), "python": platform.python_version(), "torch": torch.__version__}


def _why_none(scan: Scan) -> str:
    if not scan.problems:
        return "there are no rows with a label"
    first = scan.problems[0]
    return f"{len(scan.problems)} problem(s), the first: {first.where}: {first.what}"
