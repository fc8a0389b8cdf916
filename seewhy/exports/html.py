"""Can a person read the findings in any browser, offline, for years?

One file: the verdict first, then the run, then each finding with its number, charts and pictures, and the findings as
JSON inside. It asks nothing of the network, reads without JavaScript, prints, and stays under 5 MB: pictures are left
out where they do not fit, findings never. Names of files, classes and columns are hostile text: all of it goes through
one renderer that escapes, and none of it reaches a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from seewhy import wording
from seewhy.exports import _axes, _charts, _facts, _pictures, _words
from seewhy.exports._document import document
from seewhy.images import heatmap
from seewhy.storage import files
from seewhy.types import PILLARS, Explanation, Finding, Report

#: What the file is called unless someone says otherwise.
FILE = "report.html"
#: No report is larger than this many bytes.
LARGEST = 5_000_000
#: Longer side of a picture in pixels: of a named example, and of an explanation.
EXAMPLE_SIDE, EXPLANATION_SIDE = 96, 144

#: How many findings the verdict names one by one.
NAMED_AT_ONCE = 8

_TEMPLATES = Path(__file__).parent / "templates"


def write(report: Report, path: str | Path, *, images: bool = True) -> Path:
    """Write the page; with `images=False` it holds no picture of the data."""
    files.write_text(path, render(report, images=images))
    return Path(path)


def render(report: Report, *, images: bool = True) -> str:
    """The page as text. The same report gives the same text."""
    told = document(report)
    shown = tuple(_shown(report, told["findings"]))
    pictures = _wanted(report, shown) if images else {}
    for detail in _DETAILS:
        held = shown if detail.drawn else tuple(replace(each, drawings=()) for each in shown)
        twin = _data_block(told if detail.twin else _short(told))
        page = partial(_page, report, held, twin, detail, images=images)
        bare = page(_pictures.Album(left_out=len(pictures)))
        room = LARGEST - len(bare.encode()) - 400 * len(pictures)  # what the window of each picture may take
        if room > 0 or detail is _DETAILS[-1]:
            break
    text = bare
    while pictures and room > 0:
        text = page(_pictures.album(pictures, room=room))
        over = len(text.encode()) - LARGEST
        if over <= 0:
            break
        text, room = bare, room - over
    return text


def framed(report: Report) -> str:
    """The page inside a frame of its own, for a notebook: its style and ids stay apart from the notebook's."""
    return (
        '<iframe title="SeeWhy report" sandbox="" width="100%" height="720" '
        f'style="border:1px solid #8884" srcdoc="{escape(render(report))}"></iframe>'
    )


# ------------------------------------------------------------------------------------------ what the page holds


@dataclass(frozen=True)
class Detail:
    """How much of the evidence the page holds; less only where it would not fit otherwise."""

    twin: bool = True  # evidence in the JSON inside the page
    drawn: bool = True  # charts


_DETAILS = (Detail(), Detail(twin=False), Detail(twin=False, drawn=False))


@dataclass(frozen=True)
class Shown:
    """A finding as the page shows it."""

    finding: Finding
    anchor: str
    mark: str
    word: str
    number: str
    bounds: str
    interval: _axes.Interval | None
    drawings: tuple[Any, ...]
    folded: bool
    doubts: tuple[str, ...]
    measured: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Window:
    """A place for a picture: its key in the album, and what it shows in words."""

    key: str
    says: str


@dataclass(frozen=True)
class Looked:
    """One row of an explanations grid: the example, what was asked of it, and the heat by each method."""

    id: str
    question: str
    original: Window
    cells: tuple[tuple[Window | None, str], ...]


@dataclass(frozen=True)
class Grid:
    """Examples by methods. `legends` says of each method whether its heat has a sign."""

    title: str
    methods: tuple[str, ...]
    rows: tuple[Looked, ...]
    legends: tuple[bool, ...]
    alone: bool  # some heat is shown without its image
    note: str
    kind: str = "explanations"


