"""Which files cannot be used, and which images are the same? Told before anything is learnt from them.

`same`: equal bytes, or equal pixels. `near`: the same picture stored, scaled or lit otherwise, or the next slice of the
same head. Images are compared by their edges, on grey 32 x 32 pixels a and b, in the lowest 16 x 16 frequencies:

    r = <grad a, grad b> / (|grad a| |grad b|)        z = atanh(r) sqrt(d)        near: z >= 22 and r >= 0.7

z is that of Fisher (1921) for a correlation seen in d places. d is how many places hold the edges of the image that has
fewer, (sum e^2)^2 / sum e^4 over its gradients e, times its share of own pixels where it has fewer than 1,024. So a
photo full of edges needs r = 0.85 and a digit of 28 x 28 in thin strokes 0.95. Images of 8 x 8, and those without
edges, are never near, nor are those of another hue. Pairs are looked for by 128 signs of the cosine transform, whose
Hamming distance bounds r roughly; what pairs connect is a group. Mirrored and cropped copies are not found.

Measured, and pairs looked at:

    data              images   same (groups, images)   near (groups, images, largest)
    digits             1,797      0      0                0      0     0
    imagenet_100         100      0      0                0      0     0
    brain_mri          2,870     75    176              325  1,108    11    91 % within 10 file numbers; one class each
    cifar10           60,000      0      0              352    779    29    120 test images have a twin in training
    mnist             70,000      0      0              119    275     7    not copies: the plainest of 0 and 1

Comparing takes time with the square of the number of images: 4 s for 50,000 on two cores.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int, UInt64
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seewhy.types import Dataset, Problem, Progress, Scan

CHUNK = 16
TILE = 64, 4096
#: From so many pairs on in a tile a product of matrices is quicker than one pair after the other.
DENSE = 4000
#: So many pairs are kept before they are thinned out to those that hold the groups together.
MANY = 2_000_000

SIDE, KEPT, SIGNS = 32, 16, 128
LEAST_Z, LEAST_R = 22.0, 0.7
#: Images that would need more than this, of fewer than 54 places, are the same or they are not.
MOST_R = 0.995
#: Of random signs arccos(r) / pi would differ; weak frequencies count as much as strong ones here, so more may.
SLACK = 1.4
#: Levels by which the mean red less the mean green, or the blue, may differ.
HUE = 24.0

_FREQUENCIES = np.arange(KEPT)
#: The orthonormal cosine transform (DCT-II) of 32 places, its 16 lowest frequencies.
COSINES = (
    np.sqrt(np.where(_FREQUENCIES, 2, 1) / SIDE)[:, None]
    * np.cos(np.pi / SIDE * (np.arange(SIDE) + 0.5) * _FREQUENCIES[:, None])
).astype(np.float32)
_LAPLACIAN = 2 - 2 * np.cos(np.pi * _FREQUENCIES / SIDE)
WEIGHTS = np.sqrt(_LAPLACIAN[:, None] + _LAPLACIAN).ravel()[1:].astype(np.float32)
#: Which of the 255 have the lowest sums of both frequencies.
LOWEST = np.argsort(np.add.outer(_FREQUENCIES, _FREQUENCIES).ravel()[1:], kind="stable")[:SIGNS]

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
    """Read, hash and decode everything in threads; whatever fails becomes a Problem and ends nothing.

    Problems are those of the opening and one each image that cannot be read: its code says why ("empty-file",
    "not-an-image", "too-large", "unreadable", "broken-image"), its size is that of the file. In memory: about 1 kB an
    image, and the few that are being decoded.
    """
    threads = threads or min(os.cpu_count() or 1, 8)
    looks: list[_Look] = []
    parts = [_look_at(dataset, range(0))[1]]
    for some, shapes in _ahead(lambda rows: _look_at(dataset, rows), len(dataset), CHUNK, threads):
        looks += some
        parts.append(shapes)
        yield Progress("scan", len(looks), len(dataset))
    same = _groups(len(looks), _equal(looks))
    copies = [row for group in same for row in group[1:]]
    shapes = _Shapes.joined(parts)
    near = yield from _near(shapes.take(~np.isin(shapes.rows, copies)), len(looks), threads)
    broken = [
        Problem(look.code, id, look.what, look.size) for id, look in zip(dataset.ids, looks, strict=True) if look.code
    ]
    return Scan(
        files=_files(dataset, looks),
        problems=(*dataset.problems, *broken),
        same=tuple(tuple(dataset.ids[row] for row in group) for group in same),
        near=tuple(tuple(dataset.ids[row] for row in group) for group in near),
    )


def usable(dataset: Dataset, scan: Scan) -> Dataset:
    """The rows that decode and have a label."""
    decoded = set(scan.files.filter(scan.files.column("width").is_valid()).column("id").to_pylist())
    return dataset.subset(
        [row for row, id in enumerate(dataset.ids) if id in decoded and dataset.targets[row] is not None]
    )


# -------------------------------------------------------------------------------------------------- one image


@dataclass(frozen=True, slots=True)
class _Look:
    """What is found out about one image: hashes and size, or the code and the words of what is wrong."""

    size: int = 0
    sha256: str | None = None
    pixels: bytes = b""
    width: int | None = None
    height: int | None = None
    code: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What images are compared by, a row an image that decodes: its number in the data set, the cosine transform of its
    gradients at length 1 in float16, the signs of the lowest ones, the places its edges are in, its hue."""

    rows: Int[np.ndarray, " images"]
    waves: Float[np.ndarray, "images 255"]
    signs: UInt64[np.ndarray, "images 2"]
    places: Float[np.ndarray, " images"]
    hues: Float[np.ndarray, "images 2"]

    def take(self, index: np.ndarray) -> _Shapes:
        return _Shapes(*(getattr(self, each.name)[index] for each in fields(self)))

    @staticmethod
    def joined(parts: Sequence[_Shapes]) -> _Shapes:
        return _Shapes(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(_Shapes)))


