"""Which of the processes that do this work together is this one, and what do the others have to say?

    torchrun --nproc-per-node 2 --no-python seewhy train photos/

Each such process is a rank. All do the same work on their share of each batch and meet at the sums; the first alone
writes, and does alone what cannot be shared. Without torchrun there is one rank, and everything here costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from seewhy.processes.meeting import Lost, Meeting

Result = TypeVar("Result")
Told = TypeVar("Told")
Given = ParamSpec("Given")


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
    _ranks = Meeting()
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


def ended(work: Generator[Any, None, Result]) -> Result:
    """What work that tells how far it is comes to."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


_ranks: Meeting | None = None