def _page(
    report: Report, shown: tuple[Shown, ...], twin: Markup, detail: Detail, album: _pictures.Album, *, images: bool
) -> str:
    """The page with the pictures that the album holds."""
    head = _words.headline_finding(report)
    style, script = (_static(name) for name in ("report.css", "report.js"))
    facts, template = report.facts, _environment().get_template("report.html")
    return template.render(
        verdict=_words.verdict(report),
        head=next((each for each in shown if each.finding is head), None),
        attention=shown[: min(len(_words.attention(report)), NAMED_AT_ONCE)],
        further=max(len(_words.attention(report)) - NAMED_AT_ONCE, 0),
        pillars=[
            (pillar, _words.QUESTIONS[pillar], [each for each in shown if each.finding.pillar == pillar])
            for pillar in PILLARS
        ],
        unchecked=[each for each in shown if each.mark == "unasked"],
        name=str(facts.get("name") or ""),
        facts=list(_facts.first(facts)),
        command=str(facts.get("command") or ""),
        prints=[(words, str(facts[key])) for key, words in _facts.PRINTS.items() if facts.get(key)],
        details=[(words, _facts.flat(facts[key])) for key, words in _facts.TABLES.items() if facts.get(key)],
        throughout=_throughout(report),
        notes=list(_notes(report, detail, album, images=images)),
        album=album,
        stops={signed: heatmap.gradient_stops(signed=signed) for signed in (False, True)},
        twin=twin,
        style=Markup(style),
        script=Markup(script),
        hashes={"style": _csp_hash(style), "script": _csp_hash(script)},
        version=version("seewhy"),
    )


def _shown(report: Report, told: list[dict[str, Any]]) -> Iterator[Shown]:
    """The findings as the page shows them, each with an anchor of its own that stays the same from run to run.

    `told` are the same findings as plain JSON.
    """
    taken: Counter[str] = Counter()
    throughout = _throughout(report)
    head = _words.headline_finding(report)
    for finding, plain in zip(report.findings, told, strict=True):
        anchor = re.sub(r"[^a-z0-9]+", "-", finding.id.lower()).strip("-")[:60] or "finding"
        taken[anchor] += 1
        evidence = list(plain["evidence"])
        pictured = any(entry.get("kind") in ("examples", "changed", "explanations") for entry in evidence)
        if finding.examples and not pictured:
            items = [{"id": id} for id in finding.examples]
            evidence.append({"kind": "examples", "title": "Examples", "items": items})
        yield Shown(
            finding,
            anchor if taken[anchor] == 1 else f"{anchor}-{taken[anchor]}",
            _words.mark(finding),
            _words.severity_word(finding),
            "" if finding.value is None else _words.quantity(finding.value, finding.unit),
            _words.bounds(finding.low, finding.high, finding.unit),
            _axes.interval(finding),
            tuple(_drawing(entry, report) for entry in evidence),
            finding.severity == "none" and not finding.found and finding is not head,
            tuple(doubt for doubt in finding.doubts if doubt not in throughout),
            tuple(_measured(finding, plain["settings"], throughout)),
        )


def _throughout(report: Report) -> list[str]:
    """Doubts that three findings or more share: the page says them once."""
    doubts = Counter(doubt for finding in report.findings for doubt in dict.fromkeys(finding.doubts))
    return [doubt for doubt, count in doubts.items() if count >= 3]


def _measured(finding: Finding, settings: Mapping[str, Any], throughout: list[str]) -> Iterator[tuple[str, str]]:
    """How a finding came about, row by row."""
    yield "Finding", finding.id
    if finding.n is not None:
        yield "n", _words.number(finding.n)
    if finding.confidence_level is not None:
        yield "Confidence level", f"{100 * finding.confidence_level:.4g} %"
    if finding.seed is not None:
        yield "Seed", str(finding.seed)
    yield from ((f"Setting {name}", _words.plain(value)) for name, value in settings.items())
    if finding.source:
        yield "Source", finding.source
    yield from (("Reason for doubt", doubt) for doubt in finding.doubts if doubt in throughout)


def _drawing(evidence: Mapping[str, Any], report: Report) -> Any:
    drawing = _charts.draw(evidence)
    return _grid(drawing, report) if isinstance(drawing, _charts.Explained) else drawing


def _grid(explained: _charts.Explained, report: Report) -> Grid:
    """The grid of those explanations that the report has, one row an example and question."""
    wanted = [each for each in report.explanations if each.id in explained.ids and each.method in explained.methods]
    cells = {(each.id, each.question, each.method): each for each in wanted}
    asked = sorted(
        dict.fromkeys((each.id, each.question) for each in wanted), key=lambda row: explained.ids.index(row[0])
    )
    rows = []
    for id, question in asked:
        found = [cells.get((id, question, method)) for method in explained.methods]
        heats = tuple((_heat_window(each), _cost(each)) if each else (None, "") for each in found)
        rows.append(Looked(id, question, Window(_image_key(id, EXPLANATION_SIDE), f"{id}, as it is"), heats))
    of_method = [[each for each in report.explanations if each.method == method] for method in explained.methods]
    return Grid(
        explained.title,
        explained.methods,
        tuple(rows),
        tuple(heatmap.is_signed(each) for each in of_method),
        any(each.id in report.images and not _fits(each, report) for each in wanted),
        explained.note,
    )


