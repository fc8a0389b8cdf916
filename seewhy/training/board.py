"""Can a training be watched in TensorBoard? An extra: `pip install seewhy[tensorboard]`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seewhy.types import Progress


def check() -> None:
    """Raises ValueError where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("TensorBoard is not installed; `pip install seewhy[tensorboard]` brings it")


class Board:
    """TensorBoard's curves: one a number, each point at its step."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, progress: Progress) -> None:
        """The numbers of a step, or of a look at the validation split; other work has no curve."""
        if progress.stage in ("train", "validate"):
            for name, value in progress.numbers.items():
                self._writer.add_scalar(f"{progress.stage}/{name}", value, progress.done)


@contextmanager
def opened(folder: Path, step: int) -> Iterator[Board]:
    """A board that goes on after so many steps: points that a killed run drew beyond them are taken back."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step + 1) as writer:
        yield Board(writer)
