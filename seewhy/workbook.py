"""A workbook of cells that compute: written only, quickly, and with the same bytes for the same content.

    book = Book()
    sheet = book.sheet("results")                           # a name that every program takes, and no other sheet has
    sheet.text(0, 0, "=1+1")                                # text, whatever it looks like
    sheet.formula(1, 0, "SUM(B2:D2)", 6.0)                  # with the value that previews show until it is recalculated
    colour_scale(sheet, (1, 0, 1, 3), ("#FFFFFF", "#1F6FB2"))
    book.bytes()

Rows and columns count from 0, as in XlsxWriter, which does the work; a box is (first row, first column, last row, last
column).

XlsxWriter looks into each formula with some thirty regular expressions, to mark functions that are newer than Excel
2007. Ours are all older, so that is left out: 57,000 formulas are written in 3 seconds, not in 13. For that two private
things of XlsxWriter are used here and nowhere else, what a sheet does to write a formula and its table of cells;
`tests/test_workbook.py` fails where a version works otherwise.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import CellFormulaTuple, Worksheet

#: What a sheet and a cell hold at most: Excel's limits, which LibreOffice shares.
ROWS, COLUMNS, FORMULA, TEXT = 1_048_576, 16_384, 8_192, 32_767
#: When every book was made, for the clock is no part of its content.
MADE = datetime(2020, 1, 1)
#: The usual font. The width of a column is counted in its digits, and each system has one as wide as Arial: where
#: Calibri is missing, as on most that run LibreOffice, a column came out a third wider, and no pixel was square.
FONT = {"font_name": "Arial", "font_size": 10}
_UNHOLDABLE, _CONTROLS = re.compile("[\ud800-\udfff\ufffe\uffff]"), re.compile("[\x00-\x08\x0b-\x1f]")
#: First row, first column, last row, last column.
Box = tuple[int, int, int, int]


class Sheet(Worksheet):
    """One sheet; its cells are written by kind, so that no text is ever taken for a formula, a number or a link."""

    def text(self, row: int, column: int, text: str, style: Format | None = None) -> None:
        """Text as it is, cut where a cell holds no more, without the signs that XML cannot hold."""
        _reached(self.write_string(row, column, _cut(_printable(text)), style), row, column)

    def number(self, row: int, column: int, number: float, style: Format | None = None) -> None:
        """Raises ValueError for what is no finite number: a sheet has no cell for it."""
        if not math.isfinite(number):
            raise ValueError(f"A cell holds finite numbers only, and one of the sheet {self.name!r} would be {number}")
        _reached(self._write_number(row, column, float(number), style), row, column)

    def formula(
        self, row: int, column: int, formula: str, value: float | str | bool, style: Format | None = None
    ) -> None:
        """A formula, without its "=", and the value that it has.

        Raises ValueError where it is longer than a cell holds. Functions that are newer than Excel 2007 are not marked
        as Excel wants them.
        """
        if len(formula) >= FORMULA:
            raise ValueError(f"A formula has at most {FORMULA:,} characters, and one of {self.name!r} {len(formula):,}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"A cell holds finite numbers only, and one of the sheet {self.name!r} would be {value}")
        _reached(self._write_formula(row, column, formula, style, value), row, column)

    def link(
        self,
        row: int,
        column: int,
        to: Worksheet,
        text: str,
        style: Format | None = None,
        *,
        cell: tuple[int, int] = (0, 0),
    ) -> None:
        """A link to a cell of another sheet."""
        target = f"internal:{quoted(to.name)}!{address(cell)}"
        _reached(self.write_url(row, column, target, style, string=_cut(_printable(text))), row, column)

    def _write_formula(
        self, row: int, col: int, formula: str, cell_format: Format | None = None, value: Any = 0
    ) -> Any:
        """XlsxWriter's own, without the look at which functions the formula has."""
        if self._check_dimensions(row, col):
            return -1
        if isinstance(value, str):
            # A name such as "#N/A" would be taken for an error: without a value the program computes it on opening.
            # And a control would break the file here, while among texts XlsxWriter spells it out.
            value = "" if value.startswith("#") else _CONTROLS.sub("", _printable(value))
        self.table[row][col] = CellFormulaTuple(formula.removeprefix("="), cell_format, value)
        return 0


class Book(Workbook):
    """Sheets, in the order they are added. Equal styles are one."""

    def __init__(self) -> None:
        self._written = io.BytesIO()
        as_it_is = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        super().__init__(self._written, {"in_memory": True, "default_format_properties": dict(FONT), **as_it_is})
        self.set_properties({"created": MADE, "comments": "Made by SeeWhy"})
        self._styles: dict[str, Format] = {}

    def sheet(self, name: str) -> Sheet:
        """A new sheet at the end, under the nearest name to this one that is free and that every program takes."""
        return self.add_worksheet(safe_name(name, [sheet.name for sheet in self.worksheets()]), worksheet_class=Sheet)

    def style(self, **properties: Any) -> Format:
        """How a cell looks, in XlsxWriter's words: `bold=True`, `num_format="0.00"`, `bg_color="#EEEEEE"`."""
        key = repr(sorted(properties.items()))
        if key not in self._styles:
            self._styles[key] = self.add_format(properties)
        return self._styles[key]

    def name(self, name: str, sheet: Worksheet, box: Box) -> None:
        """A name for cells, which can be typed where the address of a cell stands."""
        self.define_name(name, f"={quoted(sheet.name)}!{address(box[:2], fixed=True)}:{address(box[2:], fixed=True)}")

    def bytes(self) -> bytes:
        """The file. Nothing can be added afterwards."""
        self.close()
        return self._written.getvalue()


