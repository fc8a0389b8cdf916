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
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from seewhy import likeness
from seewhy.decoders import SIDE, Decoded, Decoders, reduced
from seewhy.types import Dataset, Problem, Progress, Scan

#: Rows that a thread looks at in one go, and bytes of files that it hands to a child in one go.
CHUNK, BYTES = 64, 4_000_000
#: One more thread, with its child, for each so many images: a child takes longer to start than a hundred small ones.
EACH_CHILD = 256

#: Problems of the opening for which a file is left out that a person may have taken for an image of theirs.
LEFT_OUT = frozenset({"missing-file", "no-file", "not-an-image", "unreadable"})

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
    parts = [likeness.shapes_of(np.zeros(0, np.int64), np.zeros((0, SIDE, SIDE, 3), np.uint8), np.zeros(0))]
    workers = min(threads, 1 + len(dataset) // EACH_CHILD)
    with (
        Decoders() as decoders,
        closing(likeness.ahead(partial(_look_at, dataset, decoders), len(dataset), CHUNK, workers)) as found,
    ):
        for some in found:
            parts.append(_shapes(some, len(looks)))
            looks += some
            yield Progress("scan", len(looks), len(dataset))
    same = likeness.groups(len(looks), _equal(looks))
    copies = [row for group in same for row in group[1:]]
    shapes = likeness.Shapes.joined(parts)
    near = yield from likeness.near_groups(shapes.take(~np.isin(shapes.rows, copies)), len(looks), threads)
    broken = [
        Problem(look.code, id, look.what, look.size) for id, look in zip(dataset.ids, looks, strict=True) if look.code
    ]
    usable = [look.decoded is not None for look in looks]
    return Scan(
        files=_files(dataset, looks),
        problems=(*dataset.problems, *broken, *_labels(dataset, usable), *_two_labels(dataset, same)),
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
    """What is found out about one image: its bytes, what it decodes to, or the code and the words of what is wrong."""

    size: int = 0
    sha256: str | None = None
    decoded: Decoded | None = None
    code: str = ""
    what: str = ""


def _look_at(dataset: Dataset, decoders: Decoders, rows: range) -> list[_Look]:
    """Some images in a row: files by way of a child, whatever else a source holds right here."""
    looks: dict[int, _Look] = {}
    waiting: list[tuple[int, bytes, str]] = []

    def send() -> None:
        found = decoders.decode([(content, name) for _, content, name in waiting])
        for (row, content, _), answer in zip(waiting, found, strict=True):
            looks[row] = _look(content, answer)
        waiting.clear()

    for row in rows:
        content = None
        try:
            content = dataset.content(row)
            name = dataset.file_name(row)
            if name is None:
                looks[row] = _look(content, reduced(dataset.pixels(row)))
            else:
                waiting.append((row, content, name))
        except Exception as error:  # noqa: BLE001 - a source may be anyone's; what it raises is the row's problem
            looks[row] = _look(content, error)
        if sum(len(content) for _, content, _ in waiting) > BYTES:
            send()
    send()
    return [looks[row] for row in rows]


def _look(content: bytes | None, found: Decoded | Exception) -> _Look:
    size, sha256 = getattr(found, "size", 0), None
    if content is not None:
        size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    if isinstance(found, Decoded):
        return _Look(size, sha256, found)
    words = str(found) or type(found).__name__
    return _Look(size, sha256, code=getattr(found, "code", "broken-image"), what=words)


def _shapes(looks: Sequence[_Look], first: int) -> likeness.Shapes:
    """What images are compared by, of some whose first one is the row `first`."""
    there = [(row, look.decoded) for row, look in enumerate(looks, first) if look.decoded is not None]
    small = [seen.small for _, seen in there]
    return likeness.shapes_of(
        np.array([row for row, _ in there], np.int64),
        np.stack(small) if small else np.zeros((0, SIDE, SIDE, 3), np.uint8),
        np.array([seen.width * seen.height for _, seen in there], np.float64),
    )


# ------------------------------------------------------------------------------------------------- all of them


def _equal(looks: Sequence[_Look]) -> Int[np.ndarray, "2 pairs"]:
    """Each image with the first one of the same bytes, and with the first one of the same pixels."""
    first: dict[object, int] = {}
    pairs = []
    for row, look in enumerate(looks):
        if look.decoded is not None:
            pairs += [(first.setdefault(key, row), row) for key in (look.sha256, look.decoded.digest)]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _labels(dataset: Dataset, usable: Sequence[bool]) -> Iterator[Problem]:
    """Rows without a label; classes of which one image can be used, or none, or of which one split alone has images."""
    unlabelled = [id for id, target in zip(dataset.ids, dataset.targets, strict=True) if target is None]
    if unlabelled and len(unlabelled) < len(dataset):
        yield Problem("no-label", unlabelled[0], f"{_rows(len(unlabelled))} no label, so nothing is learnt from it")
    given = dataset.splits or (None,) * len(dataset)
    held: dict[str, Counter[str | None]] = defaultdict(Counter)
    for target, split, good in zip(dataset.targets, given, usable, strict=True):
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
        "width": [look.decoded and look.decoded.width for look in looks],
        "height": [look.decoded and look.decoded.height for look in looks],
    }
    return pa.table(columns, schema=FILE_COLUMNS)
