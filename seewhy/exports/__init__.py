"""Ways to show a Report: each file has `write(report, path, *, ...) -> Path` and `FILE`, its usual name."""

from __future__ import annotations

from types import ModuleType

from seewhy import shelf


def load(name: str) -> ModuleType:
    """The member of this name. Raises KeyError with the nearest name there is."""
    return shelf.load("exports", name)


def file_name(name: str) -> str:
    """What the file of an export is called unless a path is given: "report.html", "findings.json"."""
    return getattr(load(name), "FILE", f"report.{name.rpartition('.')[2]}")
