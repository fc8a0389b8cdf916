"""Images as rows of a few pixels, for models that are not networks."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from seewhy.images import imaging
from seewhy.types import Dataset, Progress


def small_pixels(
    dataset: Dataset, side: int, stage: str, *, grey: bool = False
) -> Generator[Progress, None, np.ndarray]:
    """Each image as a row of side x side pixels in [0, 1], colours kept unless `grey`."""
    rows = []
    for index in range(len(dataset)):
        small = imaging.thumbnail_exact(dataset.pixels(index), side).astype(np.float32) / 255
        rows.append((small.mean(2) if grey else small).ravel())
        if index % 500 == 0:
            yield Progress(stage, index, len(dataset))
    return np.stack(rows)
