"""Each quirk of the data zoo is made and met as the table says; and no command changes a byte of anybody's data."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo

from seewhy import data
from seewhy.material import scanning
from seewhy.types import Dataset, Scan

SHARED = [quirk for _, quirk in zoo.QUIRKS if quirk.place != "own"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names, links and pipes")


def scanned(folder: Path) -> tuple[Dataset, Scan]:
    dataset = data.open(folder)
    work = scanning.scan(dataset, threads=2)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return dataset, end.value


def skips(quirk: zoo.Quirk) -> bool:
    return "permission" in quirk.name and os.geteuid() == 0  # nothing is forbidden to root


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Scan]:
    """All quirks that can stand in one folder, scanned at once."""
    folder = zoo.healthy(tmp_path_factory.mktemp("zoo") / "together")
    for quirk in SHARED:
        if not skips(quirk):
            quirk.make(folder)
    return scanned(folder)


@pytest.mark.parametrize(
    ("number", "quirk"), zoo.QUIRKS, ids=[f"{number} {quirk.name}" for number, quirk in zoo.QUIRKS]
)
def test_every_quirk_is_met_as_the_table_says(number: int, quirk: zoo.Quirk, request: Any, tmp_path: Path) -> None:
    if skips(quirk):
        pytest.skip("nothing is forbidden to root")
    if quirk.outcome == "refused":
        quirk.make(tmp_path / "data")
        with pytest.raises(ValueError, match=re.escape(quirk.words)):
            data.open(tmp_path / "data")
        return
    if quirk.place == "own":
        quirk.make(tmp_path / "data")
        dataset, scan = scanned(tmp_path / "data")
    else:
        dataset, scan = request.getfixturevalue("together")
    here = [problem for problem in scan.problems if problem.where == quirk.where]
    usable = scanning.usable(dataset, scan)
    if quirk.outcome == "read":
        assert here == []
        pixels = usable.pixels(usable.ids.index(quirk.where))
        if quirk.pixel is not None:
            assert np.abs(pixels[0, 0].astype(int) - quirk.pixel).max() <= 4
        return
    (problem,) = [problem for problem in here if problem.code == quirk.code]
    assert quirk.words in problem.what
    assert (quirk.outcome == "left out") == (quirk.where in [entry.where for entry in scan.quarantine])
    if quirk.outcome == "left out":
        assert quirk.where not in usable.ids
    if quirk.place == "own" and (tmp_path / "data" / quirk.where).is_file():
        assert problem.size in (0, (tmp_path / "data" / quirk.where).stat().st_size)
        assert (problem.size > 0) == (quirk.outcome == "left out")


def test_the_quarantine_names_each_file_once_with_its_bytes(together: tuple[Dataset, Scan]) -> None:
    dataset, scan = together
    entries = {entry.where: entry for entry in scan.quarantine}
    assert len(entries) == len(scan.quarantine)
    undecoded = scan.files.filter(scan.files["width"].is_null()).to_pylist()
    for row in undecoded:
        assert entries[row["id"]].size == row["bytes"]
    assert len(undecoded) + scanning.usable(dataset, scan).targets.__len__() + 1 == len(dataset)  # and the stray one


def test_copies_lie_together_whatever_else_is_there(together: tuple[Dataset, Scan]) -> None:
    assert ("cat/twin.png", "dog/twin.png") in together[1].same


def tree(folder: Path) -> dict[str, Any]:
    """Everything that is to stay: each entry's kind, rights, time of change, and content."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[os.fsencode(path)] = (status.st_mode, status.st_mtime_ns, status.st_size, content)
    return found


def test_no_command_changes_a_byte_of_the_data(command: Callable[..., Any], here: Path) -> None:
    folder = zoo.healthy(here / "photos", each=12)
    for quirk in SHARED:
        if not skips(quirk) and quirk.make is not zoo.unreadable:
            quirk.make(folder)
    before = tree(folder)
    assert len(before) > 100
    small = ("--network", "resnet_tiny", "--steps", 2, "--image-size", 16, "--threads", 1)
    for words in (
        ("scan", folder),
        ("train", folder, *small, "--out", "trained"),
        ("audit", folder, "--model", "trained", "--audits", "accuracy,data_quality", "--out", "audited"),
        ("predict", "trained", folder / "cat" / "0.png", folder / "cat" / "cut.jpg"),
        ("explain", "trained", folder / "cat" / "0.png", "--method", "gradient"),
    ):
        ended = command(*words)
        assert ended.code == 0, ended.err
        assert tree(folder) == before, words
    listed = (here / "trained" / "quarantine.csv").read_text(encoding="utf-8")
    assert listed == (here / "audited" / "quarantine.csv").read_text(encoding="utf-8")
    assert "\ncat/cut.jpg,broken-image," in listed
