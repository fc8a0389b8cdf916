"""Tables of predictions with something planted in them, as an audit is handed them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seewhy.types import PREDICTION_COLUMNS, Need, Predictions, Tables


def predicted(
    target: Sequence[str | None],
    answer: Sequence[str | None],
    confidence: Iterable[float | None] | None = None,
    *,
    classes: tuple[str, ...] | None = None,
    logs: np.ndarray | None = None,
    parts: pa.Table | None = None,
    ids: Sequence[str] | None = None,
    **more: Any,
) -> Predictions:
    """What a network said of images i0, i1, ... or of those named; further columns, or tags, by name."""
    n = len(target)
    columns: dict[str, Any] = {name: [None] * n for name in PREDICTION_COLUMNS.names}
    columns |= {
        "id": [f"i{row}" for row in range(n)] if ids is None else ids,
        "condition": [""] * n,
        "target": target,
        "answer": answer,
    }
    columns["right"] = [None if t is None else float(a == t) for a, t in zip(answer, target, strict=True)]
    columns["confidence"] = [None] * n if confidence is None else list(confidence)
    columns |= {name: values for name, values in more.items() if name in columns}
    table = pa.table(columns, schema=PREDICTION_COLUMNS)
    for name, values in more.items():
        if name not in columns:
            table = table.append_column(f"tag:{name}", pa.array(values, from_pandas=True))
    names = {name for name in (*target, *answer) if name is not None}
    return Predictions(table, tuple(sorted(names)) if classes is None else classes, parts, logs)


def tables(baseline: Predictions, **others: Any) -> Tables:
    """The baseline and further tables, by name."""
    made = {Need("baseline"): baseline} | {Need(name): value for name, value in others.items()}
    return Tables(made, baseline.classes, "test", 0)


def patients(
    random: np.random.Generator, units: int, each: int, share: float, sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Units whose own share varies around `share` (on the scale of log-odds), and their rows."""
    own = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + sd * random.standard_normal(units))))
    unit = np.repeat(np.arange(units), each)
    return (random.random(len(unit)) < own[unit]).astype(float), unit
