"""What does the report say, in a screenful of text?

The verdict first, then what needs attention first, with what would mend it, and how many findings each question has. A
short report, or one that is asked for whole, lists all findings instead, most severe first. Names of files and classes
are shown, never obeyed: no markup, no escape sequence. Colour goes where the terminal has it and NO_COLOR is not set.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seewhy.exports import _words
from seewhy.storage import files
from seewhy.types import PILLARS, Finding, Report

#: What the file is called unless someone says otherwise.
FILE = "report.txt"
#: Up to so many findings are all listed; of more, so many that need attention are said.
FEW, SAID_FIRST = 12, 3
#: Symbol, its stand-in where the terminal knows no such letter, and style, by what `_words.mark` says.
MARKS = {
    "critical": ("\u2716", "X", "bold magenta"),
    "serious": ("\u25b2", "!", "bold red"),
    "moderate": ("\u25c6", "*", "yellow"),
    "minor": ("\u25cf", "-", "blue"),
    "none": ("\u2713", "+", "green"),
    "unasked": ("\u25cb", "?", "dim"),
}


def write(report: Report, path: str | Path, *, width: int = 100) -> Path:
    """Write all findings as plain text."""
    page = io.StringIO()
    render(report, Console(file=page, width=width, no_color=True, force_terminal=False), whole=True)
    files.write_text(path, page.getvalue())
    return Path(path)


def render(report: Report, console: Console | None = None, *, width: int | None = None, whole: bool = False) -> None:
    """Print a screenful, or the `whole`, to a console, by default standard output."""
    console = console or Console(width=width)
    verdict = _words.verdict(report)
    console.print()
    console.print(_text(f"{str(verdict)[:1].upper()}{str(verdict)[1:]}.", console, "bold"))
    whole = whole or len(report.findings) <= FEW
    if whole and report.facts.get("network"):
        reason = f": {report.facts['network_reason']}" if report.facts.get("network_reason") else ""
        console.print(_text(f"{_words.plain(report.facts['network'])}{reason}", console, "dim"))
    if whole:
        _list(report, console)
    else:
        _summary(report, console)


def _summary(report: Report, console: Console) -> None:
    """What needs attention first, then a line a question."""
    first, further = _words.gravest(report, SAID_FIRST)
    table = Table(box=None, padding=(0, 1), show_header=False, expand=True)
    table.add_column("severity", no_wrap=True, min_width=11)
    table.add_column("finding", ratio=1, overflow="fold")
    for finding in first:
        table.add_row(*_row(finding, console)[:2])
        if finding.mitigation:
            table.add_row("", _text(f"To mend it: {finding.mitigation}", console, "dim"))
    if further:
        table.add_row(
            "", _text(f"{len(further):,} more {'needs' if len(further) == 1 else 'need'} attention.", console)
        )
    console.print(Padding(table, (1, 0, 0, 0)))
    questions = Table(box=None, padding=(0, 1), show_header=False)
    for pillar in PILLARS:
        members = [finding for finding in report.findings if finding.pillar == pillar]
        if members:
            questions.add_row(_words.QUESTIONS[pillar], _tally(members, console))
    console.print(Padding(questions, (1, 0, 0, 0)))
    console.print(_text(f"All {len(report.findings):,} findings: seewhy report RUN --export terminal", console, "dim"))


def _tally(members: list[Finding], console: Console) -> Text:
    """How many findings of each severity, most severe first."""
    found = {_words.mark(finding): _words.severity_word(finding) for finding in members}
    parts = []
    for mark in (mark for mark in MARKS if mark in found):
        count = sum(_words.mark(finding) == mark for finding in members)
        symbol, stand_in, style = MARKS[mark]
        sign = symbol if _can_show(symbol, console) else stand_in
        told = f"{sign} {count:,}{'' if mark == 'none' else f' {found[mark]}'}"
        parts.append(Text(told.replace(" ", "\u00a0") if _can_show("\u00a0", console) else told, style))
    return Text(", ").join(parts)


def _list(report: Report, console: Console) -> None:
    """All findings."""
    if not report.findings:
        return
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim", expand=True)
    table.add_column("severity", no_wrap=True, min_width=11)
    table.add_column("finding", ratio=1, overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for finding in report.findings:
        table.add_row(*_row(finding, console))
    console.print(Padding(table, (1, 0)))


def _row(finding: Finding, console: Console) -> tuple[Text, Text, Text]:
    symbol, stand_in, style = MARKS[_words.mark(finding)]
    return (
        _text(f"{symbol if _can_show(symbol, console) else stand_in} {_words.severity_word(finding)}", console, style),
        _text(finding.statement, console),
        _text("" if finding.n is None else f"{finding.n:,}", console),
    )


def _text(text: str, console: Console, style: str = "") -> Text:
    """Text that is printed as it reads: controls made visible, letters that the terminal lacks spelled out."""
    shown = _words.on_one_line(text)
    if not _can_show(shown, console):
        shown = shown.encode(console.encoding, "backslashreplace").decode(console.encoding)
    return Text(shown, style)


def _can_show(text: str, console: Console) -> bool:
    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True
