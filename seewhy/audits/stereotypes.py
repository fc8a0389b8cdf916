"""Do its embeddings tie groups of images to classes, as stereotypes do?

The embedding association test: are the images of one set, X, nearer to set A than to set B, compared with those of set
Y? Effect size d is the difference of mean associations over their pooled standard deviation, and p is how often sets
of the same sizes drawn from X and Y show as large a one. Sets are named by a tag or by the label: `sex=f` or
`label=nurse`. An image of A or B stands in neither X nor Y, and one of both X and Y, or both A and B, nowhere.

    s(w) = mean_a cos(w, a) - mean_b cos(w, b),   d = (mean_x s - mean_y s) / std_{X and Y} s   (ddof = 1)

Caliskan, Bryson and Narayanan 2017, https://doi.org/10.1126/science.aal4230; for images Steed and Caliskan 2021,
https://arxiv.org/abs/2010.15052.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from seewhy.shelf import nearest
from seewhy.statistics import intervals
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, p_value, quoted

pillar: Pillar = "fair"

LEAST = 5
#: Up to so many ways to share X and Y out, all are counted; beyond, so many are drawn.
EXACT, DRAWS = 20_000, 10_000
SOURCE = "Caliskan et al. 2017; Steed and Caliskan 2021, https://arxiv.org/abs/2010.15052"


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"),)


def check(
    tables: Tables, *, targets: tuple[str, ...] = (), attributes: tuple[str, ...] = (), level: float = 0.95
) -> Finding:
    """One Finding. `targets`: X and Y; `attributes`: A and B; each `tag=value` or `label=class`."""
    predictions = tables.baseline
    common: dict[str, Any] = {"audit": "stereotypes", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    if predictions.embeddings is None or len(targets) != 2 or len(attributes) != 2:
        why = "name two sets of images as targets and two as attributes"
        why = "the network gives no embedding" if predictions.embeddings is None else why
        statement = f"Whether embeddings tie groups to classes was not asked: {why}."
        return Finding("stereotypes:(none)", statement=statement, n=len(predictions), **common)
    in_x, in_y, in_a, in_b = (_members(predictions, name) for name in (*targets, *attributes))
    free = ~(in_a | in_b)
    rows = in_x & ~in_y & free, in_y & ~in_x & free, in_a & ~in_b, in_b & ~in_a
    x, y, a, b = (predictions.embeddings[each].astype(np.float64) for each in rows)
    subject = f"stereotypes:{' / '.join(targets)} x {' / '.join(attributes)}"
    sizes = [(name, len(vectors)) for name, vectors in zip((*targets, *attributes), (x, y, a, b), strict=True)]
    few = [(name, size) for name, size in sizes if size < LEAST]
    if few:
        (name, size), n = few[0], sum(size for _, size in sizes)
        left = f"{counted(size, 'image')} in no other set; it takes {LEAST}"
        return Finding(
            subject, statement=f"There is not enough data for the set {quoted(name)}: {left}.", n=n, **common
        )
    d, p = effect_size(x, y, a, b), permutation_p(x, y, a, b, seed=tables.seed)
    return _told(subject, targets, attributes, d, p, sizes, level, common)


def associations(
    w: Float[np.ndarray, "rows width"], a: Float[np.ndarray, "first width"], b: Float[np.ndarray, "second width"]
) -> Float[np.ndarray, " rows"]:
    """s(w): mean cosine with the rows of a, less mean cosine with those of b. A zero vector is near to nothing."""
    w, a, b = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) for vectors in (w, a, b))
    return w @ a.mean(0) - w @ b.mean(0)  # the mean of cosines is the cosine with the mean of unit vectors


def effect_size(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """d, between -2 and 2; 0 where nothing varies."""
    near, far = associations(x, a, b), associations(y, a, b)
    spread = float(np.concatenate([near, far]).std(ddof=1))
    return float(near.mean() - far.mean()) / spread if spread > 0 else 0.0


def permutation_p(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Two-sided: how often a random sharing-out of X and Y, of their sizes, is as far apart as they are."""
    s = np.concatenate([associations(x, a, b), associations(y, a, b)])
    seen = abs(float(s[: len(x)].mean() - s[len(x) :].mean()))
    if math.comb(len(s), len(x)) <= EXACT:
        sums = np.array([s[list(chosen)].sum() for chosen in combinations(range(len(s)), len(x))])
        extra = 0
    else:
        random = np.random.default_rng(seed)
        sums = np.array([random.permutation(s)[: len(x)].sum() for _ in range(DRAWS)])
        extra = 1
    apart = np.abs(sums / len(x) - (s.sum() - sums) / len(y))
    return float((np.sum(apart >= seen - 1e-12) + extra) / (len(sums) + extra))


def _members(predictions: Predictions, name: str) -> Bool[np.ndarray, " rows"]:
    """The rows of `tag=value` or `label=class`. Raises ValueError for one that is not there."""
    column, equals, value = name.partition("=")
    there = ["label", *predictions.tags]
    if not equals or column not in there:
        raise ValueError(
            f"The set {name!r} is named by no column. {nearest(column, there)}"
            f"A set is `label=class` or `tag=value` with a tag of: {', '.join(predictions.tags) or 'none'}."
        )
    cells = predictions["target" if column == "label" else f"tag:{column}"]
    rows = np.array([cell is not None and str(cell) == value for cell in cells], dtype=bool)
    if not rows.any():
        known = sorted({str(cell) for cell in cells if cell is not None})
        raise ValueError(f"No image has {column} {value!r}. {nearest(value, known)}There are: {', '.join(known[:12])}.")
    return rows


def _told(
    subject: str,
    targets: Sequence[str],
    attributes: Sequence[str],
    d: float,
    p: float,
    sizes: Sequence[tuple[str, int]],
    level: float,
    common: dict[str, Any],
) -> Finding:
    found, n = p < 1 - level, sum(size for _, size in sizes)
    severity: Severity = "serious" if abs(d) >= 0.8 else "moderate" if abs(d) >= 0.5 else "minor"
    x, y = (quoted(name) for name in (targets if d >= 0 else targets[::-1]))
    a, b = map(quoted, attributes)
    verdict = f"Images of {x} lie nearer to {a} than to {b}, compared with those of {y}"
    if not found:
        verdict = f"Embeddings tie {x} and {y} no differently to {a} and {b} than chance may"
    return Finding(
        id=subject,
        statement=f"{verdict}: effect size {abs(d):.2f} of at most 2, {p_value(p)}, on {counted(n, 'image')}.",
        found=found,
        value=d,
        unit="standard deviations",
        n=n,
        severity=severity if found else "none",
        evidence=(
            {
                "kind": "table",
                "title": "The sets",
                "columns": ["set", "images"],
                "rows": [list(row) for row in sizes],
            },
        ),
        doubts=(
            "Sets may differ in more than their names say, such as background or pose; choose them alike otherwise.",
            intervals.INDEPENDENT,
        ),
        settings={"level": level, "p": p, "targets": list(targets), "attributes": list(attributes)},
        **common,
    )
