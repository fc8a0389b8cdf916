"""Which part of an image carries its class along, when that part alone is put into an image of another class?

For each class, images of others get one region after the other from training images of that class, and, as the
placebo, the same region from images of their own class: the seams are the same, whose content it is differs.

    effect  = (score of the donor's class - score of the image's own) after - before,      in log-odds
    regions = a grid of cells; the frame along the border; and marks

A mark is a patch whose pixels repeat in the training images of one class and not in those of others. It is looked for
before the network is asked anything: at each pixel a value v (a quartile of the class) is repeated where

    share of the class within NEAR levels of v  >=  OFTEN   and   that share less the same of all others  >=  APART

and v differs by DIFFERENT levels or more from the others' median, and from the ground where most of the frame has one
value: that nothing is drawn there is no mark. Pixels that touch are one patch, and a mark is a patch that is there as a
whole in OFTEN of the class and RARE elsewhere, for strokes of a pen, which repeat pixel by pixel, do not repeat
together. Where more than half of the frame repeats, it is the surroundings. What moves is not found.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from seewhy import chance, hooks
from seewhy.images import objects
from seewhy.loading import Loader
from seewhy.processes import ranks
from seewhy.tables import Subject, Unavailable
from seewhy.tables.intervention import POOL
from seewhy.types import Batch, Dataset, Progress

shared = True

#: Levels of 0 to 255 within which two pixels are the same, and by how many a mark differs from what is usual.
NEAR, DIFFERENT = 6, 24
#: In which share of its class a mark's pixel must be, and by how much more often than elsewhere.
OFTEN, APART = 0.4, 0.35
#: How often others may have it, as a share of how often its class does; and how much of a patch must be there at once.
RARE, PART = 0.3, 0.8
#: Images of a class that are compared, and the fewest that tell anything.
COMPARED, FEWEST = 100, 12
#: The frame is so much of each side; a mark is no more of the image, and has no fewer pixels.
FRAME, LARGEST, SMALLEST = 1 / 8, 1 / 8, 4
#: Pairs of one class for the grid and for a mark; pixels that may be looked at; pairs that are had whatever they cost.
EACH, PROVED, PIXELS, LEAST = 24, 48, 9_000_000, 32
BATCH = 256


class Region(NamedTuple):
    """A part of the image: kind "cell", "frame" or "mark", corners in pixels, of a mark its class and how often it is
    in that class and in all others; `inside` says which of its pixels are meant, all for None."""

    kind: str
    top: int
    left: int
    bottom: int
    right: int
    label: str = ""
    share: float = 1.0
    elsewhere: float = 1.0
    inside: Bool[np.ndarray, "height width"] | None = None

    def mask(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        """Its pixels."""
        found = np.zeros((height, width), bool)
        found[self.top : self.bottom, self.left : self.right] = True
        return found if self.inside is None else found & self.inside


class Pair(NamedTuple):
    """Places: of an image, of a donor of another class, and of one of its own class."""

    image: int
    other: int
    same: int


def make(
    subject: Subject, *, cells: int = 4, pairs: int = 96, count: int = 500
) -> Generator[Progress, None, dict[str, Any]]:
    """`regions`, one entry a region, and `trials`, one entry a region and pair, as columns.

    Costs 2 passes a region and pair, and 1 a pair: 18 regions and 96 pairs of 32 x 32 pixels come to 3,552.
    """
    loader = subject.loader("test", count)
    pool = subject.loader("train" if "train" in subject.material.dataset.splits else "test", POOL)
    yield from loader.prepare()
    yield from pool.prepare()
    classes = [name for name in subject.model.classes if name in set(map(str, pool.dataset.targets))]
    if len(classes) < 2:
        raise Unavailable("it takes images of two classes to put a part of one into the other")
    height, width = subject.model.task.preprocessing.size
    marks = _marks(pool, classes, subject.settings.seed)
    off = np.zeros((height, width), bool)
    for mark in marks:
        off |= mark.mask(height, width)
    regions = [*_grid(height, width, cells), _frame(height, width, ~off), *marks]
    grid = len(regions) - len(marks)
    wanted = max(pairs, EACH * len(classes))
    wanted = min(wanted, max(LEAST, PIXELS // (height * width * (2 * grid + 1))))
    plan = [
        (range(grid), pair) for pair in _pairs(loader.dataset, pool.dataset, classes, wanted, subject.settings.seed)
    ]
    for place, mark in enumerate(marks, start=grid):
        drawn = _pairs(loader.dataset, pool.dataset, [mark.label], PROVED, subject.settings.seed)
        plan += [(range(place, place + 1), pair) for pair in drawn]
    if not plan:
        raise Unavailable("no image has a label whose class is among those of the training images")
    mine = plan[ranks.share(len(plan))]
    parts = yield from ranks.from_each(_tried(subject, loader, pool, regions, mine))
    trials = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    said = _told(regions, loader.batch(range(min(len(loader), COMPARED))))
    return {"regions": said, "trials": trials, "size": [height, width], "cells": cells, "classes": classes}


def _told(regions: Sequence[Region], sample: Batch) -> list[dict[str, Any]]:
    """Regions as plain values. `covered` is which share of one lies on the object, None where that is not known;
    `guessed` is the same with a guess where it is not: there is an object too where anything is drawn on the ground."""
    known, found, images = objects.known(sample), objects.found(sample), _bytes(sample)
    ground, reached = _ground(images), found
    if ground is not None:
        drawn = torch.from_numpy(np.abs(images - ground).max(3) >= DIFFERENT)
        reached = torch.where(known[:, None, None], found, found | drawn)
    told = []
    for region in regions:
        inside = torch.from_numpy(region.mask(*found.shape[1:]))
        plain = {name: value for name, value in region._asdict().items() if name != "inside"}
        covered = float(found[known][:, inside].float().mean()) if known.any() else None
        guessed = float(reached[:, inside].float().mean()) if inside.any() else 1.0
        told.append({**plain, "covered": covered, "guessed": guessed})
    return told


# --------------------------------------------------------------------------------------------------- what is tried


def _grid(height: int, width: int, cells: int) -> list[Region]:
    rows, columns = ([side * place // cells for place in range(cells + 1)] for side in (height, width))
    return [
        Region("cell", rows[row], columns[column], rows[row + 1], columns[column + 1])
        for row in range(cells)
        for column in range(cells)
    ]


def _frame(height: int, width: int, free: Bool[np.ndarray, "height width"]) -> Region:
    """Along the border, without what is a mark."""
    down, across = (max(1, round(side * FRAME)) for side in (height, width))
    inside = free.copy()
    inside[down : height - down, across : width - across] = False
    return Region("frame", 0, 0, height, width, inside=inside)


def _pairs(dataset: Dataset, pool: Dataset, classes: Sequence[str], wanted: int, seed: int) -> list[Pair]:
    """Images of other classes for each of the classes in turn, each image once, in an order drawn by their ids."""
    own = [str(target) if target is not None else "" for target in dataset.targets]
    labels = np.array([str(target) for target in pool.targets])
    donors = {str(name): np.flatnonzero(labels == name).tolist() for name in np.unique(labels)}
    drawn = chance.uniform(chance.keys(list(dataset.ids)), seed=seed, stream="transplants", draws=3).numpy()
    usable = [place for place in np.argsort(drawn[:, 0], kind="stable").tolist() if own[place] in donors]
    waiting = {name: iter([place for place in usable if own[place] != name]) for name in classes}
    taken: set[int] = set()
    pairs: list[Pair] = []
    while waiting:
        for name in list(waiting):
            image = next((place for place in waiting[name] if place not in taken), None)
            if image is None:
                del waiting[name]
                continue
            taken.add(image)
            same = [place for place in donors[own[image]] if pool.ids[place] != dataset.ids[image]]
            if same:
                chosen = (
                    some[int(number * len(some))]
                    for some, number in zip((donors[name], same), drawn[image, 1:], strict=True)
                )
                pairs.append(Pair(image, *chosen))
            if len(pairs) == wanted:
                return pairs
    return pairs


def _tried(
    subject: Subject, loader: Loader, pool: Loader, regions: Sequence[Region], plan: Sequence[tuple[range, Pair]]
) -> Generator[Progress, None, dict[str, list[Any]]]:
    """What each region of each pair does, as columns."""
    device = subject.device
    subject.model.network.to(device)
    height, width = subject.model.task.preprocessing.size
    masks = torch.from_numpy(np.stack([region.mask(height, width) for region in regions])).to(device)
    names = ("region", "image", "donor", "own", "class", "effect", "placebo", "turned", "placebo_turned")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    most = max((len(of) for of, _ in plan), default=1)
    step = max(1, BATCH // most)
    for start in range(0, len(plan), step):
        part = plan[start : start + step]
        pairs = [pair for _, pair in part]
        rows = [row for row, (of, _) in enumerate(part) for _ in of]
        asked = [place for of, _ in part for place in of]
        images, other, same = (
            source.batch([getattr(pair, name) for pair in pairs]).to(device)
            for source, name in ((loader, "image"), (pool, "other"), (pool, "same"))
        )
        own = [str(loader.dataset.targets[pair.image]) for pair in pairs]
        theirs = [str(pool.dataset.targets[pair.other]) for pair in pairs]
        before, already = _said(subject, images, own, theirs)
        given = images.rows(rows)
        both = [own[row] for row in rows], [theirs[row] for row in rows]
        columns["region"] += asked
        columns["image"] += given.ids
        columns["donor"] += [other.ids[row] for row in rows]
        columns["own"] += both[0]
        columns["class"] += both[1]
        for donors, moved, turned in ((other, "effect", "turned"), (same, "placebo", "placebo_turned")):
            taken = donors.rows(rows).inputs["image"]
            mixed = torch.where(masks[asked][:, None], taken, given.inputs["image"])
            after, theirs_now = _said(subject, given.with_inputs(image=mixed), *both)
            columns[moved] += (after - before[rows]).tolist()
            columns[turned] += (theirs_now & ~already[rows]).tolist()
        yield Progress("transplant", start + len(part), len(plan))
    return columns


def _said(
    subject: Subject, batch: Batch, own: Sequence[str], theirs: Sequence[str]
) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
    """By how much, in log-odds, the answer is the donor's class rather than the image's own; and whether it is."""
    task, network = subject.model.task, subject.model.network
    with hooks.frozen(network), torch.inference_mode():
        output = network(**batch.inputs)
        score = (task.question(list(theirs)) - task.question(list(own))).score(output)
        answers = [str(answer.value) for answer in task.decode(output)]
    return score.double().cpu().numpy(), np.array(answers) == np.array(theirs)


# -------------------------------------------------------------------------------------------------- what repeats


def _marks(pool: Loader, classes: Sequence[str], seed: int) -> list[Region]:
    """At most one mark a class, the plainest."""
    labels = np.array([str(target) for target in pool.dataset.targets])
    drawn = chance.order(chance.keys(list(pool.dataset.ids)), seed=seed, epoch=0).numpy()
    by_class = {name: drawn[labels[drawn] == name] for name in classes}
    enough = {name: rows[:COMPARED] for name, rows in by_class.items() if len(rows) >= FEWEST}
    if len(enough) < 2:
        return []
    each = max(FEWEST, COMPARED // (len(enough) - 1))
    pixels = {name: _bytes(pool.batch(rows.tolist())) for name, rows in enough.items()}
    found = []
    for name, own in pixels.items():
        others = np.concatenate([held[:each] for other, held in pixels.items() if other != name])
        mark = repeated(own, others)
        if mark is not None:
            found.append(mark._replace(label=name))
    return found


def _bytes(batch: Batch) -> UInt8[np.ndarray, "images height width 3"]:
    return batch.inputs["image"].mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def repeated(
    own: UInt8[np.ndarray, "images height width 3"], others: UInt8[np.ndarray, "others height width 3"]
) -> Region | None:
    """The patch that repeats in a class's images and not in others, None where there is none or it is no patch."""
    from scipy import ndimage

    height, width = own.shape[1:3]
    value, share, elsewhere = _alike(own, others)
    pixels = (share >= OFTEN) & (share - elsewhere >= APART) & (elsewhere <= RARE * share)
    border = _frame(height, width, np.ones((height, width), bool)).mask(height, width)
    if not pixels.any() or pixels[border].mean() > 0.5:
        return None
    gap = min(height, width) // 32  # letters of one word are one mark
    touching = ndimage.binary_dilation(pixels, np.ones((3, 3)), iterations=gap) if gap else pixels
    names, count = ndimage.label(touching, np.ones((3, 3)))
    weights = ndimage.sum_labels((share - elsewhere) * pixels, names, np.arange(1, count + 1))
    for name in np.argsort(-weights) + 1:
        here = pixels & (names == name)
        rows, columns = np.flatnonzero(here.any(1)).tolist(), np.flatnonzero(here.any(0)).tolist()
        top, left = max(0, rows[0] - gap), max(0, columns[0] - gap)
        bottom, right = min(height, rows[-1] + 1 + gap), min(width, columns[-1] + 1 + gap)
        small = (bottom - top) * (right - left) <= LARGEST * height * width
        if (
            small
            and here.sum() >= max(SMALLEST, height * width // 1000)
            and _off_the_middle(top, left, bottom, right, own.shape)
        ):
            whole, abroad = (_whole(images, value, here) for images in (own, others))
            if whole >= OFTEN and abroad <= RARE * whole:
                return Region("mark", top, left, bottom, right, "", whole, abroad)
    return None


def _whole(images: UInt8[np.ndarray, "images height width 3"], value: np.ndarray, here: np.ndarray) -> float:
    """The share of images in which a patch is as it is in the class: PART of its pixels at once."""
    near = np.abs(images[:, here].astype(np.int16) - value[here]).max(2) <= NEAR
    return float((near.mean(1) >= PART).mean())


def _off_the_middle(top: int, left: int, bottom: int, right: int, shape: tuple[int, ...]) -> bool:
    """Whether its middle lies in the outer quarter of the image, above, below, left or right."""
    height, width = shape[1:3]
    down, across = (top + bottom) / 2 / height, (left + right) / 2 / width
    return not (0.25 < down < 0.75 and 0.25 < across < 0.75)


def _alike(
    own: UInt8[np.ndarray, "images height width 3"], others: UInt8[np.ndarray, "others height width 3"]
) -> tuple[Int[np.ndarray, "height width 3"], Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """At each pixel the value that sets the class apart most, how often the class has it, and how often others do."""
    usual, ground = np.median(others, axis=0), _ground(others)
    best, best_elsewhere = (np.zeros(own.shape[1:3]) for _ in range(2))
    chosen = np.zeros(own.shape[1:], np.int16)
    for quartile in (25, 50, 75):
        value = np.percentile(own, quartile, axis=0, method="nearest").astype(np.int16)
        share, elsewhere = (
            (np.abs(images.astype(np.int16) - value).max(3) <= NEAR).mean(0) for images in (own, others)
        )
        unusual = np.abs(value - usual).max(2) >= DIFFERENT
        if ground is not None:
            unusual &= np.abs(value - ground).max(2) >= DIFFERENT
        better = unusual & (share - elsewhere > best - best_elsewhere)
        chosen = np.where(better[:, :, None], value, chosen)
        best, best_elsewhere = np.where(better, share, best), np.where(better, elsewhere, best_elsewhere)
    return chosen, best, best_elsewhere


def _ground(images: UInt8[np.ndarray, "images height width 3"]) -> Float[np.ndarray, " channels"] | None:
    """The one value that most of the frame has, on which things are drawn; None where there is no such."""
    height, width = images.shape[1:3]
    edge = images[:, _frame(height, width, np.ones((height, width), bool)).mask(height, width)].reshape(-1, 3)
    usual = np.median(edge, axis=0)
    return usual if (np.abs(edge - usual).max(1) <= NEAR).mean() >= 0.5 else None
