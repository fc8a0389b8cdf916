"""How do ranks talk, and how do they hear that one of them is gone?

Nobody waits for a rank that is gone. Each says every second that it runs, and listens: one that is killed breaks its
connections, one that is frozen falls silent, one that fails says why; the others then end with its name. Ranks talk
over PyTorch's connections, which are neither secret nor checked: use a network that is your own.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

#: Seconds between two signs of life; how many may fail to come; and from how many on a rank is named as the one that
#: broke a connection.
BEAT, SILENT, SUSPECT = 1.0, 40, 3
#: Seconds in which all ranks must have come.
JOINING = 60.0
#: A rank that cannot end by itself, in a GPU's queue or a long decoding, is ended so many seconds after the loss.
GRACE = 10.0


class Lost(RuntimeError):
    """Another rank is gone; the sentence names it."""


class Meeting:
    """The ranks of this run, seen from one of them; a thread says that it runs, and listens to the others."""

    meetings = 0  # each has keys of its own in the store, which outlives it

    def __init__(self) -> None:
        try:
            store, self.number, self.count = next(dist.rendezvous("env://", timeout=timedelta(seconds=JOINING)))
        except RuntimeError as error:
            count = os.environ["WORLD_SIZE"]
            raise Lost(f"of {count} ranks not all came within {JOINING:g} seconds: {error}") from error
        Meeting.meetings += 1
        self.alone = False
        self.lost = ""
        self._store = dist.PrefixStore(f"seewhy {Meeting.meetings}", store)
        self._names = self._all_here()
        self._over = threading.Event()
        self._silent = [0] * self.count
        self._heard = [""] * self.count
        self._beat(0)
        threading.Thread(target=self._listen, daemon=True, name="ranks").start()
        self._own_gpu = 0 < int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= torch.cuda.device_count()
        if self._own_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if self._own_gpu else "gloo",
            store=dist.PrefixStore("group", self._store),
            rank=self.number,
            world_size=self.count,
            timeout=timedelta(days=7),  # who is gone is heard sooner, and who works alone may take hours
        )

    def who(self, rank: int | None = None) -> str:
        """A rank in words: its number, process and machine."""
        return self._names[self.number if rank is None else rank]

    def leave(self, reason: str) -> None:
        """Tell the others, with a sentence if it is not the end of the work, and part."""
        self._over.set()
        with suppress(RuntimeError):  # whoever held the store may be gone
            self._store.set(f"beat {self.number}", f"left {reason}")
        if not reason:
            dist.destroy_process_group()

    # ------------------------------------------------------------------------------------------- what is said

    def total(self, tensor: Tensor) -> None:
        self._finish(dist.all_reduce(tensor, async_op=True), tensor)

    def spread(self, tensor: Tensor, teller: int = 0) -> None:
        self._finish(dist.broadcast(tensor, teller, async_op=True), tensor)

    def told(self, value: Any, teller: int = 0) -> Any:
        content = _pickled(value) if self.number == teller else b""
        size = torch.tensor([len(content)])
        self.spread(size, teller)
        flat = _as_tensor(content) if self.number == teller else torch.empty(int(size), dtype=torch.uint8)
        self.spread(flat, teller)
        return value if self.number == teller else pickle.loads(flat.numpy().data)

    def gathered(self, value: Any) -> list[Any]:
        content = _as_tensor(_pickled(value))
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        self._finish(dist.all_gather(sizes, torch.tensor([len(content)]), async_op=True), content)
        longest = int(max(sizes))
        flat = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.count)]
        padded = torch.cat([content, content.new_zeros(longest - len(content))])
        self._finish(dist.all_gather(flat, padded, async_op=True), content)
        return [pickle.loads(each[: int(size)].numpy().data) for each, size in zip(flat, sizes, strict=True)]

    def _finish(self, work: Any, tensor: Tensor) -> None:
        """Wait for the others no longer than they are there."""
        self.check()
        if tensor.is_cuda and self._own_gpu:
            work.wait()  # the GPU waits, not this process
            return
        while True:
            try:
                work.wait(timedelta(seconds=BEAT / 4))
                return
            except RuntimeError as error:
                if work.is_completed():
                    self._broke(error)
            self.check()

    def check(self) -> None:
        """Raises Lost where a rank is gone."""
        if self.lost:
            raise Lost(self.lost)

    def _broke(self, error: BaseException | None) -> NoReturn:
        """A connection broke, or torchrun wants the end: whoever falls silent now is why."""
        for _ in range(2 * SUSPECT * 4):
            self.check()
            gone = [rank for rank, beats in enumerate(self._silent) if beats >= SUSPECT]
            if gone:
                raise Lost(f"{' and '.join(map(self.who, gone))} ended without a word (killed?)") from error
            time.sleep(BEAT / 4)
        raise Lost(
            f"{self.who()} was told to stop" if error is None else f"the ranks lost each other: {error}"
        ) from error

    # -------------------------------------------------------------------------------------------- who is there

    def _all_here(self) -> list[str]:
        """A name for each rank, once all have given theirs."""
        name = f"rank {self.number} (process {os.getpid()} on {socket.gethostname()})"
        keys = [f"name {rank}" for rank in range(self.count)]
        self._store.set(keys[self.number], name)
        try:
            self._store.wait(keys, timedelta(seconds=JOINING))
        except RuntimeError as error:
            missing = [str(rank) for rank, key in enumerate(keys) if not self._store.check([key])]
            raise Lost(f"of {self.count} ranks {', '.join(missing)} did not come within {JOINING:g} seconds") from error
        return [name.decode() for name in self._store.multi_get(keys)]

    def _beat(self, beat: int) -> None:
        self._store.set(f"beat {self.number}", str(beat))

    def _listen(self) -> None:
        """Until the end or a loss. Counted in rounds of its own: a machine that slept has missed nothing."""
        beat = 0
        keys = [f"beat {rank}" for rank in range(self.count)]
        while not self._over.wait(BEAT) and not self.lost:
            beat += 1
            try:
                self._beat(beat)
                said = [text.decode() for text in self._store.multi_get(keys)]
            except RuntimeError as error:
                self.lost = f"the process that started the ranks cannot be reached: {str(error).splitlines()[0]}"
                break
            for rank, text in enumerate(said):
                left, _, reason = text.partition(" ")
                here = text != self._heard[rank] or left == "left"
                self._heard[rank], self._silent[rank] = text, 0 if here else self._silent[rank] + 1
                if reason:
                    self.lost = reason
                elif self._silent[rank] >= SILENT:
                    self.lost = f"{self.who(rank)} has given no sign of life for {SILENT * BEAT:g} seconds (frozen?)"
        if self.lost and not self._over.wait(GRACE):
            print(f"{self.who()} ends: {self.lost}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)

    @contextmanager
    def told_to_end(self) -> Iterator[None]:
        """torchrun ends all ranks when one has ended: say which, rather than nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda number, frame: self._broke(None))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _as_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _pickled(value: Any) -> bytes:
    """Ranks are one program; nothing that is read from a file or from elsewhere comes this way."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
