"""Two ranks do what one process does, one row and one step as the other; and none waits for one that is gone."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from seewhy.model import Model
from seewhy.processes import meeting, ranks
from seewhy.settings import Settings
from seewhy.storage.run import Run
from seewhy.training import fitting

SCRIPT = Path(__file__).with_name("what_ranks_do.py")


def torchrun(*words, cwd=None, extra=None):
    """Two ranks on this machine, with a thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(extra or {})}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=environment
    )


def finished(process, seconds=200):
    """How it ended and what it printed."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, said


def pids(process: subprocess.Popen) -> list[int]:
    """Of the ranks, in order."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    return sorted(map(int, listed.stdout.split()))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("what_ranks_do", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["what_ranks_do"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(script):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield script.everything()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    code, said = finished(torchrun(SCRIPT, folder))
    assert code == 0, said
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]


NAMES = [
    "plain",
    "batch normalisation",
    "an average of the weights, momentum",
    "mixup and cutmix in pieces",
    "fine-tuning",
]


def test_every_training_of_the_script_is_looked_at(script):
    assert list(script.TRAININGS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_are_shown_what_one_process_is_shown_bit_for_bit(name, alone, both):
    (whole,) = alone[name]["shown"]
    first, second = both[0][name]["shown"]
    assert len(whole) == len(first) == len(second)
    for one, part, rest in zip(whole, first, second, strict=True):
        assert one[0] == part[0] == rest[0]
        assert one[1] == part[1] + rest[1]
        assert np.array_equal(one[2], np.concatenate([part[2], rest[2]]))


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_end_with_the_weights_of_one_process(name, alone, both):
    # a head that is fitted first ends where rounding lets its solver end
    most = 2e-2 if name == "fine-tuning" else 1e-5
    ours, theirs, others = (each[name]["state"] for each in (alone, *both))
    for key, value in ours.items():
        assert np.abs(value.astype(float) - theirs[key]).max() < most, key
        assert np.array_equal(theirs[key], others[key]), key
    assert both[0][name]["measured"] == both[1][name]["measured"]
    for row, same in zip(alone[name]["measured"]["history"], both[0][name]["measured"]["history"], strict=True):
        assert row == pytest.approx(same, abs=most)


def test_ranks_agree_on_the_steps_that_fit_into_minutes_and_on_the_weights_though_each_drops_others(both):
    first, second = (each["minutes and dropout"] for each in both)
    assert first["steps"] == second["steps"] >= 1
    assert all(np.array_equal(one, other) for one, other in zip(first["state"], second["state"], strict=True))


@pytest.mark.parametrize(("count", "prepared"), [(21, ""), (1, ""), (21, ", prepared by the first")])
def test_a_table_by_two_ranks_has_each_row_once_in_its_order(count, prepared, alone, both):
    ours, theirs, others = (each[f"predictions of {count}{prepared}"] for each in (alone, *both))
    assert theirs.table.equals(others.table)
    assert theirs.table.schema == ours.table.schema
    for name in ("id", "target", "right", "answer", "tag:scanner"):
        assert list(theirs[name]) == list(ours[name])
    assert np.abs(theirs["confidence"] - ours["confidence"]).max() < 0.02
    assert theirs.log_probabilities.shape == ours.log_probabilities.shape == (count, 3)
    assert theirs.embeddings.shape == ours.embeddings.shape


@pytest.mark.parametrize("length", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_make_the_whole_and_leave_neighbours_together(count, together, length, monkeypatch):
    shares = []
    for rank in range(count):
        monkeypatch.setattr(ranks, "number", lambda rank=rank: rank)
        monkeypatch.setattr(ranks, "count", lambda: count)
        shares.append(list(range(length))[ranks.share(length, together=together)])
    assert [place for share in shares for place in share] == list(range(length))
    assert all(not share or share[0] % together == 0 for share in shares)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) < 2 * together


def test_without_torchrun_there_is_one_rank_and_nothing_is_asked_of_it():
    with ranks.together():
        assert (ranks.number(), ranks.count(), ranks.is_first()) == (0, 1, True)
        assert ranks.gathered("word") == ["word"]
        assert ranks.once(lambda: 3) == 3
        tensor = torch.ones(2)
        assert ranks.total(tensor) is tensor
        assert ranks.joined(tensor, 2) is tensor


FAILS = """
import sys, time
import torch
from seewhy.processes import ranks
from seewhy.training import fitting
from seewhy.model import Model
from seewhy.storage.run import Run
from seewhy.settings import Settings
with ranks.together():
    assert ranks.gathered(ranks.number()) == [0, 1]
    try:
        ranks.once(lambda: 1 / 0)
    except ZeroDivisionError:
        sys.stdout.write(f"both were told {ranks.gathered(ranks.number())}\\n")
        sys.stdout.flush()
    if ranks.number() == 1:
        raise ValueError("cat.png is broken")
    ranks.total(torch.ones(1))
"""


@pytest.mark.slow
def test_what_the_first_raises_all_raise_and_one_that_fails_tells_the_others_why(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS)
    code, said = finished(torchrun(tmp_path / "fails.py"))
    assert code != 0
    assert said.count("both were told [0, 1]") == 2
    assert re.search(
        r"seewhy\.processes\.meeting\.Lost: rank 1 \(process \d+ on .+\) stopped: cat\.png is broken", said
    ), said


ALONE = """
import os, signal, sys, time
from seewhy.processes import meeting, ranks
meeting.BEAT, meeting.GRACE = 0.05, 0.5
with ranks.together():
    assert ranks.gathered(ranks.number()) == [0, 1]
    if ranks.number() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:  # where no word of the others is heard
        try:
            time.sleep(100)
        except ranks.Lost:
            pass
"""


@pytest.mark.slow
def test_a_rank_that_cannot_hear_of_a_loss_is_ended_with_the_reason(tmp_path):
    (tmp_path / "alone.py").write_text(ALONE)
    process = torchrun(tmp_path / "alone.py")
    line = next(line for line in process.stdout if "ends:" in line)
    frozen = pids(process)[-1]
    os.kill(frozen, signal.SIGKILL)
    finished(process)
    assert re.search(r"rank 0 .* ends: rank 1 .* has given no sign of life for 2 seconds \(frozen\?\)", line)


def test_ranks_that_do_not_come_are_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(meeting, "JOINING", 1.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for name, value in (("RANK", 0), ("WORLD_SIZE", 2), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ranks.Lost, match="of 2 ranks not all came within 1 seconds"), ranks.together():
        pass
    assert ranks.count() == 1


# ------------------------------------------------------------------------------------------- the command line


def audited(folder: Path) -> dict:
    return json.loads((folder / "findings.json").read_text())


QUICK = ("--network", "resnet_tiny", "--threads", "1")


@pytest.mark.slow
def test_an_audit_by_two_ranks_finds_what_one_process_finds(photos, command):
    asked = ("audit", "photos", "--steps", "20", *QUICK)
    assert command(*asked, "--out", "alone").code == 0
    code, said = finished(
        torchrun("-m", "seewhy.cli", *asked, "--out", "both", "--workers", "1", extra={"SEEWHY_CACHE": "cache"})
    )
    assert code == 0, said
    assert said.count("both/report.html") == 1  # one rank tells
    ours, theirs = audited(Path("alone")), audited(Path("both"))
    assert [each["id"] for each in ours["findings"]] == [each["id"] for each in theirs["findings"]]
    for one, same in zip(ours["findings"], theirs["findings"], strict=True):
        assert one["severity"] == same["severity"]
        assert one["value"] == pytest.approx(same["value"], abs=1e-4, nan_ok=True), one["id"]
    code, said = finished(torchrun("-m", "seewhy.cli", "predict", "both", "photos", "--csv"))
    assert code == 0, said
    rows = [line.split(",")[0] for line in said.splitlines() if line.startswith("photos/")]
    assert len(rows) == len(set(rows)) == 40
    lines = Path("both/progress.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_two_ranks_go_on_where_one_process_stopped(photos, command):
    asked = {"data": "photos", "network": "resnet_tiny", "steps": 12, "threads": 1}
    before = torch.get_num_threads()
    whole, _ = ranks.ended(fitting.train(Settings(**asked), out="whole"))
    work = fitting.train(Settings(**asked), out="stopped")
    for progress in work:
        if progress.stage == "train" and progress.done == 5:
            work.close()
    torch.set_num_threads(before)
    assert Run("stopped").load_checkpoint()[1]["step"] == 5
    words = [word for name, value in asked.items() if name != "data" for word in (f"--{name}", value)]
    code, said = finished(torchrun("-m", "seewhy.cli", "train", "photos", *words, "--out", "stopped"))
    assert code == 0, said
    ours, theirs = whole.network.state_dict(), Model.load("stopped/model").network.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4
    assert [row["step"] for row in Run("stopped").logged()] == [row["step"] for row in Run("whole").logged()]


def trains(folder: Path, **settings) -> subprocess.Popen:
    """A training by two ranks that would take an hour."""
    words = ("--steps", "1000000", "--batch", "16", *QUICK, "--out", "long")
    process = torchrun("-m", "seewhy.cli", "train", "photos", *words, cwd=folder)
    deadline = time.monotonic() + 100
    while not list(folder.glob("long/progress.jsonl")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    ("blow", "words"),
    [(signal.SIGKILL, "ended without a word"), (signal.SIGSTOP, "has given no sign of life for 40 seconds")],
)
def test_a_rank_that_is_killed_or_frozen_ends_the_run_with_its_name(photos, here, victim, blow, words):
    process = trains(here)
    hit = pids(process)[victim]
    os.kill(hit, blow)
    code, said = finished(process, seconds=100)
    assert code != 0
    assert re.search(rf"rank {victim} \(process {hit} on .+\) {words}", said), said
    with pytest.raises(ProcessLookupError):
        os.kill(hit, 0)
