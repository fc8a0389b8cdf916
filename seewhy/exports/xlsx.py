"""Can the findings and the numbers behind them be sorted, filtered and computed with?

One .xlsx: every finding a row of the first sheet, the numbers that it rests on a sheet each with a link there and back,
the examples in one list, the facts of the run. Names of files, classes and columns are hostile text: all of it is
written as text, so no cell is a formula. Pictures and heat stay in report.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlsxwriter.format import Format

from seewhy import wording
from seewhy.exports import _facts, _tables, _words
from seewhy.exports._document import document
from seewhy.exports._tables import Column, Tabled
from seewhy.storage import files
from seewhy.types import Finding, Report
from seewhy.workbook import Book, Sheet, address, data_bars, freeze

#: What the file is called unless someone says otherwise.
FILE = "report.xlsx"
#: Sheets of evidence, cells of one, and examples: no more of each, so that any program opens the file in seconds.
SHEETS, CELLS, EXAMPLES = 150, 200_000, 20_000
#: Lines that a chart draws, and links of one finding; the other numbers have their places too.
LINES, LINKS = 12, 6
#: Which row, from 0, holds the names of the columns; above it stand the title and what was found.
HEAD = 4

#: Ink and paper of each severity, after the page's badges.
COLOURS = {
    "critical": ("#8C1140", "#F7D9E3"),
    "serious": ("#B3261E", "#FBDCD8"),
    "moderate": ("#8A5000", "#FBE7C6"),
    "minor": ("#46607A", "#E1E9F1"),
    "none": ("#2C6A4A", "#E9F3ED"),
    "unasked": ("#625D54", "#EFECE6"),
}
QUIET, LINK, WASH, RULE, HAIR, DATA, OTHER = (
    "#625D54", "#1F4F80", "#F5F2EB", "#8D877B", "#E2DDD2", "#9DC0DC", "#F0A060",
)  # fmt: skip
#: What the cells of a finding have in common.
RULED: dict[str, Any] = {"valign": "top", "bottom": 1, "border_color": HAIR}


def write(report: Report, path: str | Path) -> Path:
    """Write the workbook; whoever looks meanwhile sees the old file or the new one."""
    files.write_bytes(path, render(report))
    return Path(path)


def render(report: Report) -> bytes:
    """The workbook as bytes. The same report gives the same bytes."""
    told = document(report)["findings"]
    pages = _pages(report, told)
    book = Book()
    first = book.sheet("Findings")
    sheets = [
        book.sheet(f"{number} {_words.visible(page.table.title)}") for number, page in enumerate(pages[:SHEETS], 1)
    ]
    _write_findings(book, first, report, pages, sheets)
    for page, sheet in zip(pages, sheets, strict=False):
        _write_page(book, sheet, page, first)
    _write_examples(book, report, told, first)
    _write_run(book, report, first)
    return book.bytes()


@dataclass(frozen=True)
class Page:
    """A table that a finding rests on; the finding stands in this row of the first sheet."""

    finding: Finding
    row: int
    table: Tabled


def _pages(report: Report, told: Sequence[Mapping[str, Any]]) -> list[Page]:
    return [
        Page(finding, row, table)
        for row, (finding, plain) in enumerate(zip(report.findings, told, strict=True), HEAD + 1)
        for table in map(_tables.tabled, plain["evidence"])
        if table is not None
    ]


# -------------------------------------------------------------------------------------------------- the first sheet


def _write_findings(book: Book, sheet: Sheet, report: Report, pages: Sequence[Page], sheets: Sequence[Sheet]) -> None:
    verdict = _words.verdict(report)
    sheet.text(0, 0, _words.visible(verdict.headline), book.style(bold=True, font_size=16))
    head = _words.headline_finding(report)
    level = f" at {100 * head.confidence_level:.4g} % confidence" if head and head.confidence_level else ""
    further = [f"{verdict.interval}{level}" if verdict.interval else "", *verdict.further]
    sheet.text(1, 0, "; ".join(filter(None, further)))
    note = f"{wording.counted(len(report.findings), 'finding')}, the most severe first."
    if len(pages) > len(sheets):
        note += f" Only the first {len(sheets):,} of {len(pages):,} tables have a sheet; findings.json has all."
    sheet.text(2, 0, note, book.style(font_color=QUIET))

    links: dict[int, list[tuple[Sheet, str]]] = {}
    for page, target in zip(pages, sheets, strict=False):
        links.setdefault(page.row, []).append((target, page.table.title or "table"))
    most = min(max(map(len, links.values()), default=0), LINKS)
    widths = {"severity": 13, "statement": 70, "found": 9, "value": 11, "unit": 15, "low": 9, "high": 9, "level": 8}
    widths |= {"n": 9} | {f"numbers {place}" if most > 1 else "numbers": 24 for place in range(1, most + 1)}
    widths |= {"question": 30, "doubts": 60, "what would mend it": 40, "seed": 8, "source": 36, "id": 28}
    right = [name in ("value", "low", "high", "level", "n") for name in widths]
    _head(book, sheet, list(widths), len(report.findings), right)
    for place, width in enumerate(widths.values()):
        sheet.set_column(place, place, width)
    for row, finding in enumerate(report.findings, HEAD + 1):
        _write_finding(book, sheet, row, finding, 9 + most)
        for place, (target, title) in enumerate(links.get(row, [])[:LINKS], 9):
            _link(book, sheet, (row, place), target, title)
        texts = [(finding.statement, 70), ("\n".join(finding.doubts), 60), (finding.mitigation or "", 40)]
        texts += [(title, 24) for _, title in links.get(row, [])[:LINKS]]
        texts += [(finding.source, 36), (finding.id, 28), (finding.unit, 15)]
        _set_height(sheet, row, texts, book.style(**RULED))
    freeze(sheet, HEAD + 1, 1)
    _for_print(sheet, len(report.findings), 9)


def _write_finding(book: Book, sheet: Sheet, row: int, finding: Finding, then: int) -> None:
    """One row; the columns after the links begin at `then`."""
    ink, paper = COLOURS[_words.mark(finding)]
    ends = [end for end in (finding.value, finding.low, finding.high) if end is not None and _tables.is_number(end)]
    as_value = {"num_format": _tables.number_format(ends, finding.unit)}
    as_level = {"num_format": _tables.number_format([finding.confidence_level or 0.95], "share")}
    wrapped, left = {"text_wrap": True}, {"align": "left"}
    cells: dict[int, tuple[Any, dict[str, Any]]] = {
        0: (_words.severity_word(finding), {"bold": True, "font_color": ink, "bg_color": paper}),
        1: (finding.statement, wrapped),
        2: ({True: "yes", False: "no", None: "unknown"}[finding.found], {}),
        3: (finding.value, as_value),
        4: (finding.unit, wrapped | left | {"indent": 1}),
        5: (finding.low, as_value),
        6: (finding.high, as_value),
        7: (finding.confidence_level, as_level),
        8: (finding.n, {"num_format": "#,##0"}),
        then: (_words.QUESTIONS[finding.pillar], wrapped),
        then + 1: ("\n".join(finding.doubts), wrapped),
        then + 2: (finding.mitigation, wrapped),
        then + 3: (finding.seed, left),
        then + 4: (finding.source, wrapped),
        then + 5: (finding.id, wrapped),
    }
    for place, (value, more) in cells.items():
        _put(sheet, row, place, value, book.style(**RULED, **more))


# ---------------------------------------------------------------------------------------------- a sheet of evidence


def _write_page(book: Book, sheet: Sheet, page: Page, first: Sheet) -> None:
    table = page.table
    _link(book, sheet, (0, 0), first, "\u2190 Findings", (page.row, 1))
    rows = table.rows[: max(1, CELLS // max(1, len(table.columns)))]
    cut = len(rows) < len(table.rows)
    short = f"The first {len(rows):,} of {len(table.rows):,} rows; findings.json has all." if cut else ""
    cells = [[row[place] if place < len(row) else None for row in rows] for place in range(len(table.columns))]
    right = [any(map(_tables.is_number, values)) for values in cells]
    _head(book, sheet, [column.name for column in table.columns], len(rows), right, filtered=table.kind != "matrix")
    widths = [_width(column, values) for column, values in zip(table.columns, cells, strict=True)]
    for place, (column, values) in enumerate(zip(table.columns, cells, strict=True)):
        sheet.set_column(place, place, widths[place])
        _write_column(book, sheet, place, column, values)
    _title(book, sheet, table.title, page.finding.statement, " ".join(filter(None, (table.note, short))), widths)
    draw = {"bars": _bars, "matrix": _shades, "curve": _lines}.get(table.kind)
    if rows and draw:
        draw(book, sheet, table, len(rows))
    freeze(sheet, HEAD + 1, 1 if table.kind in ("bars", "matrix") else 0)
    _for_print(sheet, 0, 0)


def _width(column: Column, values: Sequence[Any]) -> int:
    """In signs, so that the first rows and the name can be read; those of a matrix are narrow."""
    if column.unit == "cell":
        return min(max(len(column.name) + 2, 5), 14)
    longest = max((len(value) for value in values[:500] if isinstance(value, str)), default=0)
    return min(max(longest, len(column.name) + 3, 7), 48) + 1


def _write_column(book: Book, sheet: Sheet, place: int, column: Column, values: Sequence[Any]) -> None:
    numbers = [value for value in values if _tables.is_number(value)]
    style = book.style(num_format=_tables.number_format(numbers, column.unit))
    for row, value in enumerate(values, HEAD + 1):
        _put(sheet, row, place, value, style)


def _bars(book: Book, sheet: Sheet, table: Tabled, rows: int) -> None:
    """A bar behind each value: shares of 1, others of the largest."""
    if len(table.columns) < 2 or table.columns[1].name != "value":
        return
    values = [row[1] for row in table.rows[:rows] if _tables.is_number(row[1])]
    if values and min(values) >= 0:
        highest = 1.0 if _words.is_share(table.columns[1].unit) else max(values) or 1.0
        data_bars(sheet, (HEAD + 1, 1, HEAD + rows, 1), DATA, highest=highest)


def _shades(book: Book, sheet: Sheet, table: Tabled, rows: int) -> None:
    """What is off the diagonal shaded by how often it occurs; a class given its own name is marked by paper alone."""
    off, most = [], 0
    for row, cells in enumerate(table.rows[:rows], HEAD + 1):
        for place, value in enumerate(cells[1:], 1):
            if str(cells[0]) == table.columns[place].name:
                _put(sheet, row, place, value, book.style(num_format=_tables.COUNT, bold=True, bg_color=WASH))
            else:
                off.append((row, place))
                most = max(most, value if _tables.is_number(value) else 0)
    if off and most:
        box = (HEAD + 1, 1, HEAD + rows, len(table.columns) - 1)
        rule = {"type": "2_color_scale", "min_type": "num", "min_value": 0, "min_color": "#FFFFFF"}
        rule |= {"max_type": "num", "max_value": most, "max_color": OTHER, "multi_range": " ".join(_runs(off))}
        sheet.conditional_format(*box, rule)


def _runs(cells: Sequence[tuple[int, int]]) -> list[str]:
    """Neighbours in a row as ranges: "B6:D6"."""
    runs: list[list[tuple[int, int]]] = []
    for cell in cells:
        if runs and runs[-1][-1] == (cell[0], cell[1] - 1):
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return [f"{address(run[0])}:{address(run[-1])}" for run in runs]


def _lines(book: Book, sheet: Sheet, table: Tabled, rows: int) -> None:
    """A chart of the lines beside their points, drawn from the cells; a diagonal where x and y ought to be equal."""
    chart = book.add_chart({"type": "scatter", "subtype": "straight_with_markers"})
    start = 0
    while start < rows and len(chart.series) <= LINES:
        name = table.rows[start][0]
        end = next((row for row in range(start, rows) if table.rows[row][0] != name), rows)
        x, y = ([sheet.name, HEAD + 1 + start, column, HEAD + end, column] for column in (1, 2))
        chart.add_series({"name": [sheet.name, HEAD + 1 + start, 0], "categories": x, "values": y})
        if table.diagonal and start == 0:
            grey = {"color": RULE, "dash_type": "dash", "width": 1}
            chart.add_series({"name": "equal", "categories": x, "values": x, "line": grey, "marker": {"type": "none"}})
        start = end
    numbers = [value for row in table.rows[:rows] for value in row[1:] if _tables.is_number(value)]
    within = {"max": 1} if table.diagonal and 0.5 < max(numbers, default=0) <= 1 else {}
    grid = {"visible": True, "line": {"color": HAIR}}
    for column, axis in enumerate((chart.set_x_axis, chart.set_y_axis), 1):
        axis({"name": [sheet.name, HEAD, column], "major_gridlines": grid, **within})
    chart.set_legend({"position": "bottom"})
    chart.set_size({"width": 560, "height": 420})
    sheet.insert_chart(HEAD + 1, len(table.columns) + 1, chart)


# --------------------------------------------------------------------------------------------- examples, and the run


def _write_examples(book: Book, report: Report, told: Sequence[Mapping[str, Any]], first: Sheet) -> None:
    """Every example that a finding names, with what is said of it; no sheet where none is named."""
    listed = [
        (row, finding, title, example, caption)
        for row, (finding, plain) in enumerate(zip(report.findings, told, strict=True), HEAD + 1)
        for title, example, caption in _tables.examples(plain)
    ]
    if not listed:
        return
    sheet = book.sheet("Examples")
    _link(book, sheet, (0, 0), first, "\u2190 Findings")
    cut = f"The first {EXAMPLES:,} of {len(listed):,}; findings.json has all." if len(listed) > EXAMPLES else ""
    _title(book, sheet, "Examples that the findings name", "", cut, (13, 32, 44, 44, 60))
    shown = listed[:EXAMPLES]
    _head(book, sheet, ["severity", "finding", "shown as", "example", "what is said of it"], len(shown))
    for place, width in enumerate((13, 32, 44, 44, 60)):
        sheet.set_column(place, place, width)
    for row, (_, finding, title, example, caption) in enumerate(shown, HEAD + 1):
        ink, paper = COLOURS[_words.mark(finding)]
        sheet.text(row, 0, _words.severity_word(finding), book.style(font_color=ink, bg_color=paper))
        for place, value in enumerate((finding.id, title, example, caption), 1):
            _put(sheet, row, place, value)
    freeze(sheet, HEAD + 1)
    _for_print(sheet, len(shown), 5)


def _write_run(book: Book, report: Report, first: Sheet) -> None:
    """The facts of the run, and the command that does it again."""
    sheet, facts = book.sheet("Run"), report.facts
    _link(book, sheet, (0, 0), first, "\u2190 Findings")
    _title(book, sheet, str(facts.get("name") or "A report"), "", "", (34, 60))
    rows = [("Command", str(facts["command"]), "")] if facts.get("command") else []
    rows += [*_facts.first(facts)]
    rows += [
        (f"Fingerprint of the {word.lower()}", str(facts[key]), "")
        for key, word in _facts.PRINTS.items()
        if facts.get(key)
    ]
    for key, word in _facts.TABLES.items():
        rows += [(f"{word}: {name}", value, "") for name, value in _facts.flat(facts.get(key) or {})]
    _head(book, sheet, ["fact", "value", "remark"], len(rows))
    for place, width in enumerate((34, 60, 80)):
        sheet.set_column(place, place, width)
    wrapped = book.style(valign="top", text_wrap=True)
    for row, values in enumerate(rows, HEAD + 1):
        for place, value in enumerate(values):
            _put(sheet, row, place, value, wrapped)
        _set_height(sheet, row, list(zip(values, (34, 60, 80), strict=True)))
    freeze(sheet, HEAD + 1)
    _for_print(sheet, len(rows), 3)


# ---------------------------------------------------------------------------------------------------------- cells


def _put(sheet: Sheet, row: int, place: int, value: Any, style: Format | None = None) -> None:
    """A number as a number, anything else as text, nothing for None and for empty text."""
    if _tables.is_number(value):
        sheet.number(row, place, value, style)
    elif value is not None and value != "":
        sheet.text(row, place, _words.visible(_words.plain(value)), style)


def _title(book: Book, sheet: Sheet, title: str, statement: str, note: str, widths: Sequence[int]) -> None:
    """What a sheet is about, above its table: the statement in as many lines as it takes."""
    _put(sheet, 1, 0, title, book.style(bold=True, font_size=14))
    sheet.set_row(1, 21)
    room, last = 0, 0  # the statement's columns: about a hundred signs
    while room < 90:
        room += widths[last] if last < len(widths) else 9
        last += 1
    style = book.style(text_wrap=True, valign="top")
    if last > 1:
        sheet.merge_range(2, 0, 2, last - 1, "", style)
    _put(sheet, 2, 0, statement, style)
    _set_height(sheet, 2, [(statement, room)])
    _put(sheet, 3, 0, note, book.style(font_color=QUIET))


def _head(
    book: Book, sheet: Sheet, names: Sequence[str], rows: int, right: Sequence[bool] = (), *, filtered: bool = True
) -> None:
    """The names of the columns, flush right where `right` says that numbers stand below."""
    for place, name in enumerate(names):
        side = "right" if place < len(right) and right[place] else "left"
        style = book.style(bold=True, bg_color=WASH, bottom=1, border_color=RULE, valign="top", align=side)
        sheet.text(HEAD, place, _words.visible(name), style)
    if filtered and rows:
        sheet.autofilter(HEAD, 0, HEAD + rows, len(names) - 1)


def _set_height(sheet: Sheet, row: int, texts: Sequence[tuple[str, int]], style: Format | None = None) -> None:
    """Room for wrapped texts, each with its width in signs: some programs give a row one line unless told."""
    lines = [sum(max(1, math.ceil(1.08 * len(line) / width)) for line in text.split("\n")) for text, width in texts]
    sheet.set_row(row, min(15 * max(lines, default=1), 400), style)


def _link(book: Book, sheet: Sheet, at: tuple[int, int], to: Sheet, text: str, cell: tuple[int, int] = (0, 0)) -> None:
    """A link to a cell of another sheet; a long text loses its middle."""
    ruled = RULED | {"text_wrap": True} if at[0] > HEAD else {}
    style = book.style(**ruled, font_color=LINK, underline=1)
    sheet.link(*at, to, _words.shortened(_words.visible(text), 80), style, cell=cell)


def _for_print(sheet: Sheet, rows: int, columns: int) -> None:
    """On paper: lying, as wide as a page, the head on every page; only the first columns, if they are given."""
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(HEAD)
    sheet.set_footer("&L&A&RPage &P of &N")
    if columns:
        sheet.print_area(0, 0, HEAD + rows, columns - 1)
