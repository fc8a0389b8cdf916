"""Which of the processes that do this work together is this one, and what do the others have to say?

    torchrun --nproc-per-node 2 --no-python seewhy train photos/

Each such process is a rank. All do the same work on their share of each batch and meet at the sums; the first alone
writes, and does alone what cannot be shared. Without torchrun there is one rank, and everything here costs nothing.

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
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Result = TypeVar("Result")
Told = TypeVar("Told")
Given = ParamSpec("Given")

#: Seconds between two signs of life; how many may fail to come; and from how many on a rank is named as the one that
#: broke a connection.
BEAT, SILENT, SUSPECT = 1.0, 40, 3
#: Seconds in which all ranks must have come.
JOINING = 60.0
#: A rank that cannot end by itself, in a GPU's queue or a long decoding, is ended so many seconds after the loss.
GRACE = 10.0


class Lost(RuntimeError):
    """Another rank is gone; the sentence names it."""


def number() -> int:
    """This rank, from 0."""
    return _ranks.number if _ranks else 0


def count() -> int:
    """How many ranks share what is being done now: 1 in what the first does alone."""
    return _ranks.count if _ranks and not _ranks.alone else 1


def place_on_machine() -> int:
    """This rank among those of its machine, from 0: whose GPU it takes."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _ranks else 0


def is_first() -> bool:
    """Whether this is the rank that writes and tells."""
    return number() == 0


