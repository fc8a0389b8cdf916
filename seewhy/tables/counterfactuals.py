"""What is the smallest change that would have made the network answer otherwise?"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import chance, hooks
from seewhy.images import imaging
from seewhy.loading import Loader
from seewhy.model import Model
from seewhy.predicting import predict
from seewhy.tables import Subject, Unavailable, _editing
from seewhy.tables._editing import Edit
from seewhy.tables._peers import peers as found_peers
from seewhy.tables.intervention import POOL
from seewhy.types import Batch, Need, Predictions, Progress

#: The longer side, in pixels, at which an edited image is kept.
SIDE = 224


def make(
    subject: Subject,
    *,
    images: int = 8,
    cells: int = 6,
    steps: int = 100,
    peers: tuple[str, ...] = (),
    train: int = 0,
    count: int | None = 500,
) -> Generator[Progress, None, pa.Table]:
    """Two rows an image: `how` is "edit", a free smooth one, or "swap", of cells for those of a look-alike.

    For `images` test images, drawn by their ids, that the network is right on; `target` is the class it held next
    likeliest. `pixels` is the share that differ, `l2` the Euclidean distance of levels in [0, 1], `cells` which were
    swapped. `away` is the distance of the edited image's embedding to the nearest of the pool, `stranger` the share of
    real test images that lie as far away or farther. Of the `asked` peers, which said the same of the image as it is,
    `followed` say the target of the edited one. `picture` is a PNG of it, `condition` its name.
    """
    chosen = yield from _choose(subject, images, count)
    pool, seen = yield from _pool(subject)
    others = yield from found_peers(subject, peers, train)
    network = subject.model.network.to(subject.device)
    batch = _wanting(subject, chosen)
    donors, donor_ids = _look_alikes(subject, chosen, pool, seen)
    found: dict[str, Edit] = {}

    def score(output: Any, batch: Batch) -> Tensor:
        logodds = subject.model.task.logodds_true(output, batch)
        if logodds is None:
            raise Unavailable("answers of this kind have no log-odds")
        return logodds

    with hooks.frozen(network):
        searches = {
            "edit": _editing.edited(network, batch, score, steps=steps),
            "swap": _editing.swapped(network, batch, donors, score, cells=cells),
        }
        for how, search in searches.items():
            found[how] = yield from _told(search, how, steps if how == "edit" else len(batch))
    near = yield from _strangeness(subject, chosen, found, seen, count)
    rows = [row for how, edit in found.items() for row in _rows(how, edit, chosen, batch, near[how])]
    _ask(others, batch, found, rows)
    for row, donor in zip(rows[len(batch) :], donor_ids, strict=True):
        row["donor"] = donor
    told = {
        "cells": cells,
        "peers": list(others),
        "pool": len(seen),
        "passes": sum(edit.passes for edit in found.values()) + len(seen),
    }
    return pa.Table.from_pylist(rows).replace_schema_metadata({"told": json.dumps(told)})


@dataclass(frozen=True, eq=False)
class Chosen:
    """The images that are to be changed: their rows in the test split, what is said of each and what is to be said."""

    rows: list[int]
    ids: list[str]
    answers: list[str]
    targets: list[str]
    baseline: Predictions


def _choose(subject: Subject, images: int, count: int | None) -> Generator[Progress, None, Chosen]:
    """Images of the sample that the network is right on, drawn by their ids."""
    baseline = yield from subject.table(Need("baseline"))
    place = {id: row for row, id in enumerate(baseline["id"])}
    ids = subject.loader("test", count).dataset.ids
    order = chance.order(chance.keys(ids), seed=subject.settings.seed, epoch=0).tolist()
    top = baseline["top_answers"]
    rows = [place[ids[k]] for k in order if baseline["right"][place[ids[k]]] >= 0.5]
    rows = [row for row in rows if top[row] is not None and len(top[row]) > 1][:images]
    if not rows:
        raise Unavailable("there is no test image that the network is right on")
    if baseline.embeddings is None:
        raise Unavailable("the network has no last linear layer, before which to tell look-alikes")
    answers = [str(baseline["answer"][row]) for row in rows]
    return Chosen(rows, [str(baseline["id"][row]) for row in rows], answers, [top[row][1] for row in rows], baseline)


def _pool(subject: Subject) -> Generator[Progress, None, tuple[Loader, Predictions]]:
    """Training images, or where there are none test images, and what the network says of them. One pass an image."""
    split = "train" if "train" in subject.material.dataset.splits else "test"
    pool = subject.loader(split, POOL)
    network = subject.model.network.to(subject.device)
    return pool, (yield from predict(network, pool, device=subject.device))


def _wanting(subject: Subject, chosen: Chosen) -> Batch:
    """The images as a batch whose true class is the one that is to be answered."""
    test = subject.split("test")
    examples = [replace(test[row], target=target) for row, target in zip(chosen.rows, chosen.targets, strict=True)]
    return subject.model.task.collate(examples).to(subject.device)


def _look_alikes(
    subject: Subject, chosen: Chosen, pool: Loader, seen: Predictions
) -> tuple[Float[Tensor, "batch 3 height width"], list[str | None]]:
    """For each image the nearest of the pool that the network rightly answers as the target, by embedding; the image
    itself where there is none."""
    assert chosen.baseline.embeddings is not None and seen.embeddings is not None  # noqa: PT018
    distance = _distances(chosen.baseline.embeddings[chosen.rows], chosen.ids, seen)
    answers, right = seen["answer"], np.nan_to_num(seen["right"], nan=1.0)
    donors, ids = [], list[str | None]()
    own = subject.loader("test", None)
    for row, target in enumerate(chosen.targets):
        fits = (answers == target) & (right >= 0.5) & np.isfinite(distance[row])
        if fits.any():
            nearest = int(np.where(fits, distance[row], np.inf).argmin())
            donors.append(pool.batch([nearest]).inputs["image"])
            ids.append(str(seen["id"][nearest]))
        else:
            donors.append(own.batch([chosen.rows[row]]).inputs["image"])
            ids.append(None)
    return torch.cat(donors).to(subject.device), ids


def _distances(embeddings: np.ndarray, ids: Sequence[str], seen: Predictions) -> Float[np.ndarray, "rows pool"]:
    """Euclidean, between embeddings; from an image to itself infinite."""
    there = torch.from_numpy(np.asarray(seen.embeddings, np.float32))
    distance = torch.cdist(torch.from_numpy(np.asarray(embeddings, np.float32)), there).numpy()
    distance[np.asarray(ids, object)[:, None] == seen["id"][None, :]] = np.inf
    return distance


def _told(search: Generator[int, None, Edit], how: str, total: int) -> Generator[Progress, None, Edit]:
    """The search, telling how far it is."""
    while True:
        try:
            yield Progress(f"counterfactuals: {how}", next(search) + 1, total)
        except StopIteration as end:
            return end.value


def _strangeness(
    subject: Subject, chosen: Chosen, found: dict[str, Edit], seen: Predictions, count: int | None
) -> Generator[Progress, None, dict[str, list[tuple[float, float]]]]:
    """Of each edited image the distance to the pool, and the share of real test images that are as far from it."""
    baseline = chosen.baseline
    assert baseline.embeddings is not None
    sample = set(subject.loader("test", count).dataset.ids)
    rows = [row for row, id in enumerate(baseline["id"]) if id in sample]
    usual = _distances(baseline.embeddings[rows], [str(id) for id in baseline["id"][rows]], seen).min(1)
    near = {}
    loader = Loader(subject.split("test").subset(chosen.rows), subject.model.task)
    for how, edit in found.items():

        def exchanged(batch: Batch, images: Tensor = edit.images) -> Batch:
            return batch.with_inputs(image=images[[chosen.ids.index(id) for id in batch.ids]])

        edited = yield from predict(subject.model.network, loader, change=exchanged, device=subject.device)
        assert edited.embeddings is not None
        away = _distances(edited.embeddings, [""] * len(edited), seen).min(1)
        near[how] = [(float(each), float(np.mean(usual >= each))) for each in away]
    return near


def _rows(
    how: str, edit: Edit, chosen: Chosen, batch: Batch, near: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    """The rows of one kind of edit, without what the peers say."""
    before = batch.inputs["image"]
    pixels, distance = edit.pixels(before).tolist(), edit.distance(before).tolist()
    pictures = _as_bytes(edit.images)
    return [
        {
            "id": chosen.ids[row],
            "how": how,
            "condition": f"counterfactual {how}",
            "answer": chosen.answers[row],
            "target": chosen.targets[row],
            "found": bool(edit.found[row]),
            "logodds": float(edit.logodds[row]),
            "pixels": pixels[row],
            "l2": distance[row],
            "cells": list(edit.cells[row]),
            "away": near[row][0],
            "stranger": near[row][1],
            "asked": 0,
            "followed": 0,
            "donor": None,
            "picture": imaging.encode_png(imaging.thumbnail(pictures[row], SIDE)),
        }
        for row in range(len(chosen.ids))
    ]


def _as_bytes(images: Float[Tensor, "batch 3 height width"]) -> np.ndarray:
    return images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _ask(others: dict[str, Model], batch: Batch, found: dict[str, Edit], rows: list[dict[str, Any]]) -> None:
    """What the peers say of the edited images, where they said the same as the network of the image as it is."""
    for model in others.values():
        of_image = [str(answer.value) for answer in model(list(_as_bytes(batch.inputs["image"])))]
        for how, edit in found.items():
            of_edited = [str(answer.value) for answer in model(list(_as_bytes(edit.images)))]
            own = [row for row in rows if row["how"] == how]
            for row, before, after in zip(own, of_image, of_edited, strict=True):
                row["asked"] += before == row["answer"]
                row["followed"] += before == row["answer"] and after == row["target"]
