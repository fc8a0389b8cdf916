"""Are the images in idx files, as MNIST came?

A folder with train-images-idx3-ubyte and train-labels-idx1-ubyte, and the same with t10k for the test split; with or
without .gz; a dot may stand for the last hyphen, and a data set's name before it all. Or one of the files of images.
Numbers are the class names. http://yann.lecun.com/exdb/mnist/ describes the format.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from seewhy.data import _listing
from seewhy.images import imaging
from seewhy.types import Dataset

#: The two unused bytes, the code of unsigned bytes, and how many sizes follow.
MAGIC = {"images": b"\0\0\x08\x03", "labels": b"\0\0\x08\x01"}
_NAME = re.compile(r"(?P<set>.*?)-?images[-.]idx3-ubyte(\.gz)?$")


def recognises(location: object) -> bool:
    """A folder with idx files of images, or one of these files."""
    if not isinstance(location, (str, Path)):
        return False
    path = Path(location)
    return bool(_files(path)) if path.is_dir() else path.is_file() and _NAME.match(path.name) is not None


def open(location: str | Path) -> Dataset:
    """Raises ValueError where a file is broken, or images and labels differ in number."""
    path = Path(location)
    files = _files(path) if path.is_dir() else [path]
    labels: list[int] = []
    ids: list[str] = []
    splits: list[str | None] = []
    counts = []
    for file in files:
        count = len(_images(str(file.resolve())))
        found = _array(_labels_of(file), "labels").tolist()
        if len(found) != count:
            raise ValueError(f"{file} has {count} images, but {_labels_of(file).name} {len(found)} labels")
        name = _set(file)
        labels += found
        ids += [f"{_listing.visible(name or 'images')}/{row}" for row in range(count)]
        last = name.split("-")[-1].lower()
        splits += ["test" if last == "t10k" else _listing.split_name(last)] * count
        counts.append(count)
    targets, classes, _ = _listing.labelled(labels)
    return Dataset(
        name=path.resolve().name,
        source=Rows(tuple(str(file.resolve()) for file in files), tuple(counts)),
        ids=tuple(ids),
        targets=targets,
        classes=classes,
        rows=np.arange(len(ids)),
        splits=tuple(splits) if path.is_dir() and any(splits) else (),
    )


@dataclass(frozen=True)
class Rows:
    """The images of some idx files, one file after the other; their content is a PPM of them."""

    files: tuple[str, ...]
    counts: tuple[int, ...]

    def content(self, row: int) -> bytes:
        return imaging.encode_ppm(self.pixels(row))

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        for file, count in zip(self.files, self.counts, strict=True):
            if row < count:
                return np.repeat(_images(file)[row][:, :, None], 3, axis=2)
            row -= count
        raise IndexError(f"row {row} is behind the last one")

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        return None


def _files(folder: Path) -> list[Path]:
    found = [file for file in folder.iterdir() if file.is_file() and _NAME.match(file.name)]
    return sorted(found, key=lambda file: (_listing.split_name(_set(file).split("-")[-1]) != "train", file.name))


def _set(file: Path) -> str:
    """What stands before "images": "train", "t10k" or "emnist-letters-train"."""
    match = _NAME.match(file.name)
    return match["set"] if match else ""


def _labels_of(file: Path) -> Path:
    """The file of labels beside one of images, packed or not."""
    name = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    found = [path for path in (file.with_name(name), file.with_name(f"{name}.gz")) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"Beside {file} there is no {name}, plain or .gz, with its labels")
    return found[0]


@lru_cache(maxsize=8)
def _images(file: str) -> np.ndarray:
    """All images of a file, rows x height x width; read once a process."""
    return _array(Path(file), "images")


def _array(file: Path, kind: str) -> np.ndarray:
    """The bytes of an idx file in their shape. No more is unpacked than its header announces."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as data:
            magic = data.read(4)
            if magic != MAGIC[kind]:
                raise ValueError(f"it begins with {magic!r}, not with {MAGIC[kind]!r}")
            shape = tuple(int.from_bytes(data.read(4), "big") for _ in range(magic[3]))
            size = int(np.prod(shape, dtype=np.int64))
            content = data.read(size)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} is no idx file of {kind}: {error}") from error
    if len(content) != size:
        raise ValueError(f"{file} announces {' x '.join(map(str, shape))} bytes but ends after {len(content):,}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
