"""Can the label be told from a plain property of the image, and does the network go by it?

Half of a sample of the training images fits a rule a property, the other half judges it (seewhy/statistics/telling.py): that is
where a network may have learnt it, whether or not the test images have it too. Properties are measured on the images as
the network sees them, and read off the files: size, bytes, folder, camera. For each that tells the label, and that can
be changed alone, the network is asked again about test images with it changed (the intervention `matched`): only a
suspicion costs passes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from seewhy import chance
from seewhy.images import decoding, measuring, objects
from seewhy.loading import Loader
from seewhy.statistics import significance, telling
from seewhy.tables import Subject, Unavailable
from seewhy.tables.intervention import POOL
from seewhy.types import Dataset, Need, Predictions, Progress

shared = True

#: What is measured where, and what each is called.
MEASURED = {
    ("brightness", "all"): "the brightness of the image",
    ("brightness", "object"): "the brightness of the object",
    ("brightness", "background"): "the brightness of the background",
    ("colour", "all"): "the tint of the image",
    ("colour", "object"): "the colour of the object",
    ("colour", "background"): "the colour of the background",
    ("contrast", "all"): "the contrast of the image",
    ("sharpness", "all"): "the sharpness of the image",
}
NAMES = {name: key for key, name in MEASURED.items()}
#: A property that spreads less than this does not differ between images.
LEAST_SPREAD = 1e-4
#: A mean brightness or colour is blurred by as much as this at random: means over many pixels differ by fractions of a
#: level that nobody could see, and a rule would live on them.
LEVEL = 1 / 255
#: Rows that a rule needs in all, on either side.
LEAST = 20


def make(subject: Subject, *, count: int = 500, alpha: float = 0.05) -> Generator[Progress, None, dict[str, Any]]:
    """`told`, an entry a property with its balanced accuracy and p (Holm over all), and `asked`, what the network says.

    No pass where no property tells the label, otherwise 2 an image and property. Raises Unavailable for too few rows.
    """
    loader = subject.loader(*(("train", POOL) if "train" in subject.material.dataset.splits else ("test", count)))
    yield from loader.prepare()
    values, guessed = yield from _measured(loader, subject.settings.seed)
    values = {name: each for name, each in (values | _of_files(loader.dataset, subject)).items() if _differs(each)}
    labels, fitted, judged = _rows(loader.dataset, subject.model.classes, subject.settings.seed)
    told = {
        name: telling.told(column, labels, fitted, judged, seed=subject.settings.seed)
        for name, column in values.items()
    }
    adjusted = dict(zip(told, significance.holm([each.p for each in told.values()]).tolist(), strict=True))
    suspects = [name for name in told if adjusted[name] < alpha]
    suspects = _apart(suspects, values, labels, fitted, judged, subject.settings.seed)
    asked = {}
    for name in suspects:
        if name in NAMES:
            asked[name] = yield from _asked(subject, name, count)
    entries = [
        {
            "name": name,
            **each.accuracy._asdict(),
            "guessing": each.guessing,
            "p": adjusted[name],
            "suspect": name in suspects,
        }
        for name, each in told.items()
    ]
    split = "training" if "train" in subject.material.dataset.splits else "test"
    return {"told": entries, "asked": asked, "judged": len(judged), "split": split, "guessed": guessed}


def _rows(dataset: Dataset, classes: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels as places among the classes, -1 for none; and the rows that fit and that judge, drawn by id."""
    places = {name: place for place, name in enumerate(classes)}
    labels = np.array([places.get(str(target), -1) for target in dataset.targets])
    first = chance.uniform(chance.keys(list(dataset.ids)), seed=seed, stream="judged")[:, 0].numpy() < 0.5
    fitted, judged = (np.flatnonzero((labels >= 0) & side) for side in (first, ~first))
    both = np.intersect1d(labels[fitted], labels[judged])
    if min(len(fitted), len(judged)) < LEAST or len(both) < 2:
        raise Unavailable(
            f"it takes {2 * LEAST} labelled images of two classes, half to fit a rule and half to judge it"
        )
    return labels, fitted[np.isin(labels[fitted], both)], judged[np.isin(labels[judged], both)]


def _apart(
    suspects: Sequence[str],
    values: Mapping[str, np.ndarray],
    labels: np.ndarray,
    fitted: np.ndarray,
    judged: np.ndarray,
    seed: int,
) -> list[str]:
    """The suspects without those that only echo another: what the whole image tells because a part of it does, and what
    both parts tell alike because the whole image does (a tint)."""
    kept = list(suspects)
    for what in ("brightness", "colour"):
        whole, thing, behind = (MEASURED[what, where] for where in ("all", "object", "background"))
        parts = [name for name in (thing, behind) if name in kept]
        if len(parts) == 2:
            found = [
                telling.told(column, labels, fitted, judged, seed=seed)
                for column in (values[thing], values[behind], values[thing] - values[behind])
            ]
            of_thing, of_behind, between = (each.accuracy.value - each.guessing for each in found)
            apart = between >= min(of_thing, of_behind) / 2
            echo = [whole] if apart else parts
            kept = [name for name in kept if name not in echo]
            if not apart and whole not in kept:
                kept.append(whole)
        elif parts:
            kept = [name for name in kept if name != whole]
    return kept


