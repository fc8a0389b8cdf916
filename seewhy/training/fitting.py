"""From images to a trained model: open, scan, split, choose a network, train, save; resumable at every step."""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from seewhy import networks, shelf, training
from seewhy.loading import Loader
from seewhy.material.opening import Material, hashes_of, open_material
from seewhy.model import Model
from seewhy.processes import ranks
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.storage.run import Run
from seewhy.storage.weights import not_finite
from seewhy.training import augmenting, board, choosing, rate_finder
from seewhy.training.choosing import chosen_device
from seewhy.types import Progress

#: A training is saved whenever this many seconds have gone by since the last time: what a kill can cost.
SAVE_EVERY = 20.0


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
    ranks.once(lambda: run.check_data(material.dataset.ids, hashes_of(material.dataset, material.scan)))
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
