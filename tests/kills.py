"""How does a run fare that is killed again and again, wherever it happens to be?

    python tests/kills.py 200
    python tests/kills.py 20 --seed 3 -- --workers 2        what stands after -- goes to `seewhy train` and `audit`

Takes digits through `train`, `audit` and `report`, each in a process that gets SIGKILL after a random time and is
started again with the same words until it comes to its end. In the end the weights must be bit-equal, the findings and
the page equal, to those of a run that nobody touched; after each kill no process of the run may be left. Prints one
line of JSON; exits with 1 if something differs. Linux only.

Interpreter and libraries are loaded once and every process is forked from there, so that the time goes into what is
tested. The training is saved after every step, so that about every other kill falls into a write.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import select
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

TRAINING = ("digits", "--network", "resnet_tiny", "--steps", "90", "--threads", "1")
#: Enough for a quick look: few images, few steps, few audits.
SHORT = ("--network", "resnet_tiny", "--steps", "30", "--threads", "1", "--audits", "accuracy,calibration")
#: A disk in memory, where there is one: a kill does not lose what a disk has not written yet, so it may be as quick.
MEMORY = Path("/dev/shm")
#: How long a process that lost its parent may take to notice, in seconds.
GRACE = 10.0


class Killed(NamedTuple):
    """One kill: when, in seconds after the start; what had been kept last, in seconds before; who was left over."""

    command: str
    after: float
    lost: float
    left: list[int]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("kills", type=int)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--save-every", type=float, default=0.0, help="seconds between two checkpoints")
    asked.add_argument("--short", action="store_true", help="few steps, few audits, and no report on its own")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    given = asked.parse_args(words[:end])
    load(given.save_every)
    flags = words[end + 1 :]  # argparse would take these for its own
    drawn, began = random.Random(given.seed), time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        if given.short:
            data = write_digits(Path(place) / "images", 120)
            COMMANDS.clear()
            COMMANDS["audit"] = lambda flags: ["audit", str(data), *SHORT, *flags, "--out", "run"]
        whole = {name: untouched(name, Path(place) / f"whole-{name}", flags) for name in COMMANDS}
        killed: list[Killed] = []
        wrong: list[str] = []
        lives = 0
        while len(killed) < given.kills:
            name = list(COMMANDS)[lives % len(COMMANDS)]
            folder = Path(place) / f"life-{lives}"
            killed += life(name, folder, whole[name].seconds, flags, drawn)
            wrong += [f"{name} {lives}: {what}" for what in differences(name, folder, whole[name].folder)]
            lives += 1
            sys.stderr.write(f"\r{len(killed)} kills, {lives} runs, {len(wrong)} wrong ")
            shutil.rmtree(folder)
    wrong += [f"{kill.command} left {kill.left} after {kill.after:.2f} s" for kill in killed if kill.left]
    lost = [kill.lost for kill in killed]
    told = {
        "kills": {name: sum(kill.command == name for kill in killed) for name in COMMANDS},
        "runs": lives,
        "wrong": wrong,
        "redone_seconds": {"median": round(statistics.median(lost), 2), "most": round(max(lost), 2)},
        "untouched_seconds": {name: round(run.seconds, 1) for name, run in whole.items()},
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if wrong or max(lost) > 30 else 0


def load(save_every: float) -> None:
    """All that a run imports, without a thread being started that a fork would lose."""
    import sklearn.linear_model
    import timm
    import torch.nn.modules.module

    from seewhy import auditing, cli, exports, shelf
    from seewhy.training import fitting

    assert all((sklearn, timm, torch, cli))
    for name in ("audits", "explainers", "networks", "tasks", "data"):
        for member in shelf.members(name):
            shelf.load(name, member)
    for name in shelf.members("exports"):
        exports.load(name)
    assert auditing.fitting is fitting
    fitting.SAVE_EVERY = save_every


def write_digits(folder: Path, count: int) -> Path:
    """So many of the digits as files, a folder a class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(count):
        place = folder / str(digits.target[number])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[number] * 15.9).astype("uint8")).save(place / f"{number}.png")
    return folder


def words_train(flags: list[str]) -> list[str]:
    return ["train", *TRAINING, *flags, "--out", "run"]


def words_audit(flags: list[str]) -> list[str]:
    return ["audit", *TRAINING, *flags, "--out", "run"]


