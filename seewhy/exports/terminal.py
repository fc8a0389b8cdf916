"""What does the report say, in a screenful of text?

The verdict first, then the findings, most severe first. Names of files and classes are shown, never obeyed: no markup,
no escape sequence. Colour goes where the terminal has it and NO_COLOR is not set.
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
from seewhy.types import Finding, Report

#: What the file is called unless someone says otherwise.
FILE = "report.txt"
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
    """Write the summary as plain text."""
    page = io.StringIO()
    render(report, Console(file=page, width=width, no_color=True, force_terminal=False))
    files.write_text(path, page.getvalue())
    return Path(path)


def render(report: Report, console: Console | None = None, *, width: int | None = None) -> None:
    """Print the summary to a console, by default standard output."""
    console = console or Console(width=width)
    verdict = _words.verdict(report)
    console.print()
    console.print(_text(f"{str(verdict)[:1].upper()}{str(verdict)[1:]}.", console, "bold"))
    if report.facts.get("network"):
        reason = f": {report.facts['network_reason']}" if report.facts.get("network_reason") else ""
        console.print(_text(f"{_words.plain(report.facts['network'])}{reason}", console, "dim"))
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
