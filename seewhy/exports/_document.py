"""The findings document: a report as plain JSON values, as docs/findings.md has it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from seewhy.types import Report


def document(report: Report) -> dict[str, Any]:
    """The report as plain JSON values, most severe finding first; NaN and infinities are None."""
    return _encodable({"seewhy": version("seewhy"), **report.as_json()})


def _encodable(value: Any) -> Any:
    """The value with half characters, as file names of unknown encoding hold them, spelled out as `\\udcff`."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_encodable(entry) for entry in value]
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