def share(length: int, *, together: int = 1) -> slice:
    """Which of `length` things are this rank's, where so many neighbours stay together. One after the other the shares
    of all ranks are the whole."""
    groups = length // together
    first, next_one = (together * (groups * rank // count()) for rank in (number(), number() + 1))
    return slice(first, next_one if number() + 1 < count() else length)


@contextmanager
def together() -> Iterator[None]:
    """Do this with the other ranks that torchrun started, if there are any. Raises Lost where one is gone."""
    global _ranks
    if _ranks is not None or int(os.environ.get("WORLD_SIZE", "1")) < 2 or "MASTER_ADDR" not in os.environ:
        yield
        return
    _ranks = _Ranks()
    reason = ""
    try:
        with _ranks.told_to_end():
            yield
            _ranks.total(torch.zeros(1))  # nobody leaves before all have come to the end
    except BaseException as error:
        reason = (
            str(error) if isinstance(error, Lost) else f"{_ranks.who()} stopped: {str(error) or type(error).__name__}"
        )
        raise
    finally:
        _ranks.leave(reason)
        _ranks = None


def once(make: Callable[[], Result]) -> Result:
    """What the first rank makes, for all of them; also what it raises."""

    def work() -> Generator[None, None, Result]:
        yield
        return make()

    return ended(once_through(work()))


def once_through(work: Generator[Told, None, Result]) -> Generator[Told, None, Result]:
    """As `once`, for work that tells how far it is; the other ranks hear nothing until it is done."""
    if _ranks is None or _ranks.alone:
        return (yield from work)
    made: tuple[bool, Any] | None = None
    if is_first():
        _ranks.alone = True
        try:
            made = True, (yield from work)
        except Lost:
            raise
        except Exception as error:  # noqa: BLE001 all ranks must fail alike
            made = False, error
        finally:
            _ranks.alone = False
    succeeded, result = _ranks.told(made)
    if not succeeded:
        raise result
    return result


def by_the_first(write: Callable[Given, None]) -> Callable[Given, None]:
    """For what writes: it does nothing on any other rank, and nobody waits for it."""

    @wraps(write)
    def perhaps(*args: Given.args, **kwargs: Given.kwargs) -> None:
        if is_first():
            write(*args, **kwargs)

    return perhaps


def from_each(work: Generator[Told, None, Result]) -> Generator[Told, None, list[Result]]:
    """What each rank's work came to, in the order of the ranks; what one of them raises, all do."""
    if count() == 1:
        return [(yield from work)]
    try:
        made: tuple[bool, Any] = True, (yield from work)
    except Lost:
        raise
    except Exception as error:  # noqa: BLE001 all ranks must fail alike
        made = False, error
    outcomes = gathered(made)
    for succeeded, result in outcomes:
        if not succeeded:
            raise result
    return [result for _, result in outcomes]


def gathered(value: Result) -> list[Result]:
    """What each rank gave here, in the order of the ranks."""
    if count() == 1:
        return [value]
    assert _ranks is not None
    return _ranks.gathered(value)


def told(value: Result, teller: int) -> Result:
    """What that rank gave here; what the others gave does not matter."""
    if count() == 1:
        return value
    assert _ranks is not None
    return _ranks.told(value, teller)


def total(tensor: Tensor) -> Tensor:
    """The sum over all ranks, in place; the same bits on each."""
    if count() > 1:
        assert _ranks is not None
        _ranks.total(tensor)
    return tensor


def most(value: float) -> float:
    """The largest of what the ranks gave: what clocks say, so that all decide alike."""
    return max(gathered(value))


def joined(mine: Any, length: int, *, together: int = 1) -> Any:
    """The rows of all ranks from this rank's `share` of `length`, in order; gradients go back to where rows came
    from. For a tensor, or a mapping or sequence of such; raises TypeError for anything else."""
    if count() == 1:
        return mine
    if isinstance(mine, Tensor):
        return _Joined.apply(mine, share(length, together=together).start, length)
    if isinstance(mine, Mapping):
        return {name: joined(value, length, together=together) for name, value in mine.items()}
    if isinstance(mine, (list, tuple)):
        return type(mine)(joined(value, length, together=together) for value in mine)
    raise TypeError(f"Ranks can share a network that puts out tensors; this one puts out {type(mine).__name__}")


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the sum of its gradients over all ranks: one message a kind of number, not one a layer."""
    if count() == 1:
        return
    kinds: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            kinds.setdefault(parameter.dtype, []).append(parameter)
    for some in kinds.values():
        used = torch.tensor([float(parameter.grad is not None) for parameter in some])
        flat = [(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in some]
        *sums, uses = total(torch.cat([*flat, used.to(flat[0])])).split([*map(len, flat), len(some)])
        for parameter, gradient, use in zip(some, sums, uses.tolist(), strict=True):
            if not use:
                continue  # as in one process, what nobody used has no gradient
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(gradient.view_as(parameter))


def as_the_first(tensors: Iterable[Tensor]) -> None:
    """Give these tensors the first rank's numbers, in place."""
    if count() > 1:
        assert _ranks is not None
        for tensor in tensors:
            dense = tensor.contiguous()
            _ranks.spread(dense)
            tensor.copy_(dense)


class _Joined(torch.autograd.Function):
    """Rows into their place among zeros, then the sum over ranks. Each rank works out the same loss of all rows, so
    the gradient of its own rows is all that it needs to keep."""

    @staticmethod
    def forward(context: Any, mine: Tensor, start: int, length: int) -> Tensor:
        context.place = slice(start, start + len(mine))
        whole = mine.new_zeros((length, *mine.shape[1:]))
        whole[context.place] = mine
        return total(whole)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][context.place], None, None


class _Ranks:
    """The ranks of this run, seen from one of them; a thread says that it runs, and listens to the others."""

    meetings = 0  # each has keys of its own in the store, which outlives it

    def __init__(self) -> None:
        try:
            store, self.number, self.count = next(dist.rendezvous("env://", timeout=timedelta(seconds=JOINING)))
        except RuntimeError as error:
            count = os.environ["WORLD_SIZE"]
            raise Lost(f"of {count} ranks not all came within {JOINING:g} seconds: {error}") from error
        _Ranks.meetings += 1
        self.alone = False
        self.lost = ""
        self._store = dist.PrefixStore(f"seewhy {_Ranks.meetings}", store)
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


def ended(work: Generator[Any, None, Result]) -> Result:
    """What work that tells how far it is comes to."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


_ranks: _Ranks | None = None
