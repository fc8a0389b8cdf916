"""Markdown that a file's name cannot bend: every letter that means something there is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seewhy.exports import _words
from seewhy.types import Finding

_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]<>()#+!|~=@:&^$-])")


def text(value: object) -> str:
    """Plain text on one line, as Markdown."""
    return _MEANS_SOMETHING.sub(r"\\\1", _words.on_one_line(str(value)))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain text."""
    lines = [f"| {' | '.join(map(text, columns))} |", f"|{' --- |' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(text, row))} |" for row in rows)])


def said(findings: Iterable[Finding], nothing: str) -> str:
    """The sentences of findings with their doubts, or one that says there are none."""
    lines = []
    for finding in findings:
        badge = f"**{_words.severity_word(finding)}**: " if finding.severity != "none" else ""
        lines.append(f"- {badge}{text(finding.statement)}")
        lines += [f"  - *Doubt:* {text(doubt)}" for doubt in finding.doubts]
    return "\n".join(lines) or text(nothing)


def to_fill_in(*questions: str) -> str:
    """What no program can know, as questions to the people who do."""
    return "\n".join(f"- *To be filled in:* {question}" for question in questions)