def _heat_window(explanation: Explanation) -> Window:
    return Window(_heat_key(explanation), f"{explanation.id}: where {explanation.method} puts {explanation.question}")


def _cost(explanation: Explanation) -> str:
    """What an explanation cost and, where it was measured, how faithful it is."""
    parts = [wording.counted(round(explanation.passes), "pass")] if explanation.passes else []
    parts += [f"{name} {_words.number(value)}" for name, value in (explanation.faithfulness or {}).items()]
    return ", ".join(parts)


def _fits(explanation: Explanation, report: Report) -> bool:
    return heatmap.same_shape(report.images[explanation.id], _heat(explanation))


def _heat(explanation: Explanation) -> np.ndarray:
    """The heat over the image, or over the first input there is."""
    return explanation.heat["image"] if "image" in explanation.heat else next(iter(explanation.heat.values()))


# ------------------------------------------------------------------------------------------------ its pictures


def _image_key(id: str, side: int) -> str:
    return f"{side} {id}"


def _heat_key(explanation: Explanation) -> str:
    return json.dumps([explanation.id, explanation.question, explanation.method])


def _wanted(report: Report, shown: tuple[Shown, ...]) -> dict[str, Callable[[], np.ndarray]]:
    """How to draw each picture that the page has a window for, those of the gravest findings first."""
    if not report.images:
        return {}
    explanations = {_heat_key(each): each for each in report.explanations}
    signed = {each.method: False for each in report.explanations}
    for method in signed:
        signed[method] = heatmap.is_signed(each for each in report.explanations if each.method == method)

    def heat(explanation: Explanation) -> np.ndarray:
        pixels = report.images.get(explanation.id)
        return heatmap.overlay(pixels, _heat(explanation), side=EXPLANATION_SIDE, signed=signed[explanation.method])

    wanted: dict[str, Callable[[], np.ndarray]] = {}
    for each in shown:
        for drawing in each.drawings:
            if drawing.kind == "examples":
                ids, side = [id for id, _ in drawing.items], EXAMPLE_SIDE
            elif drawing.kind == "changed":
                ids, side = [key for id, after, _ in drawing.items for key in (id, after)], EXAMPLE_SIDE
            elif drawing.kind == "explanations":
                ids, side = [row.id for row in drawing.rows], EXPLANATION_SIDE
                keys = [window.key for row in drawing.rows for window, _ in row.cells if window]
                wanted |= {key: partial(heat, explanations[key]) for key in keys}
            else:
                continue
            pictured = [id for id in ids if id in report.images]
            wanted |= {_image_key(id, side): partial(heatmap.fitted, report.images[id], side) for id in pictured}
    return wanted


# ----------------------------------------------------------------------------------------------- what it lacks


def _notes(report: Report, detail: Detail, album: _pictures.Album, *, images: bool) -> Iterator[str]:
    """What the page does not show, and why."""
    if not images:
        yield "This report was made without pictures."
    elif album.left_out:
        left = f"{album.left_out:,} {'picture is' if album.left_out == 1 else 'pictures are'}"
        yield f"{left} left out, so that this file stays under 5 MB. Every finding is here."
    if not detail.drawn:
        yield "The charts are left out, so that this file stays under 5 MB; their numbers stand in findings.json."
    if not detail.twin:
        yield "The JSON in this file is without evidence; findings.json has all of it."


def _short(told: dict[str, Any]) -> dict[str, Any]:
    """The findings document without evidence and with few examples a finding."""
    findings = [{**finding, "evidence": [], "examples": finding["examples"][:20]} for finding in told["findings"]]
    return {**told, "findings": findings}


# ------------------------------------------------------------------------------------------------ rendering


def _data_block(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor open a comment in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _static(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> jinja2.Environment:
    """Everything printed is escaped, and control characters in it are made visible."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: _words.visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tied"] = lambda text: re.sub(r"(?<=\d) %", "\u00a0%", text)
    environment.filters["pc"] = lambda fraction: f"{100 * fraction:.2f}%"
    return environment
