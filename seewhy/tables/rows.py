"""Which rows do the data have, in which split, with which tags?"""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa

from seewhy.predicting import column_of
from seewhy.tables import Subject
from seewhy.types import Progress

cheap = True


def make(subject: Subject) -> Generator[Progress, None, pa.Table]:
    """All rows of the data: id, split, target as text, and `tag:NAME` a tag."""
    yield Progress("count", 1, 1)
    dataset = subject.material.dataset
    columns = {"id": dataset.ids, "split": dataset.splits, "target": dataset.targets}
    table = {name: [None if value is None else str(value) for value in column] for name, column in columns.items()}
    return pa.table(table | {f"tag:{name}": column_of(values) for name, values in dataset.tags.items()})
