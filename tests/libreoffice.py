"""Workbooks recalculated by LibreOffice, to see that their formulas compute and are not merely remembered.

A workbook holds a value beside each formula: what whoever wrote it says comes out. LibreOffice takes those values as
they are when it opens an .xlsx, and saves them again, though the file asks for recalculation. So "LibreOffice agrees" says
nothing unless it was told to compute (`values` does, by a profile of its own) and the remembered values were wrong
(`edited` plants them).
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

#: For tests that need LibreOffice.
needed = pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
#: What stands beside every formula of a workbook that was `edited`; no formula of ours gives it.
WRONG = -987654.321
#: Seconds that one call may take.
PATIENCE = 240

_CELL = re.compile(r'<c r="([A-Z]+)(\d+)"([^>]*?)(?:/>|>(.*?)</c>)', re.DOTALL)
_KIND = re.compile(r' t="(\w+)"')
_FORMULA = re.compile(r"<f[ >].*?</f>|<f[^>]*/>", re.DOTALL)
_VALUE = re.compile(r"<v[^>]*>(.*?)</v>", re.DOTALL)
_TEXT = re.compile(r"<t[^>]*>(.*?)</t>", re.DOTALL)
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


def edited(path: Path, edits: Mapping[tuple[str, str], float | str] | None = None, *, name: str = "") -> Path:
    """A copy in the same folder in which some cells, by sheet and place, hold other values, and in which every formula
    has a wrong value beside it. Raises LookupError for a cell that the workbook has not."""
    target = path.with_name(name or f"{path.stem}-edited.xlsx")
    wanted: dict[str, dict[str, float | str]] = {}
    for (sheet, place), value in (edits or {}).items():
        wanted.setdefault(sheet, {})[place] = value
    with zipfile.ZipFile(path) as book, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy:
        sheets = {part: sheet for sheet, part in _parts(book).items()}
        missing = set(wanted) - set(sheets.values())
        if missing:
            raise LookupError(f"{path.name} has no sheet {missing}; it has {list(sheets.values())}")
        for part in book.namelist():
            data = book.read(part)
            if part in sheets:
                data = _changed(data.decode(), wanted.get(sheets[part], {}), sheets[part]).encode()
            copy.writestr(part, data)
    return target


def _changed(xml: str, edits: Mapping[str, float | str], sheet: str) -> str:
    rest = dict(edits)

    def cell(match: re.Match[str]) -> str:
        place, attributes, content = f"{match[1]}{match[2]}", match[3], match[4] or ""
        style = _KIND.sub("", attributes)
        if place in rest:
            value = rest.pop(place)
            if isinstance(value, str):
                return f'<c r="{place}"{style} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
            return f'<c r="{place}"{style}><v>{float(value)!r}</v></c>'
        formula = _FORMULA.search(content)
        return f'<c r="{place}"{style}>{formula[0]}<v>{WRONG}</v></c>' if formula else match[0]

    xml = _CELL.sub(cell, xml)
    if rest:
        raise LookupError(f"sheet '{sheet}' has no cell {sorted(rest)}")
    return xml


@dataclass(frozen=True)
class Values:
    """What stands in the cells of a workbook. A cell is named as in a spreadsheet: "B3", and a range "B3:AC30"."""

    sheets: Mapping[str, np.ndarray]  # rows x columns of float, str, bool or None, from A1 on
    errors: tuple[tuple[str, str, str], ...]  # sheet, cell, what it says: "#DIV/0!"

    def cell(self, sheet: str, place: str) -> float | str | bool | None:
        """One cell; None where it is empty."""
        row, column = _place(place)
        held = self.sheets[sheet]
        return held[row, column] if row < held.shape[0] and column < held.shape[1] else None

    def numbers(self, sheet: str, places: str) -> np.ndarray:
        """A rectangle of numbers; an empty cell, a text or an error is NaN."""
        (top, left), (bottom, right) = map(_place, places.split(":"))
        held = self.sheets[sheet][top : bottom + 1, left : right + 1]
        numbers = [value if isinstance(value, float) else np.nan for value in held.ravel()]
        return np.array(numbers, dtype=np.float64).reshape(held.shape)


def values(paths: Sequence[Path], *, forced: bool = True) -> list[Values]:
    """What LibreOffice holds for each workbook after it opened them, all in one call; numbers to 15 digits.

    With `forced=False` it does what it does for everybody: it takes the values that the file remembers.
    """
    with tempfile.TemporaryDirectory(prefix="recalculated-") as name:
        folder = Path(name)
        for number, path in enumerate(paths):
            shutil.copy(path, folder / f"{number}.xlsx")
        (folder / "out").mkdir()
        convert([folder / f"{number}.xlsx" for number in range(len(paths))], folder / "out", "xlsx", forced=forced)
        return [read(folder / "out" / f"{number}.xlsx") for number in range(len(paths))]


def convert(paths: Sequence[Path], folder: Path, kind: str, *, forced: bool = True) -> None:
    """Each workbook as a file of another kind in that folder, named alike: "xlsx", "pdf"."""
    words = ["soffice", "--headless", "--norestore", f"-env:UserInstallation={_profile(forced).as_uri()}"]
    words += ["--convert-to", kind, "--outdir", str(folder), *map(str, paths)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    missing = [path.name for path in paths if not (folder / f"{path.stem}.{kind}").exists()]
    if ended.returncode or missing:
        raise RuntimeError(f"LibreOffice made no {kind} of {missing}: {ended.stdout[-500:]} {ended.stderr[-500:]}")


def read(path: Path) -> Values:
    """The values that stand in a workbook, computed or remembered."""
    with zipfile.ZipFile(path) as book:
        shared = []
        if "xl/sharedStrings.xml" in book.namelist():
            entries = re.findall(r"<si>(.*?)</si>|<si/>", book.read("xl/sharedStrings.xml").decode(), re.DOTALL)
            shared = [_said(entry) for entry in entries]
        errors: list[tuple[str, str, str]] = []
        sheets = {}
        for sheet, part in _parts(book).items():
            sheets[sheet], failed = _grid(book.read(part).decode(), shared)
            errors += [(sheet, place, says) for place, says in failed]
    return Values(sheets, tuple(errors))


def _grid(xml: str, shared: Sequence[str]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The values of a sheet, and which cells hold errors."""
    held: dict[tuple[int, int], float | str | bool] = {}
    failed = []
    for letters, row, attributes, content in _CELL.findall(xml):
        kind, value = _KIND.search(attributes), _VALUE.search(content)
        text = value[1] if value else ""
        place = int(row) - 1, _column(letters)
        match kind[1] if kind else "n":
            case "n":
                if text:
                    held[place] = float(text)
            case "s":
                held[place] = shared[int(text)]
            case "b":
                held[place] = text == "1"
            case "e":
                failed.append((f"{letters}{row}", text))
            case "inlineStr":
                held[place] = _said(content)
            case _:
                held[place] = _plain(text)
    rows, columns = (max((place[side] for place in held), default=-1) + 1 for side in (0, 1))
    grid = np.full((rows, columns), None, dtype=object)
    for place, value in held.items():
        grid[place] = value
    return grid, failed


