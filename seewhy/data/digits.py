"""Would some real images do for a first look, without any of your own?

`digits`: scikit-learn's 1,797 handwritten digits of 13 people, 8 x 8 pixels in 17 grey levels, spread here over 0 to
255 (the test part of Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49). It is the word alone that means them:
a folder of that name is `./digits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from seewhy.data import _listing
from seewhy.images import imaging
from seewhy.types import Dataset, Problem

WORD = "digits"


def recognises(location: object) -> bool:
    """The word itself."""
    return isinstance(location, str) and location == WORD


def open(location: str = WORD) -> Dataset:
    """They need no file and cannot fail."""
    images, labels = _loaded()
    targets, classes, _ = _listing.labelled(labels.tolist())
    beside = Problem("same-name", WORD, f"there is also a folder of this name; ./{WORD} would mean that one")
    return Dataset(
        name=WORD,
        source=Digits(),
        ids=tuple(f"digits/{row:04d}" for row in range(len(images))),
        targets=targets,
        classes=classes,
        rows=np.arange(len(images)),
        problems=(beside,) if Path(WORD).exists() else (),
    )


@dataclass(frozen=True)
class Digits:
    """The images of scikit-learn; their content is a PPM of them."""

    def content(self, row: int) -> bytes:
        return imaging.encode_ppm(self.pixels(row))

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        return np.repeat(_loaded()[0][row][:, :, None], 3, axis=2)

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return None


@cache
def _loaded() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # takes a second, which other data need not wait for

    found = load_digits()
    return np.round(found.images * (255 / 16)).astype(np.uint8), found.target