def _asked(subject: Subject, name: str, count: int) -> Generator[Progress, None, dict[str, Any]]:
    """What the network says when one property alone is that of another class, and of the same class: by id."""
    what, where = NAMES[name]
    settings = (("what", what), ("where", where))
    found: list[Predictions] = []
    for placebo in (False, True):
        need = Need("intervention", intervention="matched", settings=settings, placebo=placebo, count=count)
        found.append((yield from subject.table(need)))
    rows = np.flatnonzero([target is not None for target in found[0]["target"]])
    columns: dict[str, Any] = {"id": found[0]["id"][rows].tolist()}
    columns["condition"] = str(found[0]["condition"][0]) if len(found[0]) else ""
    columns["change"] = {"intervention": "matched", "settings": dict(settings)}
    for prefix, each in zip(("", "placebo_"), found, strict=True):
        for column in ("right", "logodds_true"):
            columns[prefix + column] = each[column][rows].tolist()
    return columns


# ------------------------------------------------------------------------------------------------------ measuring


def _measured(loader: Loader, seed: int) -> Generator[Progress, None, tuple[dict[str, np.ndarray], float]]:
    """Each property of MEASURED, rows x numbers; and of which share of the images the object was guessed."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in NAMES}
    known, done = 0, 0
    for batch in loader.batches(range(len(loader)), 128):
        known += int(objects.known(batch).sum())
        thing = objects.found(batch)
        regions = {"all": torch.ones_like(thing), "object": _inner(thing), "background": _inner(~thing)}
        for where, region in regions.items():
            for what, numbers in measuring.measured(batch.inputs["image"], region).items():
                if (what, where) in MEASURED:
                    parts[MEASURED[what, where]].append(numbers)
        done += len(batch)
        yield Progress("measure", done, len(loader))
    held = {name: torch.cat(numbers).double().numpy() for name, numbers in parts.items()}
    keys = chance.keys(list(loader.dataset.ids))
    for name, (what, _) in NAMES.items():
        if what in ("brightness", "colour"):
            blur = chance.uniform(keys, seed=seed, stream=f"level of {name}", draws=held[name].shape[1]).numpy()
            held[name] = held[name] + (2 * blur - 1) * LEVEL
    return held, 1 - known / max(len(loader), 1)


def _inner(region: Bool[torch.Tensor, "batch height width"]) -> Bool[torch.Tensor, "batch height width"]:
    """Without the pixels on its edge, in which two things may be mixed; the region itself where that leaves nothing."""
    within = ~objects.grown(~region, 1)
    return torch.where(within.flatten(1).any(1)[:, None, None], within, region)


def _of_files(dataset: Dataset, subject: Subject) -> dict[str, np.ndarray]:
    """What the files tell: sizes in pixels and bytes, folder, camera."""
    files = subject.material.scan.files
    ids = {id: row for row, id in enumerate(files["id"].to_pylist())}
    rows = [ids[id] for id in dataset.ids]
    width, height, size = (
        np.array([files[name][row].as_py() or 1 for row in rows], dtype=float) for name in ("width", "height", "bytes")
    )
    found: dict[str, np.ndarray] = {
        "the width and height in pixels": np.log(np.stack([width, height], 1)),
        "the size of the file": np.log(size)[:, None],
        "the bytes a pixel takes": np.log(size / (width * height))[:, None],
        "the folder": np.array([[_folder(id, subject)] for id in dataset.ids], dtype=object),
    }
    if len(dataset) and dataset.file_name(0) is not None:
        cameras = [[decoding.camera(dataset.content(row))] for row in range(len(dataset))]
        found["the camera that the file names"] = np.array(cameras, dtype=object)
    return found


def _folder(id: str, subject: Subject) -> str:
    """The folder of an id without what only names its class or split."""
    plain = {*map(str.casefold, map(str, subject.material.dataset.classes)), "train", "val", "valid", "test"}
    return "/".join(part for part in PurePosixPath(id).parts[:-1] if part.casefold() not in plain)


def _differs(column: np.ndarray) -> bool:
    """Whether it differs between images at all; words must also come often enough to be more than names."""
    if column.dtype == object:
        many = len(set(column[:, 0]))
        return 1 < many <= len(column) / 4
    return bool((column.std(0) > LEAST_SPREAD).any())
