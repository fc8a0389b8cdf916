"""How much a look into a network costs, how much may be spent, and how much fits into memory at once."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

#: The share of the memory that is free which one run of the network may take.
SHARE = 0.25
_UNITS = {"s": 1.0, "min": 60.0, "ms": 1e-3}


@dataclass(frozen=True, slots=True)
class Passes:
    """Runs of the whole network an example."""

    forwards: float = 0.0
    backwards: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.forwards + self.backwards

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)


@dataclass(slots=True)
class Budget:
    """Seconds or forward passes an example that may be spent; None is no limit. A backward pass counts as a forward."""

    seconds: float = math.inf
    passes: float = math.inf
    begun: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, text: str | None) -> Budget:
        """From "2 s", "1.5 min" or "300 forwards". Raises ValueError for anything else."""
        if text is None:
            return cls()
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|min|forwards?)\s*", text)
        if found is None or float(found[1]) <= 0:
            raise ValueError(f"The budget is {text!r}; it must be a time or a number of passes: '2 s', '300 forwards'")
        number, unit = float(found[1]), found[2]
        return cls(seconds=number * _UNITS[unit]) if unit in _UNITS else cls(passes=number)

    def spent(self, passes: float) -> bool:
        """Whether there is no time left, or none of so many passes."""
        return passes >= self.passes or time.monotonic() - self.begun >= self.seconds


def free_bytes(device: torch.device) -> int:
    """Memory that is free now where the network runs."""
    if device.type == "cuda":
        return (
            torch.cuda.mem_get_info(device)[0]
            + torch.cuda.memory_reserved(device)
            - torch.cuda.memory_allocated(device)
        )
    free = _available()
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next((line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # no system of this kind tells what is free


def _cgroup(name: str) -> int | None:
    """A limit of the container that this runs in, if it has one."""
    file = Path("/sys/fs/cgroup") / name
    text = file.read_text().strip() if file.exists() else "max"
    return int(text) if text.isdecimal() else None
