"""Which files cannot be used, which images are the same, which labels cannot be right? Told before anything is learnt.

Every image is decoded whole. An image file is opened for the first time in a child process with limits (`decoders`), so
one that ends its reader, stalls it or takes all memory costs only itself. `same`: equal bytes, or equal pixels. `near`:
the same picture stored, scaled, lit or mirrored otherwise, or the next slice of the same head, by the rule in
`likeness`.

Measured, and pairs looked at:

    data              images   same (groups, images)   near (groups, images, largest)
    digits             1,797      0      0                0      0     0
    imagenet_100         100      0      0                0      0     0
    brain_mri          2,870     75    176              325  1,108    11    91 % within 10 file numbers; one class each
    cifar10           60,000      0      0              412    905    29    137 test images have a twin in training
    mnist             70,000      0      0              119    275     7    not copies: the plainest of 0 and 1
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from seewhy.material import likeness
from seewhy.material.decoders import SIDE, Decoded, Decoders, reduced
from seewhy.types import Dataset, Problem, Progress, Scan

#: Rows that a thread looks at in one go, and bytes of files that it hands to a child in one go.
CHUNK, BYTES = 64, 4_000_000
#: One more thread, with its child, for each so many images: a child takes longer to start than a hundred small ones.
EACH_CHILD = 256

#: Problems of the opening for which a file is left out that a person may have taken for an image of theirs.
LEFT_OUT = frozenset({"missing-file", "no-file", "not-an-image", "unreadable"})

#: What a child may have run into because the machine was busy; another time the file may be read.
OF_THE_MOMENT = frozenset({"too-much-memory", "too-slow", "crashes"})

FILE_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("target", pa.string()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("width", pa.int32()),  # null, like height, where the file does not decode
        ("height", pa.int32()),
    ]
)


def scan(dataset: Dataset, *, threads: int | None = None) -> Generator[Progress, None, Scan]:
    """Read, hash and decode everything; whatever fails becomes a Problem and ends nothing.

    Problems are those of the opening, one each image that cannot be read (its code says why: "empty-file",
    "not-an-image", "too-large", "unreadable", "broken-image", "too-much-memory", "too-slow", "crashes"; its size is
    that of the file), and those of labels. The number of threads, which is also that of child processes, changes
    nothing. In memory: about 1 kB an image, and the few that are being decoded.
    """
    threads = threads or min(os.cpu_count() or 1, 8)
    looks: list[_Look] = []
    parts = [_shapes({})]
    workers = min(threads, 1 + len(dataset) // EACH_CHILD)
    with (
        Decoders() as decoders,
        closing(likeness.ahead(partial(_look_at, dataset, decoders), len(dataset), CHUNK, workers)) as found,
    ):
        for some, shapes in found:
            looks += some
            parts.append(shapes)
            yield Progress("scan", len(looks), len(dataset))
    same = likeness.groups(len(looks), _equal(looks))
    copies = [row for group in same for row in group[1:]]
    shapes = likeness.Shapes.joined(parts)
    near = yield from likeness.near_groups(shapes.take(~np.isin(shapes.rows, copies)), len(looks), threads)
    broken = [
        Problem(look.code, id, look.what, look.size) for id, look in zip(dataset.ids, looks, strict=True) if look.code
    ]
    good = [look.width is not None for look in looks]
    return Scan(
        files=_files(dataset, looks),
        problems=(*dataset.problems, *broken, *_labels(dataset, good), *_two_labels(dataset, same)),
        same=tuple(tuple(dataset.ids[row] for row in group) for group in same),
        near=tuple(tuple(dataset.ids[row] for row in group) for group in near),
        quarantine=(*(problem for problem in dataset.problems if problem.code in LEFT_OUT), *broken),
    )


def usable(dataset: Dataset, scan: Scan) -> Dataset:
    """The rows that decode and have a label."""
    decoded = set(scan.files.filter(scan.files.column("width").is_valid()).column("id").to_pylist())
    return dataset.subset(
        [row for row, id in enumerate(dataset.ids) if id in decoded and dataset.targets[row] is not None]
    )


def duplicates(scan: Scan) -> list[dict[str, Any]]:
    """How many groups of images are "same" or "near", by the splits and by the classes that they touch, most first.

    A group that touches two classes is one picture with two labels. Plain rows: kind, splits, classes, groups, images.
    """
    columns = (scan.files.column(name).to_pylist() for name in ("id", "split", "target"))
    known = {id: (split, target) for id, split, target in zip(*columns, strict=True)}
    counted: Counter[tuple[Any, ...]] = Counter()
    images: Counter[tuple[Any, ...]] = Counter()
    for kind, groups in (("same", scan.same), ("near", scan.near)):
        for group in groups:
            touched = (
                tuple(sorted({known[id][place] for id in group} - {None}, key=str)) for place in range(2)
            )  # splits, classes
            key = (kind, *touched)
            counted[key] += 1
            images[key] += len(group)
    return [
        {"kind": kind, "splits": splits, "classes": classes, "groups": count, "images": images[kind, splits, classes]}
        for (kind, splits, classes), count in counted.most_common()
    ]


# -------------------------------------------------------------------------------------------------- one image


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of one image: hashes and size, or the code and the words of what is wrong."""

    size: int = 0
    sha256: str | None = None
    pixels: bytes = b""
    width: int | None = None
    height: int | None = None
    code: str = ""
    what: str = ""


