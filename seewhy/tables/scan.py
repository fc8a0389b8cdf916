"""What was found out about the files before the first step?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pyarrow as pa

from seewhy.tables import Subject
from seewhy.types import Progress, Scan

cheap = True


def make(subject: Subject) -> Generator[Progress, None, Scan]:
    """What the scan found, with the split each row ended up in and what splitting could not do."""
    yield Progress("scan", 1, 1)
    dataset, scan = subject.material.dataset, subject.material.scan
    splits = dict(zip(dataset.ids, dataset.splits, strict=True))
    column = pa.array([splits.get(id) for id in scan.files["id"].to_pylist()], pa.string())
    table = scan.files.set_column(scan.files.column_names.index("split"), "split", column)
    return replace(scan, files=table, problems=tuple(dict.fromkeys((*scan.problems, *dataset.problems))))