def words_report(flags: list[str]) -> list[str]:
    return ["report", "run"]


COMMANDS: dict[str, Callable[[list[str]], list[str]]] = {
    "train": words_train,
    "audit": words_audit,
    "report": words_report,
}


class Untouched(NamedTuple):
    folder: Path
    seconds: float


#: A finished audit, from which every life of `report` starts.
audited: list[Path] = []


def untouched(name: str, folder: Path, flags: list[str]) -> Untouched:
    """A run of the command that nobody kills."""
    prepare(name, folder)
    began = time.monotonic()
    process = start(folder, COMMANDS[name](flags))
    code = wait(process, None)
    if code != 0:
        raise SystemExit(f"seewhy {name} ended with {code}:\n{(folder / 'said').read_text()}")
    if name == "audit":
        audited.append(folder)
    return Untouched(folder, time.monotonic() - began)


def prepare(name: str, folder: Path) -> None:
    if name == "report":
        shutil.copytree(audited[0], folder)
    else:
        folder.mkdir()


def life(name: str, folder: Path, seconds: float, flags: list[str], drawn: random.Random) -> list[Killed]:
    """From the first start to the end; the kills on the way."""
    prepare(name, folder)
    killed = []
    while True:
        began = time.time()
        process = start(folder, COMMANDS[name](flags))
        code = wait(process, drawn.expovariate(3 / seconds))
        if code == 0:
            return killed
        if code is not None:
            raise SystemExit(f"seewhy {name} ended with {code}:\n{(folder / 'said').read_text()}")
        os.kill(process, signal.SIGKILL)
        now = time.time()
        wait(process, None)
        lost = now - max([began, *(path.stat().st_mtime for path in kept(folder))])
        killed.append(Killed(name, now - began, max(0.0, lost), left_over(process)))


def start(folder: Path, words: list[str]) -> int:
    """`seewhy` with these words in a process, and a session, of its own."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["SEEWHY_CACHE"] = str(folder / "tables")
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for handle in (1, 2):
            os.dup2(said, handle)
        sys.argv = ["seewhy", *words]
        from seewhy import cli

        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process: int, seconds: float | None) -> int | None:
    """How it ended; None if it is at work after so many seconds."""
    handle = os.pidfd_open(process)
    try:
        if not select.select([handle], [], [], seconds)[0]:
            return None
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def left_over(session: int) -> list[int]:
    """Processes of a session whose first process was killed that are still there after a while; they are ended."""
    until = time.monotonic() + GRACE
    while (there := list(members(session))) and time.monotonic() < until:
        time.sleep(0.02)
    for process in there:
        os.kill(process, signal.SIGKILL)
    return there


def members(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, held_by = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue  # it ended meanwhile
            if int(held_by) == session and state != "Z":
                yield int(entry.name)


def kept(folder: Path) -> Iterator[Path]:
    """What outlives a kill."""
    names = ("settings.json", "checkpoint.safetensors", "model.json", "kind.json", "report.html", "findings.json")
    return (path for path in folder.rglob("*") if path.name in names and path.is_file())


def differences(name: str, folder: Path, whole: Path) -> Iterator[str]:
    """What is not as in the run that nobody touched."""
    unfinished = [str(path.relative_to(folder)) for path in folder.rglob("*.unfinished")]
    if unfinished:
        yield f"left {unfinished}"
    one, other = ((run / "run" / "model" / "weights.safetensors").read_bytes() for run in (folder, whole))
    if hashlib.sha256(one).digest() != hashlib.sha256(other).digest():
        yield "other weights"
    if (folder / "run" / "checkpoint.safetensors").exists():
        yield "a checkpoint is left"
    steps = [json.loads(line)["step"] for line in (folder / "run" / "progress.jsonl").read_text().splitlines()]
    if steps != sorted(set(steps)):
        yield f"the log tells of the steps {steps}"
    if name != "train" and findings(folder) != findings(whole):
        yield "other findings"
    if (
        name == "report"
        and (folder / "run" / "report.html").read_bytes() != (whole / "run" / "report.html").read_bytes()
    ):
        yield "another page"


def findings(folder: Path) -> Any:
    return json.loads((folder / "run" / "findings.json").read_text(encoding="utf-8"))["findings"]


if __name__ == "__main__":
    sys.exit(main())
