"""Would images do of which the whole truth is known, because they are made?

`made`, or `made:` with knobs, such as `made:background=0.9,noise=0.1`; from Python a `seewhy.worlds.World`. A knob
that differs in the test has two values: `made:background=0.9:0`. docs/made_worlds.md has all knobs. Images are drawn
when they are asked for, so a hundred thousand take no memory; `write` makes a folder of the same images.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from seewhy.images import imaging
from seewhy.shelf import nearest
from seewhy.storage import files
from seewhy.types import Boxes, Dataset, Problem
from seewhy.worlds import COMPANIONS, SPLITS, World

WORD = "made"
TAGS = ("shape", *COMPANIONS)
#: Rows that are drawn at once.
BLOCK = 16


def recognises(location: object) -> bool:
    """A world, the word itself, or the word with knobs."""
    return isinstance(location, World) or (
        isinstance(location, str) and (location == WORD or location.startswith(f"{WORD}:"))
    )


def open(location: World | str = WORD) -> Dataset:
    """Raises ValueError for a knob that does not exist or cannot be turned so far."""
    world = location if isinstance(location, World) else world_of(location)
    ids = tuple(id for split in SPLITS for id in world.ids(split))
    scene = world.scene(ids)
    beside = Problem("same-name", WORD, f"there is also a folder of this name; ./{WORD} would mean that one")
    shapes = scene["shape"].tolist()
    return Dataset(
        name=str(world),
        source=Made(world),
        ids=ids,
        targets=tuple(scene["label"]),
        classes=world.values("label"),
        rows=np.arange(len(ids)),
        tags={name: tuple(scene[name]) for name in TAGS},
        splits=tuple(id.partition("/")[0] for id in ids),
        boxes=tuple(
            map(Boxes, map(torch.clone, torch.from_numpy(scene.boxes())[:, None]), ((shape,) for shape in shapes))
        ),
        problems=(beside,) if location == WORD and Path(WORD).exists() else (),
    )


def world_of(text: str) -> World:
    """The world that a text such as "made:background=0.9:0,classes=4" means."""
    kinds = {entry.name: str(entry.type) for entry in fields(World)}
    knobs: dict[str, Any] = {}
    for part in filter(None, text.removeprefix(WORD).removeprefix(":").split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in kinds or not equals:
            raise ValueError(
                f"{text!r} has {part.strip()!r}, which turns no knob. {nearest(name, kinds)}Knobs are written as "
                f"NAME=VALUE and parted by commas; there are {', '.join(kinds)}."
            )
        try:
            numbers = [int(number) if kinds[name] == "int" else float(number) for number in value.split(":")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= (2 if kinds[name] == "Knob" else 1):
            kind = {"int": "a whole number", "Knob": "a number, or two as 0.9:0"}.get(kinds[name], "a number")
            raise ValueError(f"The knob {name!r} of {text!r} is {value!r}; expected {kind}")
        knobs[name] = numbers[0] if len(numbers) == 1 else tuple(numbers)
    return World(**knobs)


def write(world: World, folder: str | Path) -> Path:
    """The same images as a new folder: `train/disc/000000.png`, `test/...`, their masks, and a metadata.csv.

    The sub-folders are the labels. It is there whole or not at all. Raises FileExistsError where something is there.
    """
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"{target} is there already; a made world is written to a new folder")
    unfinished = target.with_name(f"{target.name}.{os.getpid()}{files.UNFINISHED}")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file_name", "label", "split", "mask_file", "objects", *TAGS))
    rows.writerows(_written(open(world), unfinished))
    files.write_text(unfinished / "metadata.csv", table.getvalue())
    unfinished.rename(target)
    return target


def _written(dataset: Dataset, folder: Path) -> Iterator[tuple[Any, ...]]:
    """Write each image and its mask; the rows of the table."""
    for row, id in enumerate(dataset.ids):
        split, _, number = id.partition("/")
        name, mask_name = f"{split}/{dataset.targets[row]}/{number}.png", f"masks/{split}/{number}.png"
        mask = dataset.source.mask(row)
        assert mask is not None  # every shape has one
        pictures = {name: dataset.pixels(row), mask_name: np.repeat(mask[:, :, None] * np.uint8(255), 3, axis=2)}
        for path, pixels in pictures.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(imaging.encode_png(pixels))
        boxes = dataset.boxes[row]
        assert boxes is not None
        left, top, right, bottom = boxes.corners[0].tolist()
        objects = {"bbox": [[left, top, right - left, bottom - top]], "categories": list(boxes.labels)}
        tags = (dataset.tags[tag][row] for tag in TAGS)
        yield name, dataset.targets[row], split, mask_name, json.dumps(objects), *tags


@dataclass(frozen=True)
class Made:
    """The images of a world; their content is a PPM of them."""

    world: World

    def content(self, row: int) -> bytes:
        return imaging.encode_ppm(self.pixels(row))

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return _drawn(self.world, row // BLOCK)[0][row % BLOCK].copy()

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return _drawn(self.world, row // BLOCK)[1][row % BLOCK].copy()


@lru_cache(maxsize=4)
def _drawn(world: World, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and masks of rows that follow one another: most who want one want the next, and one alone takes as long as
    a dozen."""
    train = world.train
    rows = range(block * BLOCK, min((block + 1) * BLOCK, len(world)))
    scene = world.scene(world.id("train", row) if row < train else world.id("test", row - train) for row in rows)
    return scene.pixels(), scene.masks()
