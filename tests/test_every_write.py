"""Whatever fails while something is written, the old content or the new is there, whole, and a sentence says why.

As SQLite is tested: the first call that changes the disk fails, then the second, and so on until all went well.
"""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from seewhy import auditing, networks
from seewhy.model import Model
from seewhy.settings import Settings
from seewhy.storage import files
from seewhy.storage.cache import Cache, NotKept
from seewhy.storage.run import Run
from seewhy.tasks.classify import Classify
from seewhy.types import Explanation, Finding, Preprocessing, Report

CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "ftruncate")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)


@contextmanager
def failing(folder: Path, place: int, code: int, lasting: bool) -> Iterator[list[str]]:
    """Fail the call of this place, counted from 1, among those that touch the folder; if `lasting`, all after it too.

    Gives the names of the calls that were made.
    """
    made: list[str] = []
    handles: set[int] = set()
    true = {name: getattr(os, name) for name in CALLS}

    def inside(given: Any, named: dict[str, Any]) -> bool:
        if isinstance(given, int):
            return given in handles
        return str(given).startswith(str(folder)) or named.get("dir_fd") in handles

    def instead(name: str) -> Callable[..., Any]:
        def call(given: Any, *more: Any, **named: Any) -> Any:
            if not inside(given, named):
                return true[name](given, *more, **named)
            made.append(name)
            if len(made) == place or (lasting and len(made) > place):
                raise OSError(code, os.strerror(code), *([] if isinstance(given, int) else [str(given)]))
            found = true[name](given, *more, **named)
            if name == "open":
                handles.add(found)
            return found

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, instead(name))
        yield made


class Case(NamedTuple):
    """`old` and `new` write; `read` gives what is there; `start` is what the next start in that folder does."""

    old: Callable[[Path], Any]
    new: Callable[[Path], Any]
    read: Callable[[Path], Any]
    start: Callable[[Path], Any]


def model(seed: int) -> Model:
    built = networks.find("resnet_tiny", classes=2, width=4, seed=seed)
    return Model.assemble(built, Classify(("a", "b"), Preprocessing((8, 8), "squash")))


def report(number: int) -> Report:
    finding = Finding("accuracy:test", "accuracy", "see", f"The {number}th report.", found=True, value=number)
    heat = {"image": np.full((2, 2), number, np.float32)}
    explanation = Explanation("a", "cat", "gradient", heat, {}, 1.0, {})
    picture = np.full((4, 4, 3), number, np.uint8)
    return Report({"name": "x"}, (finding,), (explanation,), {"a": picture})


def told(folder: Path) -> Any:
    """The number of a report; its findings, its pictures and its heat must be of the same."""
    found = auditing.report_of(folder)
    numbers = {
        int(found.findings[0].value),
        int(found.images["a"][0, 0, 0]),
        int(found.explanations[0].heat["image"][0, 0]),
    }
    (number,) = numbers
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    return number


def locked(folder: Path) -> None:
    with Run(folder).locked():
        pass


def kept(folder: Path) -> Any:
    return Cache(folder).get("table")


MODELS = [model(0), model(1)]
DIGESTS = [one.digest for one in MODELS]
CASES = {
    "a file": Case(
        lambda at: files.write_text(at / "x.txt", "old"),
        lambda at: files.write_text(at / "x.txt", "new" * 1000),
        lambda at: (at / "x.txt").read_text(),
        lambda at: files.drop_left(at),
    ),
    "a log": Case(
        lambda at: (files.make_folder(at), files.append_line(at / "x.jsonl", {"step": 1})),
        lambda at: files.append_line(at / "x.jsonl", {"step": 2}),
        lambda at: files.read_lines(at / "x.jsonl"),
        lambda at: None,
    ),
    "a model": Case(
        lambda at: MODELS[0].save(at),
        lambda at: MODELS[1].save(at),
        lambda at: DIGESTS.index(Model.load(at).digest),
        lambda at: MODELS[1].save(at),
    ),
    "a checkpoint": Case(
        lambda at: Run(at).save_checkpoint({"w": torch.zeros(9)}, {"step": 1}),
        lambda at: Run(at).save_checkpoint({"w": torch.ones(9)}, {"step": 2}),
        lambda at: [Run(at).load_checkpoint()[1], Run(at).load_checkpoint()[0]["w"].sum().item()],
        locked,
    ),
    "a report": Case(
        lambda at: auditing._write(Run(at), report(1)),
        lambda at: auditing._write(Run(at), report(2)),
        told,
        locked,
    ),
    "a run's settings": Case(
        lambda at: Run.start(Settings(data="x"), out=at),
        lambda at: Run.start(Settings(data="x"), out=at),
        lambda at: Run(at).settings,
        locked,
    ),
}  # fmt: skip


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", CASES)
def test_a_write_that_fails_anywhere_leaves_the_old_or_the_new(tmp_path, name, lasting):
    fail_each(tmp_path, CASES[name], ERRORS, lasting)


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", ERRORS, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("name", CASES)
def test_a_write_that_fails_anywhere_in_any_way_leaves_the_old_or_the_new(tmp_path, name, code, lasting):
    fail_each(tmp_path, CASES[name], (code,), lasting)


