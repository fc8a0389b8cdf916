"""What evidence says in numbers, whole: rows and columns for whoever sorts, filters or computes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from seewhy import wording
from seewhy.exports import _words

#: Of a matrix with more names than this on a side the pairs that occur are listed, most frequent first.
MATRIX_SIDE = 200


@dataclass(frozen=True)
class Column:
    name: str
    unit: str = ""


@dataclass(frozen=True)
class Tabled:
    """Rows of numbers, texts and None under named columns. `diagonal`: x and y of a curve ought to be equal."""

    kind: str  # "bars", "matrix", "curve" or "table"
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    diagonal: bool = False


def bars(evidence: Mapping[str, Any]) -> Tabled:
    """One row a bar; bounds and counts where any bar has them."""
    unit, rows, reference = evidence.get("unit") or "", evidence["rows"], evidence.get("reference")
    fields = [field for field in ("value", "low", "high", "n") if any(row.get(field) is not None for row in rows)]
    columns = (Column("name"), *(Column(field, "count" if field == "n" else unit) for field in fields))
    compared = ""
    if reference and reference.get("value") is not None:
        compared = f"For comparison: {reference['name']} {_words.quantity(reference['value'], unit)}."
    title = evidence.get("title") or ""
    return Tabled("bars", title, columns, [[row["name"], *map(row.get, fields)] for row in rows], compared)


def matrix(evidence: Mapping[str, Any]) -> Tabled:
    """Counts in a square, or the pairs that occur where a square would be too large to read."""
    names, columns, counts = evidence["rows"], evidence["columns"], evidence["counts"]
    row_label, column_label = evidence.get("row_label") or "row", evidence.get("column_label") or "column"
    title = evidence.get("title") or ""
    if max(len(names), len(columns)) <= MATRIX_SIDE:
        rows = [[name, *line] for name, line in zip(names, counts, strict=True)]
        heads = (Column(f"{row_label} \u2193 {column_label} \u2192"), *(Column(str(name), "cell") for name in columns))
        return Tabled("matrix", title, heads, rows)
    pairs = [
        [name, other, count]
        for name, line in zip(names, counts, strict=True)
        for other, count in zip(columns, line, strict=True)
        if count
    ]
    pairs.sort(key=lambda pair: -pair[2])
    heads = (Column(row_label), Column(column_label), Column("times", "count"))
    return Tabled("table", title, heads, pairs, "Only pairs that occur are listed, the most frequent first.")


def curve(evidence: Mapping[str, Any]) -> Tabled:
    """The points of all lines, line after line."""
    lines = evidence["series"]
    bounds = [name for name in ("low", "high") if any(line.get(name) for line in lines)]
    fields = ["x", "y", *bounds]
    rows = [
        [line["name"], *point] for line in lines for point in zip_longest(*(line.get(field) or () for field in fields))
    ]
    heads = (evidence.get("x_label") or "x", evidence.get("y_label") or "y", *bounds)
    columns = (Column("line"), *map(Column, heads))
    return Tabled("curve", evidence.get("title") or "", columns, rows, diagonal=bool(evidence.get("diagonal")))


def table(evidence: Mapping[str, Any]) -> Tabled:
    """A table as it is; a column whose name begins with "share" holds shares."""
    names = [str(name) for name in evidence["columns"]]
    columns = tuple(Column(name, "share" if _words.holds_shares(name) else "") for name in names)
    return Tabled("table", evidence.get("title") or "", columns, evidence["rows"])


KINDS = {"bars": bars, "matrix": matrix, "curve": curve, "table": table}


def tabled(evidence: Mapping[str, Any]) -> Tabled | None:
    """The evidence as a table; None where it holds no numbers. What is not as documented is a table that says so."""
    kind, title = evidence.get("kind"), str(evidence.get("title") or "")
    if kind not in KINDS:
        return None
    try:
        return KINDS[kind](evidence)
    except KeyError as error:
        why = f"its {kind} have no {error}"
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        why = f"its {kind} are not as documented: {error}"
    return Tabled("table", title, (Column("not shown"),), [[why]])


def examples(finding: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Title, id and caption of each example that a finding, as plain JSON, names; an id once under each title."""
    named = [
        (str(entry.get("title") or ""), str(item.get("id")), str(item.get("caption") or ""))
        for entry in finding["evidence"]
        if entry.get("kind") == "examples"
        for item in entry.get("items") or ()
    ]
    named += [
        (str(entry.get("title") or ""), str(id), "")
        for entry in finding["evidence"]
        if entry.get("kind") == "explanations"
        for id in entry.get("ids") or ()
    ]
    shown = {id for _, id, _ in named}
    return named + [("", id, "") for id in finding["examples"] if id not in shown]


# --------------------------------------------------------------------------------------------- how numbers are read


def is_number(value: Any) -> bool:
    """Whether a cell can hold it as a number: finite, no truth, and no integer that would lose digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and (isinstance(value, float) or abs(value) < 10**15)


#: A count; none is a dot, so that what occurs stands out.
COUNT = '#,##0;-#,##0;"\u00b7"'


def number_format(values: Sequence[float], unit: str) -> str:
    """How a spreadsheet shows these values: shares in per cent, differences of shares with their sign, counts whole."""
    if _words.is_share(unit):
        decimals = max(
            [len(wording.percent(value).removesuffix(" %").partition(".")[2]) for value in values], default=1
        )
        return f"0.{'0' * min(max(decimals, 1), 3)}\\ %"
    if _words.is_difference(unit):
        return "+0.0\\ %;-0.0\\ %;0.0\\ %"
    if unit == "cell":
        return COUNT
    if all(float(value).is_integer() for value in values):
        return "#,##0"
    return "0.000" if max(map(abs, values)) < 1e4 and max(map(abs, values)) >= 1e-2 else "0.00E+00"
