"""What several files of tests need: a folder of small photos, and the command line in this process."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# What a module of seewhy is the first to import is compiled from its source, since the hook that checks types there
# (`--jaxtyping-packages`) looks for compiled files of its own. So what is large is imported before any of seewhy.
import beartype  # noqa: F401
import jinja2  # noqa: F401
import numpy as np
import pyarrow.parquet  # noqa: F401
import pytest
import rich  # noqa: F401
import scipy.ndimage
import scipy.optimize
import scipy.sparse.csgraph
import scipy.stats  # noqa: F401
import torchvision.transforms.v2.functional  # noqa: F401
import typer  # noqa: F401
import xlsxwriter  # noqa: F401
from PIL import Image

from seewhy import cli
from seewhy.material import opening
from seewhy.model import Model
from seewhy.planner import Planner
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.types import finished


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty, with a cache beside it that is empty too."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SEEWHY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return folder


@pytest.fixture
def command(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `seewhy` with these words, in the current folder."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["seewhy", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Ended(end.value.code or 0, *capsys.readouterr())

    return run


def write_photos(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 20, side: int = 16) -> Path:
    """A sub-folder a class, each class of its own brightness; no two images are alike."""
    random = np.random.default_rng(0)
    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            level = 60 + 120 * place / max(1, len(classes) - 1)
            pixels = random.normal(level, 40, (side, side, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def photos(here: Path) -> Path:
    """Forty photos of cats and dogs, in the current folder."""
    return write_photos(here / "photos")


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """`write_photos`, for tests that need other classes."""
    return write_photos


@pytest.fixture
def content() -> Callable[[Path], dict[str, str]]:
    """A folder's files with the hash of what is in them, to see that nobody changed it."""

    def of(folder: Path) -> dict[str, str]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return of


@pytest.fixture
def asked(here: Path) -> Callable[..., Planner]:
    """Tables about images and a network, `package.module:factory`, that was written by hand and learnt nothing here."""

    def plan(data: str, network: str, **settings: object) -> Planner:
        chosen = Settings(data=data, model=network, threads=1, **settings)
        model = Model.resolve(network)
        cache = Cache(here / "cache")
        return Planner(chosen, cache, {}, finished(opening.open_material(chosen, cache, model=model)), model)

    return plan