def _said(entry: str) -> str:
    return _plain("".join(_TEXT.findall(entry)))


def _plain(text: str) -> str:
    """Text of a cell: characters that XML cannot hold are spelled `_x001B_` in it."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), unescape(text))


def _parts(book: zipfile.ZipFile) -> dict[str, str]:
    """Which file inside the workbook holds each sheet, in their order."""
    relations = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    sheets = ElementTree.fromstring(book.read("xl/workbook.xml")).findall(".//{*}sheet")
    named = {each.get("name", ""): next(key for name, key in each.items() if name.endswith("}id")) for each in sheets}
    return {name: f"xl/{targets[key].removeprefix('/xl/')}" for name, key in named.items()}


def _place(place: str) -> tuple[int, int]:
    """Row and column of "B3", from 0."""
    letters = place.rstrip("0123456789")
    return int(place[len(letters) :]) - 1, _column(letters)


@functools.cache
def _column(letters: str) -> int:
    return functools.reduce(lambda number, letter: number * 26 + ord(letter) - 64, letters, 0) - 1


@functools.cache
def _profile(forced: bool) -> Path:
    """A profile of this process's own: another LibreOffice at work would otherwise take our call and do as it likes."""
    folder = Path(tempfile.mkdtemp(prefix="libreoffice-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "user").mkdir()
    mode = 0 if forced else 1  # always, never
    (folder / "user" / "registrymodifications.xcu").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<oor:items xmlns:oor="http://openoffice.org/2001/registry">'
        '<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse">'
        f"<value>{mode}</value></prop></item></oor:items>"
    )
    return folder
