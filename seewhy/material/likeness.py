"""Which images are the same picture, stored, scaled, lit or mirrored otherwise?

Images are compared by their edges, on grey 32 x 32 pixels a and b, in the lowest 16 x 16 frequencies:

    r = <grad a, grad b> / (|grad a| |grad b|)        z = atanh(r) sqrt(d)        near: z >= 22 and r >= 0.7

z is that of Fisher (1921) for a correlation seen in d places. d is how many places hold the edges of the image that has
fewer, (sum e^2)^2 / sum e^4 over its gradients e, times its share of own pixels where it has fewer than 1,024. So a
photo full of edges needs r = 0.85 and a digit of 28 x 28 in thin strokes 0.95. Images of 8 x 8, and those without
edges, are never near, nor are those of another hue. Each is compared with the other's mirror image as well, left for
right, which changes the signs of the odd frequencies across. Cropped copies are not found.

Pairs are looked for by 128 signs of the cosine transform, whose Hamming distance bounds r roughly; what pairs connect
is a group. Comparing takes time with the square of the number of images: 5 s for 50,000 on two cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seewhy.material.decoders import SIDE
from seewhy.types import Progress

TILE = 64, 4096
#: From so many pairs on in a tile a product of matrices is quicker than one pair after the other.
DENSE = 4000
#: So many pairs are kept before they are thinned out to those that hold the groups together.
MANY = 2_000_000

KEPT, SIGNS = 16, 128
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
#: What a mirror, left for right, does to each of the 255: the frequencies that are odd across change their sign.
MIRROR = np.tile(1 - 2 * (_FREQUENCIES % 2), KEPT)[1:].astype(np.float32)
#: Which of the 255 have the lowest sums of both frequencies.
LOWEST = np.argsort(np.add.outer(_FREQUENCIES, _FREQUENCIES).ravel()[1:], kind="stable")[:SIGNS]
_MIRRORED_SIGNS = np.packbits(MIRROR[LOWEST] < 0).view(np.uint64)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What images are compared by, a row an image that decodes: its number in the data set, the cosine transform of its
    gradients at length 1 in float16, the signs of the lowest ones, the places its edges are in, its hue."""

    rows: Int[np.ndarray, " images"]
    waves: Float[np.ndarray, "images 255"]
    signs: UInt64[np.ndarray, "images 2"]
    places: Float[np.ndarray, " images"]
    hues: Float[np.ndarray, "images 2"]

    def take(self, index: np.ndarray) -> Shapes:
        return Shapes(*(getattr(self, each.name)[index] for each in fields(self)))

    @staticmethod
    def joined(parts: Sequence[Shapes]) -> Shapes:
        return Shapes(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Shapes)))


def shapes_of(rows: np.ndarray, small: np.ndarray, sizes: np.ndarray) -> Shapes:
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
    return Shapes(
        rows,
        waves.astype(np.float16),
        np.ascontiguousarray(signs).view(np.uint64).reshape(-1, 2),
        places.astype(np.float32),
        mean[:, [0, 2]] - mean[:, [1]],
    )


def near_groups(shapes: Shapes, count: int, threads: int) -> Generator[Progress, None, list[tuple[int, ...]]]:
    """Groups of near duplicates, of `count` rows."""
    needed = np.maximum(LEAST_R, np.tanh(LEAST_Z / np.sqrt(np.maximum(shapes.places, 1e-6))))
    # The poorest first: of a pair, the first one says how much is needed.
    order = np.argsort(shapes.places, kind="stable")
    order = order[needed[order] <= MOST_R]
    shapes, needed = shapes.take(order), needed[order]
    radius = np.floor(SLACK * SIGNS * np.arccos(needed) / np.pi).astype(np.uint8)
    pairs = np.zeros((2, 0), np.int64)
    done = 0
    for found in ahead(lambda rows: _pairs(shapes, needed, radius, rows), len(order), TILE[0], threads):
        pairs = np.concatenate([pairs, shapes.rows[found]], axis=1)
        if pairs.shape[1] > MANY:
            pairs = _spanning(count, pairs)
        done = min(done + TILE[0], len(order))
        yield Progress("compare", done, len(order))
    return groups(count, pairs)


def _pairs(shapes: Shapes, needed: np.ndarray, radius: np.ndarray, rows: range) -> Int[np.ndarray, "2 pairs"]:
    """Near pairs of these rows with later ones, as they are and mirrored, as places in `shapes`."""
    here = slice(rows.start, rows.stop)
    count = len(shapes.signs)
    differing = np.empty((len(rows), TILE[1]), np.uint64)
    counted, total = (np.empty(differing.shape, np.uint8) for _ in range(2))
    found = [np.zeros((2, 0), np.int64)]
    for start in range(rows.start, count, TILE[1]):
        there = slice(start, min(start + TILE[1], count))
        width = there.stop - there.start
        bits, some, sums = differing[:, :width], counted[:, :width], total[:, :width]
        for mirrored in (False, True):
            signs = shapes.signs[there] ^ _MIRRORED_SIGNS if mirrored else shapes.signs[there]
            for word, into in ((0, sums), (1, some)):
                np.bitwise_xor(shapes.signs[here, None, word], signs[None, :, word], out=bits)
                np.bitwise_count(bits, out=into)
            np.add(sums, some, out=sums)
            close = sums <= radius[here, None]
            if close.any():
                found.append(_near_among(shapes, needed, np.argwhere(close) + np.array([rows.start, start]), mirrored))
    return np.concatenate(found, axis=1)


def _near_among(
    shapes: Shapes, needed: np.ndarray, pairs: Int[np.ndarray, "pairs 2"], mirrored: bool
) -> Int[np.ndarray, "2 near"]:
    """Those of the pairs, out of one tile and in order, that are near indeed."""
    first, second = pairs[pairs[:, 1] > pairs[:, 0]].T
    hue = np.abs(shapes.hues[first] - shapes.hues[second]).max(1, initial=0)
    near = (_likeness(shapes.waves, first, second, mirrored) >= needed[first]) & (hue <= HUE)
    return np.stack([first[near], second[near]])


def _likeness(waves: np.ndarray, first: np.ndarray, second: np.ndarray, mirrored: bool) -> Float[np.ndarray, " pairs"]:
    """The correlation r of pairs out of one tile; where they are many, of the whole tile at once."""
    turn = MIRROR if mirrored else np.float32(1)
    if len(first) < DENSE:
        return np.einsum("pw,pw->p", waves[first] * turn, waves[second].astype(np.float32))
    top, left = first.min(), second.min()
    table = (waves[top : first.max() + 1] * turn) @ waves[left : second.max() + 1].astype(np.float32).T
    return table[first - top, second - left]


def groups(count: int, pairs: np.ndarray) -> list[tuple[int, ...]]:
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


def ahead(work: Callable[[range], Any], count: int, chunk: int, threads: int) -> Generator[Any, None, None]:
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
