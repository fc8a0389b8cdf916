"""Where each mark of a chart goes: evidence as plain JSON becomes places, labels and words, which a template draws.

Places along an axis are fractions of its length, so that what is drawn scales with the page and its text does not. Only
curves are drawn on a canvas of their own, in its pixels. What is too long for a page is cut down, and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seewhy.exports import _axes, _words
from seewhy.exports._axes import Axis, Tick
from seewhy.types import picture_key

#: How much of a chart a page shows; the whole of it stands in findings.json.
BAR_ROWS, TABLE_ROWS, TABLE_COLUMNS, MATRIX_SIDE, CURVE_POINTS, PICTURES = 40, 60, 12, 24, 200, 24
#: The size of a graph's box, in pixels.
NODE_WIDTH, NODE_HEIGHT = 120, 40


@dataclass(frozen=True)
class Bar:
    name: str
    value: str
    detail: str
    place: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Bars:
    """Rows on a common axis: bars from zero for counts, otherwise dots with their intervals."""

    title: str
    unit: str
    sign: str  # what the last tick of the axis ends with
    rows: tuple[Bar, ...]
    axis: Axis
    zero: float | None
    reference: Tick | None
    note: str
    kind: str = "bars"


def bars(evidence: Mapping[str, Any]) -> Bars:
    """Bars or dots; of many rows the lowest and the highest."""
    unit, rows, reference = evidence.get("unit") or "", evidence["rows"], evidence.get("reference")
    shown, note = _extremes(rows, BAR_ROWS)
    fields = [row.get(name) for row in shown for name in ("value", "low", "high")]
    numbers = [float(value) for value in fields if value is not None]
    if reference and reference.get("value") is not None:
        numbers.append(float(reference["value"]))
    with_bounds = any(row.get("low") is not None for row in shown)
    from_zero = not with_bounds and not _words.is_share(unit)
    if from_zero or not numbers:
        numbers.append(0.0)
    if _words.is_share(unit) and min(numbers) >= 0 and max(numbers) <= 1:
        numbers += [0.0] if min(numbers) < 0.5 else []
        numbers += [1.0] if max(numbers) > 0.5 else []
    scale = _axes.axis(min(numbers), max(numbers), unit)
    drawn = tuple(
        Bar(
            name=str(row["name"]),
            value=_words.quantity(row.get("value"), "" if _is_plain(unit) else unit),
            detail=_detail(row, unit),
            place=scale.place(row.get("value")),
            low=scale.place(row.get("low")),
            high=scale.place(row.get("high")),
        )
        for row in shown
    )
    line = None
    if reference and reference.get("value") is not None:
        line = Tick(
            scale.place(reference["value"]) or 0.0, f"{reference['name']} {_words.quantity(reference['value'], unit)}"
        )
    zero = scale.place(0.0) if from_zero else None
    sign = " %" if _words.is_share(unit) else ""
    return Bars(evidence.get("title") or "", unit, sign, drawn, scale, zero, line, note)


def _is_plain(unit: str) -> bool:
    return not (_words.is_share(unit) or _words.is_difference(unit))


def _detail(row: Mapping[str, Any], unit: str) -> str:
    """The interval and the number of examples of a row, as far as it has them."""
    bounds = _words.bounds(row.get("low"), row.get("high"), unit).removesuffix(" points")
    count = "" if row.get("n") is None else f"n\u00a0{_words.number(row['n'])}"
    return ", ".join(part for part in (bounds, count) if part)


def _extremes(rows: Sequence[Mapping[str, Any]], most: int) -> tuple[list[Mapping[str, Any]], str]:
    """All rows if they are few; otherwise the lowest and the highest, in their order, and a note."""
    if len(rows) <= most:
        return list(rows), ""
    known = [place for place, row in enumerate(rows) if row.get("value") is not None]
    ranked = sorted(known, key=lambda place: rows[place]["value"])
    half = most // 2
    kept = sorted({*ranked[:half], *ranked[-half:]})
    return [rows[place] for place in kept], f"The {half} lowest and the {half} highest of {len(rows):,} are shown."


@dataclass(frozen=True)
class Cell:
    text: str
    level: int  # 0 (none) to 5 (all of the row)
    same: bool  # row and column are the same class


@dataclass(frozen=True)
class Matrix:
    title: str
    row_label: str
    column_label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str
    shading: str  # what a darker cell has more of
    kind: str = "matrix"


def matrix(evidence: Mapping[str, Any]) -> Matrix:
    """Counts shaded by their share of the row; of many classes those that are most mistaken for one another."""
    names, columns, counts = list(evidence["rows"]), list(evidence["columns"]), evidence["counts"]
    across, down, note = list(range(len(columns))), list(range(len(names))), ""
    if max(len(names), len(columns)) > MATRIX_SIDE:
        across, down = _most_mistaken(names, columns, counts)
        shown = f"{len(down)} of {len(names):,} rows, {len(across)} of {len(columns):,} columns"
        note = f"The classes with most mistakes: {shown}."
    counted = all(float(count or 0).is_integer() for row in counts for count in row)
    confused = counted and set(names) <= set(columns)  # only where a class stands on both sides is anything wrong
    most = max((abs(count or 0) for row in counts for count in row), default=0)
    rows = []
    for row in down:
        total = (sum(count or 0 for count in counts[row]) if counted else most) or 1
        cells = tuple(
            _cell(counts[row][column], total, same=names[row] == columns[column] or not confused) for column in across
        )
        rows.append((str(names[row]), cells))
    return Matrix(
        evidence.get("title") or "",
        evidence.get("row_label") or "row",
        evidence.get("column_label") or "column",
        tuple(str(columns[column]) for column in across),
        tuple(rows),
        note,
        "share of the row" if counted else "the value",
    )


def _cell(count: float | None, total: float, *, same: bool) -> Cell:
    share = (count or 0) / total
    level = 0 if share <= 0 else min(5, 1 + math.floor(5 * math.sqrt(min(share, 1.0)) * 0.999))
    whole = float(count or 0).is_integer()
    text = _words.number(count) if whole else _words.with_minus(f"{count:.2f}")
    return Cell(text if count or same else "\u00b7", level, same)


def _most_mistaken(names: list, columns: list, counts: Sequence[Sequence[float]]) -> tuple[list[int], list[int]]:
    """Columns and rows by how many counts off the diagonal they hold; a class keeps both its row and its column."""
    wrong: dict[Any, float] = {}
    for row, name in enumerate(names):
        for column, other in enumerate(columns):
            if name != other and counts[row][column]:
                for key in (name, other):
                    wrong[key] = wrong.get(key, 0) + counts[row][column]
    worst = set(sorted(wrong, key=lambda name: -wrong[name])[:MATRIX_SIDE]) or {
        *names[:MATRIX_SIDE],
        *columns[:MATRIX_SIDE],
    }

    def kept(labels: list) -> list[int]:
        return [place for place, label in enumerate(labels) if label in worst][:MATRIX_SIDE]

    return kept(columns), kept(names)


@dataclass(frozen=True)
class Series:
    name: str
    path: str
    band: str
    points: tuple[tuple[float, float], ...]  # empty where there are so many that the line says it all
    style: int


@dataclass(frozen=True)
class Curve:
    """Lines on a canvas of `width` x `height` pixels, of which left, top, right, bottom bound the plot."""

    title: str
    x_label: str
    y_label: str
    width: int
    height: int
    frame: tuple[int, int, int, int]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    diagonal: tuple[float, float, float, float] | None
    series: tuple[Series, ...]
    said: str
    data: Table
    kind: str = "curve"


def curve(evidence: Mapping[str, Any]) -> Curve:
    """Lines, with bands where they have bounds; a square with its diagonal where x and y are alike."""
    lines, square = evidence["series"], bool(evidence.get("diagonal"))
    width, height = (340, 332) if square else (440, 260)
    left, top, right, bottom = frame = (46, 22, width - 14, height - 40)
    xs = _finite(value for line in lines for value in line["x"])
    ys = _finite(value for line in lines for name in ("y", "low", "high") for value in line.get(name) or ())
    if square:
        xs = ys = xs + ys + [0.0, 1.0]
    across, up = (
        _axes.axis(min(xs, default=0.0), max(xs, default=1.0)),
        _axes.axis(min(ys, default=0.0), max(ys, default=1.0)),
    )

    def at(x: float, y: float) -> tuple[float, float]:
        place_x, place_y = across.place(x) or 0.0, up.place(y) or 0.0
        return round(left + place_x * (right - left), 1), round(bottom - place_y * (bottom - top), 1)

    return Curve(
        title=evidence.get("title") or "",
        x_label=evidence.get("x_label") or "",
        y_label=evidence.get("y_label") or "",
        width=width,
        height=height,
        frame=frame,
        x_ticks=tuple(Tick(round(left + tick.place * (right - left), 1), tick.label) for tick in across.ticks),
        y_ticks=tuple(Tick(round(bottom - tick.place * (bottom - top), 1), tick.label) for tick in up.ticks),
        diagonal=(*at(across.low, across.low), *at(across.high, across.high)) if square else None,
        series=tuple(_series(line, place, at) for place, line in enumerate(lines)),
        said=" ".join(_said(line) for line in lines),
        data=_curve_data(evidence),
    )


def _finite(values: Any) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _series(line: Mapping[str, Any], place: int, at: Any) -> Series:
    every = range(0, len(line["x"]), max(1, math.ceil(len(line["x"]) / CURVE_POINTS)))
    known = [row for row in every if line["x"][row] is not None and line["y"][row] is not None]
    points = [at(line["x"][row], line["y"][row]) for row in known]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""
    band = ""
    if line.get("low") and line.get("high"):
        bounded = [row for row in known if line["low"][row] is not None and line["high"][row] is not None]
        upper = [at(line["x"][row], line["high"][row]) for row in bounded]
        lower = [at(line["x"][row], line["low"][row]) for row in reversed(bounded)]
        band = "M" + "L".join(f"{x:g} {y:g}" for x, y in upper + lower) + "Z" if bounded else ""
    return Series(str(line["name"]), path, band, tuple(points) if len(points) <= 25 else (), place % 4)


def _said(line: Mapping[str, Any]) -> str:
    """A line in words, for whoever cannot see it."""
    known = [(x, y) for x, y in zip(line["x"], line["y"], strict=False) if x is not None and y is not None]
    if not known:
        return f"{line['name']}: no values."
    (first_x, first_y), (last_x, last_y) = known[0], known[-1]
    lowest, highest = min(y for _, y in known), max(y for _, y in known)
    return (
        f"{line['name']}: {_words.number(first_y)} at {_words.number(first_x)}, "
        f"{_words.number(last_y)} at {_words.number(last_x)}; "
        f"lowest {_words.number(lowest)}, highest {_words.number(highest)}."
    )


@dataclass(frozen=True)
class Table:
    """Text cells; `numeric` says which columns hold numbers and are set flush right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str
    kind: str = "table"