def _look_at(dataset: Dataset, rows: range) -> tuple[list[_Look], _Shapes]:
    """Some images in a row."""
    looks, numbers, smalls, sizes = [], [], [], []
    for row in rows:
        look, small = _look(dataset, row)
        looks.append(look)
        if small is not None and look.width and look.height:
            numbers.append(row)
            smalls.append(small)
            sizes.append(look.width * look.height)
    small_images = np.stack(smalls) if smalls else np.zeros((0, SIDE, SIDE, 3), np.uint8)
    return looks, _shapes(np.array(numbers, np.int64), small_images, np.array(sizes, np.float64))


def _look(dataset: Dataset, row: int) -> tuple[_Look, np.ndarray | None]:
    size, sha256 = 0, None
    try:
        content = dataset.content(row)
        size, sha256 = len(content), hashlib.sha256(content).hexdigest()
        pixels = np.ascontiguousarray(dataset.pixels(row))
        small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    except Exception as error:  # noqa: BLE001 - a source may be anyone's; what it raises is the row's problem
        words = str(error) or type(error).__name__
        return _Look(size, sha256, code=getattr(error, "code", "broken-image"), what=words), None
    height, width, _ = pixels.shape
    digest = hashlib.blake2b(pixels.data, digest_size=16, person=b"%dx%d" % (width, height)).digest()
    return _Look(size, sha256, digest, width, height), np.asarray(small)


def _shapes(rows: np.ndarray, small: np.ndarray, sizes: np.ndarray) -> _Shapes:
    """From images x 32 x 32 x 3, and how many pixels each had of its own."""
    colour = small.astype(np.float32)
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    down, right = np.diff(grey, axis=1) ** 2, np.diff(grey, axis=2) ** 2
    energy, squares = (np.sum(down**power, (1, 2)) + np.sum(right**power, (1, 2)) for power in (1, 2))
    places = energy**2 / np.maximum(squares, 1e-6) * np.minimum(1, sizes / SIDE**2)
    # The Laplacian of a grid with free edges is diagonal in the cosine transform: <grad a, grad b> is a weighted sum.
    cosines = (COSINES @ grey @ COSINES.T).reshape(len(grey), KEPT**2)[:, 1:]
    waves = cosines * WEIGHTS
    waves /= np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-6)
    signs = np.packbits(cosines[:, LOWEST] > 0, axis=1)
    mean = colour.mean((1, 2))
    return _Shapes(
        rows,
        waves.astype(np.float16),
        np.ascontiguousarray(signs).view(np.uint64).reshape(-1, 2),
        places.astype(np.float32),
        mean[:, [0, 2]] - mean[:, [1]],
    )


def _ahead(work: Callable[[range], Any], count: int, chunk: int, threads: int) -> Iterator[Any]:
    """`work` on one range of rows after the other, in threads, a few ahead of the consumer."""
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Any]] = deque()
        try:
            for start in range(0, count, chunk):
                running.append(pool.submit(work, range(start, min(start + chunk, count))))
                if len(running) > 2 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


