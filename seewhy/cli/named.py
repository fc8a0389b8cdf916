"""What a person named: a model, images, modules of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.cli import console
from seewhy.settings import class_mapping, class_names

if TYPE_CHECKING:
    from seewhy.model import Model


def loaded_model(model: str, network: str | None, classes: str | None, mapping: str | None, device: str) -> Model:
    """The model that is named, and said of it on standard error what had to be assumed."""
    import seewhy

    find_own(model, network)
    loaded = seewhy.load(
        model,
        network=network,
        classes=None if classes is None else class_names(listed(classes)),
        mapping=None if mapping is None else class_mapping(listed(mapping)),
        device=device,
    )
    for assumed in loaded.provenance.get("assumed", ()):
        console.say(assumed)
    return loaded


def find_own(*names: str | None) -> None:
    """Let Python find modules in the current folder, if a name typed here is of the user's own making.

    A script that was installed does not look there. It comes last, so that no file there hides a library's.
    """
    here = str(Path.cwd())
    if any(name is not None and ("." in name or ":" in name) for name in names) and here not in sys.path:
        sys.path.append(here)


def use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        if threads < 1:
            raise ValueError(f"--threads is {threads}; it must be at least 1")
        torch.set_num_threads(threads)


def listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def image_files(paths: list[Path]) -> list[Path]:
    """The files named, and the files in the folders named, hidden ones left out. At least one."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no {str(path)!r}")
        inside = (file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        found += sorted(inside) if path.is_dir() else [path]
    if not found:
        raise ValueError(f"There is no file in {', '.join(map(str, paths))}")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