def table(evidence: Mapping[str, Any]) -> Table:
    """The first rows and columns of a table."""
    columns, rows = evidence["columns"][:TABLE_COLUMNS], evidence["rows"]
    shown = [row[:TABLE_COLUMNS] for row in rows[:TABLE_ROWS]]
    left_out = [
        f"the first {most} of {length:,} {what} are shown"
        for most, length, what in (
            (TABLE_ROWS, len(rows), "rows"),
            (TABLE_COLUMNS, len(evidence["columns"]), "columns"),
        )
        if length > most
    ]
    numeric = tuple(
        any(_is_number(row[place]) for row in shown)
        and all(row[place] is None or _is_number(row[place]) for row in shown)
        for place in range(len(columns))
    )
    note = "; ".join(left_out)
    return Table(
        evidence.get("title") or "",
        tuple(map(str, columns)),
        tuple(
            tuple(_entry(entry, column, row[0]) for entry, column in zip(row, columns, strict=True)) for row in shown
        ),
        numeric,
        f"{note[:1].upper()}{note[1:]}." if note else "",
    )


def _entry(value: Any, column: str, row: Any) -> str:
    """A cell as text; a column that is named a share holds per cent, a row that is named so differences of shares."""
    if isinstance(value, float) and _words.holds_shares(str(row)) and -1 <= value <= 1:
        points = _words.quantity(value, "difference of shares")
        return points.removesuffix(" points") if column in ("low", "high") else points
    if _is_number(value) and _words.holds_shares(str(column)) and -1 <= value <= 1:
        return _words.quantity(value, "share" if value >= 0 else "difference of shares")
    return _words.plain(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _curve_data(evidence: Mapping[str, Any]) -> Table:
    """The numbers of a curve, line after line."""
    bounded = any(line.get("low") for line in evidence["series"])
    rows = []
    for line in evidence["series"]:
        for row in range(0, len(line["x"]), max(1, math.ceil(len(line["x"]) / 40))):
            bounds = [(line.get(name) or {}) for name in ("low", "high")] if bounded else []
            rows.append(
                [line["name"], line["x"][row], line["y"][row], *(bound[row] if bound else None for bound in bounds)]
            )
    columns = [
        "line",
        evidence.get("x_label") or "x",
        evidence.get("y_label") or "y",
        *(["low", "high"] if bounded else []),
    ]
    return table({"columns": columns, "rows": rows})


@dataclass(frozen=True)
class Examples:
    """Examples by id with a caption each; pictures are looked up by id."""

    title: str
    items: tuple[tuple[str, str], ...]
    note: str
    boxes: Mapping[
        str, tuple[float, float, float, float]
    ]  # what to frame in a picture: left, top, width, height, 0 to 1
    kind: str = "examples"


def examples(evidence: Mapping[str, Any]) -> Examples:
    """The first examples; the others are named in findings.json."""
    items = evidence["items"]
    shown = tuple((str(item["id"]), str(item.get("caption") or "")) for item in items[:PICTURES])
    note = f"The first {PICTURES} of {len(items):,} are shown." if len(items) > PICTURES else ""
    boxes = {
        str(item["id"]): (left, top, right - left, bottom - top)
        for item in items[:PICTURES]
        if item.get("box")
        for top, left, bottom, right in (map(float, item["box"]),)
    }
    return Examples(evidence.get("title") or "", shown, note, boxes)


@dataclass(frozen=True)
class Changed:
    """Examples by id as they are and as they were changed, with a caption; `after` is the key of the second picture."""

    title: str
    items: tuple[tuple[str, str, str], ...]
    note: str
    kind: str = "changed"


def changed(evidence: Mapping[str, Any]) -> Changed:
    """The first examples; the others are named in findings.json."""
    items, usual = evidence["items"], evidence.get("condition")
    shown = tuple(
        (id, picture_key(id, str(item.get("condition") or usual)), str(item.get("caption") or ""))
        for item in items[:PICTURES]
        for id in (str(item["id"]),)
    )
    note = f"The first {PICTURES} of {len(items):,} are shown." if len(items) > PICTURES else ""
    return Changed(evidence.get("title") or "", shown, note)


@dataclass(frozen=True)
class Seen:
    """Evidence that an earlier finding shows as well; `anchor` is where."""

    title: str
    anchor: str
    kind: str = "seen"


@dataclass(frozen=True)
class Explained:
    """Which examples, looked at by which methods; the heat is looked up by id and method."""

    title: str
    ids: tuple[str, ...]
    methods: tuple[str, ...]
    note: str
    kind: str = "explanations"


def explained(evidence: Mapping[str, Any]) -> Explained:
    """The first examples by all their methods."""
    ids, methods = [str(id) for id in evidence["ids"]], [str(method) for method in evidence["methods"]]
    note = f"The first {PICTURES} of {len(ids):,} are shown." if len(ids) > PICTURES else ""
    return Explained(evidence.get("title") or "", tuple(ids[:PICTURES]), tuple(methods), note)


@dataclass(frozen=True)
class Node:
    """A box of a graph, in pixels: the middle of it, and what stands in it."""

    name: str
    role: str
    x: float
    y: float


@dataclass(frozen=True)
class Graph:
    """Boxes and the arrows between them, from edge to edge; causes stand left of what follows."""

    title: str
    width: int
    height: int
    nodes: tuple[Node, ...]
    arrows: tuple[tuple[float, float, float, float], ...]
    data: Table
    box: tuple[int, int] = (NODE_WIDTH, NODE_HEIGHT)
    kind: str = "graph"


def graph(evidence: Mapping[str, Any]) -> Graph:
    """Layers by the longest way to a node; within one, a node stands near the mean of those before it."""
    roles = {str(node["name"]): str(node.get("role") or "") for node in evidence["nodes"]}
    if len(roles) > MATRIX_SIDE:
        raise ValueError(f"it has {len(roles)} nodes, and {MATRIX_SIDE} can be drawn")
    edges = [(str(first), str(second)) for first, second in evidence["edges"]]
    depth = dict.fromkeys(roles, 0)
    for _ in roles:  # a way is no longer than there are nodes
        for first, second in edges:
            depth[second] = max(depth[second], min(depth[first] + 1, len(roles)))
    layers = [[name for name in roles if depth[name] == layer] for layer in range(max(depth.values(), default=0) + 1)]
    tallest = max(map(len, layers))
    row: dict[str, float] = {}
    for layer in layers:
        before = {name: [row[first] for first, second in edges if second == name and first in row] for name in layer}
        layer.sort(key=lambda name: sum(before[name]) / len(before[name]) if before[name] else 0.0)
        row |= {name: place + (tallest - len(layer)) / 2 for place, name in enumerate(layer)}
    across, down = NODE_WIDTH + 56, NODE_HEIGHT + 16
    nodes = {
        name: Node(name, role, NODE_WIDTH / 2 + across * depth[name], down * (row[name] + 0.5))
        for name, role in roles.items()
    }
    arrows = tuple(
        (nodes[a].x + NODE_WIDTH / 2, nodes[a].y, nodes[b].x - NODE_WIDTH / 2 - 3, nodes[b].y) for a, b in edges
    )
    data = table({"columns": ["from", "to"], "rows": [list(edge) for edge in edges]})
    width = NODE_WIDTH + across * (len(layers) - 1)
    return Graph(evidence.get("title") or "", width, math.ceil(down * tallest), tuple(nodes.values()), arrows, data)


@dataclass(frozen=True)
class Undrawn:
    """Evidence that no chart could be made of, with the reason."""

    title: str
    why: str
    kind: str = field(default="undrawn")


KINDS = {
    "bars": bars,
    "matrix": matrix,
    "curve": curve,
    "table": table,
    "examples": examples,
    "changed": changed,
    "explanations": explained,
    "graph": graph,
}


def draw(evidence: Mapping[str, Any]) -> Any:
    """What to draw for an entry of a finding's evidence; Undrawn, and why, where it is not as documented."""
    kind, title = evidence.get("kind"), str(evidence.get("title") or "")
    if kind not in KINDS:
        return Undrawn(title, f"this report knows no evidence of the kind {kind!r}")
    try:
        return KINDS[kind](evidence)
    except KeyError as error:
        return Undrawn(title, f"its {kind} have no {error}")
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        return Undrawn(title, f"its {kind} are not as documented: {error}")