def _look_at(dataset: Dataset, decoders: Decoders, rows: range) -> tuple[list[_Look], likeness.Shapes]:
    """Some images in a row: files by way of a child, whatever else a source holds right here."""
    stored: dict[int, tuple[int, str]] = {}  # bytes, sha256
    found: dict[int, Decoded | Exception] = {}
    waiting: list[tuple[int, bytes, str]] = []

    def send() -> None:
        answers = decoders.decode([(content, name) for _, content, name in waiting])
        found.update(zip((row for row, _, _ in waiting), answers, strict=True))
        waiting.clear()

    for row in rows:
        try:
            content = dataset.content(row)
            stored[row] = len(content), hashlib.sha256(content).hexdigest()
            name = dataset.file_name(row)
            if name is None:
                found[row] = reduced(dataset.pixels(row))
            else:
                waiting.append((row, content, name))
        except Exception as error:  # noqa: BLE001 - a source may be anyone's; what it raises is the row's problem
            found[row] = error
        if sum(len(content) for _, content, _ in waiting) > BYTES:
            send()
    send()
    return [_look(stored.get(row), found[row]) for row in rows], _shapes(found)


def _look(stored: tuple[int, str] | None, found: Decoded | Exception) -> _Look:
    size, sha256 = stored or (getattr(found, "size", 0), None)
    if isinstance(found, Decoded):
        return _Look(size, sha256, found.digest, found.width, found.height)
    words = str(found) or type(found).__name__
    return _Look(size, sha256, code=getattr(found, "code", "broken-image"), what=words)


def _shapes(found: Mapping[int, Decoded | Exception]) -> likeness.Shapes:
    """What the images among these rows are compared by."""
    there = [(row, seen) for row, seen in sorted(found.items()) if isinstance(seen, Decoded)]
    small = np.stack([np.zeros((SIDE, SIDE, 3), np.uint8), *(seen.small for _, seen in there)])[1:]
    sizes = np.array([seen.width * seen.height for _, seen in there], np.float64)
    return likeness.shapes_of(np.array([row for row, _ in there], np.int64), small, sizes)


# ------------------------------------------------------------------------------------------------- all of them


def _equal(looks: Sequence[_Look]) -> Int[np.ndarray, "2 pairs"]:
    """Each image with the first one of the same bytes, and with the first one of the same pixels."""
    first: dict[object, int] = {}
    pairs = []
    for row, look in enumerate(looks):
        if look.width is not None:
            pairs += [(first.setdefault(key, row), row) for key in (look.sha256, look.pixels)]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _labels(dataset: Dataset, decoded: Sequence[bool]) -> Iterator[Problem]:
    """Rows without a label; classes of which one image can be used, or none, or of which one split alone has images."""
    unlabelled = [id for id, target in zip(dataset.ids, dataset.targets, strict=True) if target is None]
    if unlabelled and len(unlabelled) < len(dataset):
        yield Problem("no-label", unlabelled[0], f"{_rows(len(unlabelled))} no label, so nothing is learnt from it")
    given = dataset.splits or (None,) * len(dataset)
    held: dict[str, Counter[str | None]] = defaultdict(Counter)
    for target, split, good in zip(dataset.targets, given, decoded, strict=True):
        if target is not None and good:
            held[target][split] += 1
    classes = dataset.classes if held else ()
    splits = {split for counts in held.values() for split in counts}
    none = [name for name in classes if not held[name]]
    single = [name for name in classes if held[name].total() == 1]
    alone = [name for name in classes if len(splits) > 1 and len(held[name]) == 1 < held[name].total()]
    if none:
        yield Problem("no-image-class", none[0], f"no image can be used of {_few(none)}")
    if single:
        yield Problem("one-image-class", single[0], f"one image alone, too few to learn and to test, of {_few(single)}")
    if alone:
        yield Problem("one-split-class", alone[0], f"all images are in one split, of {_few(alone)}")


def _few(names: Sequence[str], most: int = 9) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _two_labels(dataset: Dataset, same: Sequence[tuple[int, ...]]) -> Iterator[Problem]:
    """Equal images that do not say the same."""
    for group in same:
        said = sorted({str(dataset.targets[row]) for row in group if dataset.targets[row] is not None})
        if len(said) > 1:
            others = ", ".join(repr(dataset.ids[row]) for row in group[1:4]) + (", ..." if len(group) > 4 else "")
            labels = " and ".join(map(repr, said))
            yield Problem("two-labels", dataset.ids[group[0]], f"the same image as {others}, yet labelled {labels}")


def _rows(count: int) -> str:
    return "this image has" if count == 1 else f"{count:,} images, of which this is the first, have"


def _files(dataset: Dataset, looks: Sequence[_Look]) -> pa.Table:
    columns: dict[str, Sequence[Any]] = {
        "id": dataset.ids,
        "split": dataset.splits or (None,) * len(dataset),
        "target": [None if target is None else str(target) for target in dataset.targets],
        "bytes": [look.size for look in looks],
        "sha256": [look.sha256 for look in looks],
        "width": [look.width for look in looks],
        "height": [look.height for look in looks],
    }
    return pa.table(columns, schema=FILE_COLUMNS)