# ------------------------------------------------------------------------------------------------- all of them


def _near(shapes: _Shapes, count: int, threads: int) -> Generator[Progress, None, list[tuple[int, ...]]]:
    """Groups of near duplicates, of `count` rows."""
    needed = np.maximum(LEAST_R, np.tanh(LEAST_Z / np.sqrt(np.maximum(shapes.places, 1e-6))))
    # The poorest first: of a pair, the first one says how much is needed.
    order = np.argsort(shapes.places, kind="stable")
    order = order[needed[order] <= MOST_R]
    shapes, needed = shapes.take(order), needed[order]
    radius = np.floor(SLACK * SIGNS * np.arccos(needed) / np.pi).astype(np.uint8)
    pairs = np.zeros((2, 0), np.int64)
    done = 0
    for found in _ahead(lambda rows: _pairs(shapes, needed, radius, rows), len(order), TILE[0], threads):
        pairs = np.concatenate([pairs, shapes.rows[found]], axis=1)
        if pairs.shape[1] > MANY:
            pairs = _spanning(count, pairs)
        done = min(done + TILE[0], len(order))
        yield Progress("compare", done, len(order))
    return _groups(count, pairs)


def _pairs(shapes: _Shapes, needed: np.ndarray, radius: np.ndarray, rows: range) -> Int[np.ndarray, "2 pairs"]:
    """Near pairs of these rows with later ones, as places in `shapes`."""
    here = slice(rows.start, rows.stop)
    count = len(shapes.signs)
    differing = np.empty((len(rows), TILE[1]), np.uint64)
    counted, total = (np.empty(differing.shape, np.uint8) for _ in range(2))
    found = []
    for start in range(rows.start, count, TILE[1]):
        there = slice(start, min(start + TILE[1], count))
        width = there.stop - there.start
        bits, some, sums = differing[:, :width], counted[:, :width], total[:, :width]
        for word, into in ((0, sums), (1, some)):
            np.bitwise_xor(shapes.signs[here, None, word], shapes.signs[None, there, word], out=bits)
            np.bitwise_count(bits, out=into)
        np.add(sums, some, out=sums)
        close = sums <= radius[here, None]
        if not close.any():
            continue
        first, second = np.nonzero(close)
        first, second = first + rows.start, second + start
        later = second > first
        first, second = first[later], second[later]
        likeness = _likeness(shapes.waves, first, second)
        hue = np.abs(shapes.hues[first] - shapes.hues[second]).max(1, initial=0)
        near = (likeness >= needed[first]) & (hue <= HUE)
        found.append(np.stack([first[near], second[near]]))
    return np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)


def _likeness(waves: np.ndarray, first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " pairs"]:
    """The correlation r of pairs out of one tile; where they are many, of the whole tile at once."""
    if len(first) < DENSE:
        return np.einsum("pw,pw->p", waves[first].astype(np.float32), waves[second].astype(np.float32))
    top, left = first.min(), second.min()
    table = waves[top : first.max() + 1].astype(np.float32) @ waves[left : second.max() + 1].astype(np.float32).T
    return table[first - top, second - left]


def _equal(looks: Sequence[_Look]) -> Int[np.ndarray, "2 pairs"]:
    """Each image with the first one of the same bytes, and with the first one of the same pixels."""
    first: dict[object, int] = {}
    pairs = []
    for row, look in enumerate(looks):
        if look.width is not None:
            pairs += [(first.setdefault(key, row), row) for key in (look.sha256, look.pixels)]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _groups(count: int, pairs: np.ndarray) -> list[tuple[int, ...]]:
    """Rows that pairs connect, directly or by others; in order of their first row."""
    members: dict[int, list[int]] = {}
    group = _components(count, pairs)
    for row in np.unique(pairs).tolist():
        members.setdefault(int(group[row]), []).append(row)
    return [tuple(rows) for rows in members.values() if len(rows) > 1]


def _spanning(count: int, pairs: np.ndarray) -> np.ndarray:
    """As few pairs as make the same groups."""
    rows = np.unique(pairs)
    _, first, group = np.unique(_components(count, pairs)[rows], return_index=True, return_inverse=True)
    return np.stack([rows[first][group], rows])


def _components(count: int, pairs: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(pairs.shape[1], bool), (pairs[0], pairs[1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


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
