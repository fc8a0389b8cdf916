"""Can a program read the findings?

`findings.json`: {"seewhy": version, "run": facts of the run, "findings": [...]}, strict JSON in UTF-8. Every field, and
what may change from one version to the next, stands in docs/findings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seewhy.exports._document import document
from seewhy.storage import files
from seewhy.types import Finding, Report

#: What the file is called unless someone says otherwise.
FILE = "findings.json"
__all__ = ["document", "read", "write"]


def write(report: Report, path: str | Path) -> Path:
    """Write the document; whoever looks meanwhile sees the old file or the new one."""
    files.write_json(path, document(report))
    return Path(path)


def read(path: str | Path) -> Report:
    """The report of a document, without its pictures. Fields that a newer version added are ignored.

    Raises ValueError where the file is no such document.
    """
    data = files.read_json(path)
    missing = [key for key in ("run", "findings") if not isinstance(data, Mapping) or key not in data]
    if missing:
        raise ValueError(f"{path} is not a findings document: it has no {' and no '.join(map(repr, missing))}")
    try:
        return Report(data["run"], tuple(Finding.from_json(finding) for finding in data["findings"]))
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a findings document: {error}") from error