def fail_each(tmp_path: Path, case: Case, codes: tuple[int, ...], lasting: bool) -> None:
    """Fail the first call, the second, ... until all go well; the errors take turns."""
    case.old(tmp_path / "old")
    case.old(tmp_path / "new")
    before = case.read(tmp_path / "old")
    case.new(tmp_path / "new")
    after = case.read(tmp_path / "new")
    place = 0
    while True:
        place += 1
        folder = tmp_path / f"run{place}"
        shutil.copytree(tmp_path / "old", folder)
        error = None
        with failing(folder, place, codes[place % len(codes)], lasting) as made:
            try:
                case.new(folder)
            except OSError as raised:
                error = raised
        assert case.read(folder) in (before, after), made
        if len(made) < place:
            break
        if error is None:
            assert case.read(folder) == after, made  # only what tidies up may fail in silence
        else:
            assert str(error.filename).startswith(str(folder)), made
            assert made[place - 1] in ("unlink", "rmdir") or ("needed" in error.strerror and "free" in error.strerror)
        case.start(folder)
        assert not list(folder.rglob(f"*{files.UNFINISHED}")), made
    assert place > 3
    assert case.read(folder) == after


def test_a_table_that_cannot_be_remembered_ends_nothing_and_is_said_once(tmp_path):
    place = 0
    while True:
        place += 1
        folder = tmp_path / f"cache{place}"
        Cache(folder).put("before", {"x": 0})
        here = Cache(folder)
        with (
            failing(folder, place, ERRORS[place % len(ERRORS)], lasting=True) as made,
            warnings.catch_warnings(record=True) as said,
        ):
            warnings.simplefilter("always")
            here.put("table", {"x": 1})
            here.put("other", {"x": 2})
        assert kept(folder) in (None, {"x": 1}), made
        assert Cache(folder).get("before") == {"x": 0}
        assert not list(folder.rglob(f"*{files.UNFINISHED}")), made
        if len(made) < place:
            break
        if said:
            (warning,) = said
            assert warning.category is NotKept
            assert str(warning.message).startswith(f"What is computed now cannot be remembered: {folder}")
    assert not said
    assert kept(folder) == {"x": 1}


def test_a_full_disk_is_told_with_what_is_needed_and_free(tmp_path):
    """On a small disk of its own where one may be mounted; elsewhere the system refuses large files."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        files.write_bytes(small / "x", b"old")
        with pytest.raises(OSError, match=r"No space left on device \(needed 1\.0 MB, free 0\.3 MB\)") as error:
            files.write_bytes(small / "x", bytes(1_000_000))
        assert error.value.filename == str(small / "x")
        run = Run.start(Settings(data="x"), out=small / "run")
        with run.locked(), pytest.raises(OSError, match=r"needed 4\.0 MB, free"):
            run.save_checkpoint({"w": torch.zeros(1_000_000)}, {})
        with pytest.warns(NotKept, match="No space left on device"):
            Cache(small / "cache").put("table", {"x": "y" * 1_000_000})
        (small / "filler").write_bytes(bytes(shutil.disk_usage(small).free))
        with pytest.raises(OSError, match="No space left on device"):
            run.log({"step": 1})
        assert run.logged() == []
        assert (small / "x").read_bytes() == b"old"
        assert not list(small.rglob(f"*{files.UNFINISHED}"))
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with pytest.raises(OSError, match="Read-only file system") as error, run.locked():
            pass
        assert str(error.value.filename).startswith(str(small / "run"))
        assert Cache(small / "cache").get("table") is None
    finally:
        subprocess.run(["umount", small], check=True)


TOO_LARGE = """
import resource, signal, sys
from seewhy import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
files.write_bytes(sys.argv[1], bytes(90_000))
try:
    files.write_bytes(sys.argv[1], bytes(1_000_000))
except OSError as error:
    print(error.strerror, error.filename)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_a_file_that_the_system_cuts_short_leaves_the_old(tmp_path):
    target = tmp_path / "x"
    ended = subprocess.run([sys.executable, "-c", TOO_LARGE, target], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("File too large (needed 1.0 MB, free ")
    assert ended.stdout.rstrip().endswith(str(target))
    assert target.read_bytes() == bytes(90_000)
    assert os.listdir(tmp_path) == ["x"]


def test_what_is_no_file_is_not_written_over(tmp_path):
    for target in ("/dev/null", tmp_path):
        with pytest.raises(ValueError, match="is no file, so nothing is written there"):
            files.write_bytes(target, b"x")


#: What changes the disk, and the modules that may: reading opens files too, so a mode is looked at.
WRITES = {"write_bytes", "write_text", "mkdir", "unlink", "rmtree", "rename", "touch", "makedirs", "symlink_to"}
ALSO_OS = {"replace", "remove", "rename", "mkdir", "open", "write", "truncate"}


def written(path: Path) -> Iterator[str]:
    """The calls in a file that write to the disk by another way than `seewhy.storage.files`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Attribute, ast.Name)):
            continue
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        words = [
            value.value
            for value in (*node.args, *(each.value for each in node.keywords))
            if isinstance(value, ast.Constant)
        ]
        opened = name == "open" and any(
            isinstance(word, str) and word in ("w", "wb", "a", "ab", "ab+", "x", "xb", "r+b") for word in words
        )
        if owner != "files" and (name in WRITES or opened or (owner == "os" and name in ALSO_OS)):
            yield f"{path.name}:{node.lineno}: {ast.unparse(node)[:80]}"


#: Writes are made in `files`; a made world is a folder renamed whole, whose thousands of images are not flushed each.
MAY = ("files.py", "made.py")


def test_nothing_else_in_the_package_writes():
    root = Path(files.__file__).parent
    found = [call for path in sorted(root.rglob("*.py")) if path.name not in MAY for call in written(path)]
    assert not [call for call in found if "os.devnull" not in call], found
    assert list(written(root / "files.py"))
