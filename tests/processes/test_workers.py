"""Results come in order from processes that may die: none is lost, none comes twice, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from seewhy.processes import workers
from seewhy.processes.workers import Workers


class Work:
    """Doubles a number into the room; a piece may ask for a death or a failure, once or always."""

    def __call__(self, piece, room, tell):
        number, deed, mark = piece
        tell(number % 5)
        if deed == "fail":
            raise ValueError(f"number {number} cannot be doubled")
        if deed == "die" or (deed == "die once" and not Path(mark).exists()):
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "freeze once" and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.01 * (number % 3))  # the later may be done first
        room[:8].view(np.int64)[0] = 2 * number
        return number, os.getpid()


@pytest.fixture(scope="module")
def two():
    return Workers(Work(), 2, 64, lambda piece, part: f"part {part} of piece {piece[0]}")


def pieces(count, deeds=(), mark=None):
    deeds = dict(deeds)
    return [(number, deeds.get(number, ""), str(mark)) for number in range(count)]


def doubled(results):
    return [(number, int(room[:8].view(np.int64)[0])) for (number, _), room in results]


WHOLE = [(number, 2 * number) for number in range(20)]


def test_results_come_in_order_and_each_room_holds_its_own(two):
    assert doubled(two.results(pieces(20))) == WHOLE
    assert len({pid for (_, pid), _ in two.results(pieces(20))}) == 2


def test_results_that_nobody_wants_any_more_do_not_turn_up_among_the_next(two):
    work = two.results(pieces(20))
    next(work)
    work.close()
    assert doubled(two.results(pieces(20))) == WHOLE


def test_what_work_raises_is_raised_in_its_turn(two):
    work = two.results(pieces(20, {3: "fail"}))
    assert doubled([next(work) for _ in range(1)]) == WHOLE[:1]
    next(work), next(work)
    with pytest.raises(ValueError, match="number 3 cannot be doubled"):
        next(work)
    assert doubled(two.results(pieces(20))) == WHOLE


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(two, tmp_path):
    with pytest.warns(RuntimeWarning, match=r"process \d+ was killed by SIGKILL .* with part 2 of piece 7 in hand"):
        assert doubled(two.results(pieces(20, {7: "die once"}, tmp_path / "mark"))) == WHOLE


def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced(two):
    idle = two._workers[0].process
    idle.kill()
    idle.join()
    assert doubled(two.results(pieces(20))) == WHOLE
    assert two._workers[0].process.pid != idle.pid


def test_a_worker_that_is_frozen_counts_as_dead(two, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LONGEST", 1.0)
    with pytest.warns(RuntimeWarning, match="with part 4 of piece 4 in hand"):
        assert doubled(two.results(pieces(20, {4: "freeze once"}, tmp_path / "mark"))) == WHOLE


def test_a_piece_that_kills_every_worker_ends_the_work_and_is_named(two, tmp_path):
    with (
        pytest.warns(RuntimeWarning, match="another one does it again"),
        pytest.raises(RuntimeError, match=r"with part 2 of piece 2 in hand, and so did the one before it"),
    ):
        list(two.results(pieces(20, {2: "die"}, tmp_path / "mark")))
    assert doubled(two.results(pieces(20))) == WHOLE


def test_workers_end_with_what_made_them():
    some = Workers(Work(), 1, 64, str)
    process = some._workers[0].process
    assert doubled(some.results(pieces(20))) == WHOLE
    del some
    process.join(10)
    assert process.exitcode is not None
