"""What the network said of images before and after a change, row by row; and how far that moves, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int

from seewhy.statistics.intervals import Estimate
from seewhy.types import Need, Predictions


def need(
    change: str,
    strength: float | None,
    count: int,
    settings: tuple[tuple[str, Any], ...] = (),
    *,
    placebo: bool = False,
) -> Need:
    """The table of a change at a strength, or of its placebo, on at most so many images."""
    return Need(
        "intervention",
        intervention=change,
        strength=None if strength is None else float(strength),
        settings=settings,
        count=count,
        placebo=placebo,
    )


def before(baseline: Predictions, under: Predictions) -> Int[np.ndarray, " rows"]:
    """The rows of the baseline in which the examples stand that were asked about again, in that order."""
    place = {id: row for row, id in enumerate(baseline["id"])}
    return np.array([place[id] for id in under["id"]], dtype=np.int64)


def moves(title: str, estimates: Iterable[tuple[str, Estimate]]) -> dict[str, Any]:
    """Evidence: how far each named quantity moves under a change, with its interval, in its own unit."""
    return {
        "kind": "table",
        "title": title,
        "columns": ["what", "moves by", "low", "high", "n"],
        "rows": [[name, each.value, each.low, each.high, each.n] for name, each in estimates],
    }