# ------------------------------------------------------------------------------------------------------ names


def check_name(path: str | Path) -> None:
    """Raises ValueError where a file's name is none that a spreadsheet opens as a workbook."""
    if Path(path).suffix.lower() != ".xlsx":
        raise ValueError(f"The name of a workbook ends in .xlsx, and {str(path)!r} does not")


def safe_name(name: str, taken: Sequence[str] = ()) -> str:
    """The nearest name for a sheet: at most 31 signs, no control, none of []:*?/\\, no ' at an end, not another's."""
    plain = re.sub(r"[\[\]:*?/\\\x00-\x1f\x7f]", " ", _printable(name))
    plain = "".join(sign for sign in plain if ord(sign) < 0x10000)  # Excel counts the others twice
    plain = " ".join(plain.split())[:31].strip("' ") or "sheet"
    plain = f"{plain} sheet" if plain.lower() == "history" else plain  # which Excel keeps for itself
    there = {other.lower() for other in taken}
    found, number = plain, 1
    while found.lower() in there:
        number += 1
        found = f"{plain[: 31 - len(f' {number}')].rstrip()} {number}"
    return found


def quoted(name: str) -> str:
    """A sheet's name as a formula has it."""
    return "'" + name.replace("'", "''") + "'"


def address(cell: tuple[int, int] | Box, *, fixed: bool = False) -> str:
    """ "C7" of (6, 2), "$C$7" if fixed."""
    row, column = cell[0], cell[1]
    return f"${xl_col_to_name(column)}${row + 1}" if fixed else f"{xl_col_to_name(column)}{row + 1}"


# ------------------------------------------------------------------------------------------------- how it looks


def colour_scale(sheet: Sheet, box: Box, colours: Sequence[str], *, values: Sequence[float] | None = None) -> None:
    """Colour cells by their numbers: two colours from the lowest to the highest, three with 0 in the middle.

    `values` are the numbers that the colours stand for, if they are to stay where they are.
    """
    places = ("min", "mid", "max") if len(colours) == 3 else ("min", "max")
    rule: dict[str, Any] = {"type": f"{len(colours)}_color_scale"}
    rule |= {f"{place}_color": colour for place, colour in zip(places, colours, strict=True)}
    if values is not None:
        for place, value in zip(places, values, strict=True):
            rule |= {f"{place}_type": "num", f"{place}_value": value}
    elif len(colours) == 3:
        rule |= {"mid_type": "num", "mid_value": 0}
    sheet.conditional_format(*box, rule)


def data_bars(sheet: Sheet, box: Box, colour: str, *, highest: float = 1.0) -> None:
    """A bar in each cell, as long as its number is of `highest`."""
    sheet.conditional_format(
        *box,
        {
            "type": "data_bar", "data_bar_2010": True, "bar_color": colour, "bar_solid": True,
            "bar_no_border": True, "bar_axis_color": "#E4E7EB",
            "min_type": "num", "min_value": 0, "max_type": "num", "max_value": highest,
        },
    )  # fmt: skip


def freeze(sheet: Sheet, rows: int, columns: int = 0) -> None:
    """Keep the first rows and columns in sight."""
    sheet.freeze_panes(rows, columns)


def print_wide(sheet: Sheet) -> None:
    """On paper: lying, as many pages as it takes downwards and one across."""
    sheet.set_paper(9)
    sheet.set_landscape()
    sheet.set_margins(0.3, 0.3, 0.4, 0.4)
    sheet.fit_to_pages(1, 0)


def whole_numbers(sheet: Sheet, box: Box, lowest: int, highest: int, *, title: str, message: str) -> None:
    """Let a person type only whole numbers from `lowest` to `highest` into cells, and say what for."""
    sheet.data_validation(
        *box,
        {
            "validate": "integer", "criteria": "between", "minimum": lowest, "maximum": highest,
            "input_title": title[:32], "input_message": message[:255],
            "error_title": title[:32], "error_message": f"A whole number from {lowest} to {highest}.",
        },
    )  # fmt: skip


def _printable(text: str) -> str:
    """Without what XML cannot hold: halves of a sign, and two signs that mean nothing."""
    return _UNHOLDABLE.sub("", text)


def _cut(text: str) -> str:
    """As much as a cell holds; Excel counts a sign beyond the first 65,536 twice."""
    if len(text) * 2 <= TEXT:
        return text
    return text.encode("utf-16-le")[: 2 * TEXT].decode("utf-16-le", "ignore")


def _reached(answer: Any, row: int, column: int) -> None:
    """Raises ValueError where XlsxWriter would have left a cell out without a word."""
    if answer not in (0, None):
        raise ValueError(
            f"A sheet has {ROWS:,} rows and {COLUMNS:,} columns, so there is no cell in row {row + 1:,} and "
            f"column {column + 1:,}, or it cannot hold what was to be written there"
        )
