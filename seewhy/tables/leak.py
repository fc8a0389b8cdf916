"""What would a plain random split gain from look-alikes?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from seewhy import chance
from seewhy.material import splitting
from seewhy.statistics import differences
from seewhy.tables import Subject, Unavailable
from seewhy.tables._pixels import small_pixels
from seewhy.types import Progress


def make(subject: Subject) -> Generator[Progress, None, dict[str, Any]]:
    """The nearest neighbour on 32 x 32 grey pixels, under a random and under a grouped split of the same rows."""
    scan, settings = subject.material.scan, subject.settings
    if not (scan.same or scan.near):
        raise Unavailable("no two images are alike")
    dataset = replace(subject.material.dataset, splits=())
    order = chance.order(chance.keys(dataset.ids), seed=settings.seed, epoch=0)[:6000].tolist()
    dataset = dataset.subset(order)
    pixels = yield from small_pixels(dataset, 32, "leak", grey=True)
    targets = np.array(dataset.targets, dtype=object)
    right: dict[str, np.ndarray] = {}
    for how in ("random", "grouped"):
        split = splitting.split(dataset, scan, seed=settings.seed, how=how, by=settings.split_by)
        splits = np.array(split.splits)
        known, asked = pixels[splits == "train"], pixels[splits == "test"]
        # The nearest by |k - a|^2 = |k|^2 - 2 k.a + |a|^2, where |a|^2 is the same for all k.
        nearest = (known @ asked.T - 0.5 * (known**2).sum(1)[:, None]).argmax(0)
        right[how] = targets[splits == "train"][nearest] == targets[splits == "test"]
    random, grouped = right["random"], right["grouped"]
    low, high = differences.newcombe(random.sum(), len(random), grouped.sum(), len(grouped), 0.95)
    return {
        "random": float(random.mean()),
        "grouped": float(grouped.mean()),
        "low": float(low),
        "high": float(high),
        "n": len(random) + len(grouped),
        "method": "a nearest neighbour on 32 x 32 grey pixels",
    }
