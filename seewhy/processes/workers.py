"""Can work be done in other processes, so that none of it is lost where one of them dies?

Each piece of work has a room in memory that both processes see, for what is large; the rest comes through a pipe.
Results come in the order of the pieces. A worker that dies (killed, out of memory, a decoder that crashes) is replaced
and its piece done again, with a warning; if the piece takes that worker along too, the work ends with a sentence that
names what was in hand.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import sys
import tempfile
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, reduction
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from jaxtyping import UInt8

Room = UInt8[np.ndarray, " bytes"]
#: What a worker does: a piece, its room, and a function to be told which part of the piece is in hand.
Work = Callable[[Any, Room, Callable[[int], None]], Any]

#: Seconds that one piece may take before its worker counts as frozen.
LONGEST = 300.0
#: Rooms for each worker: one to work in, and one that holds a result or waits.
ROOMS = 2
#: Bytes at the start of a room that say which part of its piece is in hand.
HEAD = 8


@dataclass(eq=False)
class _Piece:
    place: int
    what: Any
    room: int = -1
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: connection.Connection
    pieces: deque[_Piece] = field(default_factory=deque)  # the first is in hand, the next one lies ready
    since: float = 0.0


class Workers:
    """`count` processes that do `work`, which must be importable; `name(piece, part)` puts what was in hand in words.

    They end with this object, and with the process that made it, however that ends.
    """

    def __init__(self, work: Work, count: int, room: int, name: Callable[[Any, int], str]) -> None:
        if not hasattr(reduction, "DupFd"):
            raise ValueError(f"Worker processes cannot share memory on {sys.platform}; leave `workers` at 0")
        self._work, self._name = work, name
        # A file without a name, in memory where the system has such: /dev/shm is often too small.
        self._file = os.memfd_create("rooms") if hasattr(os, "memfd_create") else _temporary()
        weakref.finalize(self, os.close, self._file)
        self._shape = (ROOMS * count + 1, HEAD + room)  # and one for the result that is being used
        os.ftruncate(self._file, self._shape[0] * self._shape[1])
        self._rooms = _rooms(self._file, self._shape)
        self._workers = [self._start() for _ in range(count)]
        weakref.finalize(self, _end, self._workers)

    def results(self, pieces: Sequence[Any]) -> Iterator[tuple[Any, Room]]:
        """What `work` returns for each piece, in order, and its room, which holds until the next is asked for.

        Raises what `work` raises, in its turn; RuntimeError where a piece ends two workers.
        """
        while any(worker.pieces for worker in self._workers):  # left over from results that nobody wanted any more
            self._receive()
        waiting = deque(_Piece(place, what) for place, what in enumerate(pieces))
        free = deque(range(len(self._rooms)))
        done: dict[int, tuple[bool, Any, int]] = {}
        for place in range(len(pieces)):
            while place not in done:
                self._hand_out(waiting, free)
                done |= {piece.place: (*outcome, piece.room) for piece, outcome in self._receive()}
            self._hand_out(waiting, free)  # so that nobody is idle while this result is used
            succeeded, result, room = done.pop(place)
            if not succeeded:
                raise result
            yield result, self._rooms[room, HEAD:]
            free.append(room)

    def _hand_out(self, waiting: deque[_Piece], free: deque[int]) -> None:
        """As much as there are rooms for, to whoever has least."""
        while waiting and free:
            worker = min(self._workers, key=lambda one: len(one.pieces))
            if len(worker.pieces) == ROOMS:
                return
            if not worker.pieces and not worker.process.is_alive():
                self._restart(worker)
            piece = waiting.popleft()
            piece.room = free.popleft()
            self._hand_over(worker, piece)

    def _start(self) -> _Worker:
        ours, theirs = _processes().Pipe()
        arguments = (self._work, theirs, reduction.DupFd(self._file), self._shape)
        process = _processes().Process(target=_serve, args=arguments, daemon=True, name="seewhy worker")
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _restart(self, worker: _Worker) -> None:
        worker.pipe.close()
        fresh = self._start()
        worker.process, worker.pipe, worker.pieces = fresh.process, fresh.pipe, fresh.pieces

    def _hand_over(self, worker: _Worker, piece: _Piece) -> None:
        if not worker.pieces:
            worker.since = time.monotonic()
        worker.pieces.append(piece)
        self._rooms[piece.room, :HEAD] = 0
        try:
            worker.pipe.send_bytes(pickle.dumps((piece.what, piece.room)))
        except OSError:  # it has just died
            self._replace(worker)

    def _receive(self) -> list[tuple[_Piece, tuple[bool, Any]]]:
        """Pieces that are done, with what came of each; after at most a second, perhaps none."""
        busy = {worker.pipe: worker for worker in self._workers if worker.pieces}
        found = []
        for pipe in connection.wait(list(busy), timeout=1.0):
            worker = busy.pop(pipe)  # type: ignore[call-overload]
            try:
                outcome = pickle.loads(worker.pipe.recv_bytes())
            except (EOFError, OSError):
                self._replace(worker)
            else:
                found.append((worker.pieces.popleft(), outcome))
                worker.since = time.monotonic()
        for worker in busy.values():
            if time.monotonic() - worker.since > LONGEST:
                worker.process.kill()
        return found

    def _replace(self, worker: _Worker) -> None:
        """Another worker takes over from one that died, with all that it had."""
        worker.process.join()
        pieces, pid, code = worker.pieces, worker.process.pid, worker.process.exitcode
        part = int(self._rooms[pieces[0].room, :HEAD].view(np.int64)[0])
        what = f"Worker process {pid} {_how(code)} with {self._name(pieces[0].what, part)} in hand"
        self._restart(worker)
        pieces[0].deaths += 1
        if pieces[0].deaths > 1:
            raise RuntimeError(f"{what}, and so did the one before it")
        warnings.warn(f"{what}; another one does it again", RuntimeWarning, stacklevel=2)
        for piece in pieces:
            self._hand_over(worker, piece)


def _serve(work: Work, pipe: connection.Connection, file: Any, shape: tuple[int, int]) -> None:
    """What a worker does until nobody is at the other end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that wants results decides when to stop
    rooms = _rooms(file.detach(), shape)
    while True:
        try:
            piece, place = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            tell = rooms[place, :HEAD].view(np.int64).fill
            outcome = pickle.dumps((True, work(piece, rooms[place, HEAD:], tell)))
        except Exception as error:  # noqa: BLE001 it is raised where the result is asked for
            outcome = pickle.dumps((False, error))
        pipe.send_bytes(outcome)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()


def _processes() -> Any:
    """A fork of this process would inherit locks that its threads hold; one of a server without threads does not."""
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["seewhy.loading"])  # once, rather than in each worker
    return processes


def _rooms(file: int, shape: tuple[int, int]) -> UInt8[np.ndarray, "rooms bytes"]:
    return np.frombuffer(mmap.mmap(file, shape[0] * shape[1]), np.uint8).reshape(shape)


def _temporary() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (" (memory may have run out)" if name == "SIGKILL" else "")
    return f"ended with code {code}"
