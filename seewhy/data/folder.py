"""Are the images sorted into one sub-folder a class?

    photos/cat/1.jpg  photos/dog/2.jpg                      or, with the splits given,
    photos/train/cat/1.jpg  photos/test/dog/2.jpg           where val may be called valid, validation or dev

Deeper folders belong to the class above them. Classes are in natural order ('2' before '10') and are those of all
splits together. Images beside the class folders have no label. Hidden and system files, other kinds of file and empty
classes are named as problems. Folders are read through links, each once. An image's id is its path in the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seewhy.data import _listing
from seewhy.types import Dataset, Problem


def recognises(location: object) -> bool:
    """Any folder; other kinds of data that live in folders are asked first."""
    return isinstance(location, (str, Path)) and Path(location).is_dir()


def open(location: str | Path) -> Dataset:
    """Raises ValueError where there are no images, or none in a sub-folder."""
    root = Path(location)
    found = _listing.walk(root)
    if not found.images:
        raise ValueError(_nothing(root, found))
    split_folders = _split_folders(root, found)
    splits: list[str | None] = []
    classes: list[str | None] = []
    for path in found.images:
        folders = path.split("/")[:-1]
        splits.append(split_folders.get(folders[0]) if folders else None)
        below = folders[1:] if splits[-1] else folders
        classes.append(below[0] if below else None)
    if not any(classes):
        raise ValueError(
            f"{root} holds {len(found.images)} images, such as {_listing.visible(found.images[0])!r}, but none in a "
            "sub-folder. Put the images of each class into a sub-folder with the class's name, or put a metadata.csv "
            "with the columns file_name and label beside them."
        )
    targets, names, alike = _listing.labelled(classes)
    problems = [*found.problems, *_empty(found, split_folders), *alike]
    if len(names) == 1 and any(path.count("/") > 1 for path in found.images) and not any(splits):
        inside = root / found.images[0].split("/")[0]
        problems.append(
            Problem("one-class", names[0], f"the only class; if its sub-folders are the classes, name {str(inside)!r}")
        )
    return Dataset(
        name=root.resolve().name or str(root),
        source=_listing.Files(str(root.resolve()), found.images),
        ids=tuple(_listing.visible(path) for path in found.images),
        targets=targets,
        classes=names,
        rows=np.arange(len(found.images)),
        splits=tuple(splits) if any(splits) else (),
        problems=tuple(problems),
    )


def _empty(found: _listing.Found, split_folders: dict[str, str]) -> Iterator[Problem]:
    """Folders that stand where classes stand and hold no image."""
    holding = {path.rsplit("/", depth)[0] for path in found.images for depth in range(1, path.count("/") + 1)}
    for folder in found.folders:
        depth = 2 if folder.split("/")[0] in split_folders else 1
        if folder.count("/") + 1 == depth and folder not in holding:
            yield Problem("empty-class", _listing.visible(folder), "this folder holds no image, so it is no class")


def _split_folders(root: Path, found: _listing.Found) -> dict[str, str]:
    """The top folders that are splits rather than classes: named so, and with classes in them, and no class beside.

    A class called "train" is no split: it stands beside other classes, or its images lie in it directly.
    """
    top = [path.split("/")[0] for path in found.images if "/" in path]
    holding = Counter(top)
    deeper = Counter(path.split("/")[0] for path in found.images if path.count("/") > 1)
    named = {folder: split for folder in holding if (split := _listing.split_name(folder)) is not None}
    sorted_inside = [folder for folder in named if deeper[folder]]
    others = [folder for folder in holding if folder not in named]
    if sorted_inside and not others:
        return named
    if len(sorted_inside) > 1:
        raise ValueError(
            f"{root} has the splits {', '.join(map(repr, sorted_inside))} and beside them {others[0]!a}, which "
            "holds images too. Is it a class or a split? Keep either splits or classes at the top."
        )
    return {}


def _nothing(root: Path, found: _listing.Found) -> str:
    """Why a folder cannot be read as images."""
    others = [problem.where for problem in found.problems]
    holds = f"{len(others)} other files or folders, such as {others[0]!r}" if others else "nothing"
    if found.folders and not others:
        holds = f"only empty folders, such as {_listing.visible(found.folders[0])!r}"
    return f"{root} holds no image but {holds}. Expected one sub-folder a class with images in it (.jpg, .png, ...)."
