"""What every export must do: each file of the shelf is tested the moment it exists."""

import inspect
import zipfile

import numpy as np
import pytest

from seewhy import exports, shelf
from seewhy.types import PILLARS, SEVERITIES, Explanation, Finding, Report

EXPORTS = tuple(shelf.members("exports"))
HOSTILE = (
    "<script>alert(1)</script>",
    "=1+1",
    "\N{FOX FACE}",
    "\u202egpj.exe",
    "x" * 200,
    "</script>",
    "\x1b[31m\n\x00",
)


def rich() -> Report:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    evidence = (
        {"kind": "bars", "title": "B", "unit": "share", "rows": [{"name": name, "value": 0.5} for name in HOSTILE]},
        {"kind": "matrix", "title": "M", "rows": HOSTILE, "columns": HOSTILE, "counts": np.eye(7, dtype=int)},
        {"kind": "curve", "title": "C", "series": [{"name": HOSTILE[0], "x": [0, 1], "y": [float("nan"), 1]}]},
        {"kind": "table", "title": "T", "columns": HOSTILE[:1], "rows": [[name] for name in HOSTILE]},
        {"kind": "examples", "title": "E", "items": [{"id": name, "caption": name} for name in HOSTILE]},
        {"kind": "explanations", "title": "X", "ids": HOSTILE, "methods": [HOSTILE[0]]},
    )
    findings = tuple(
        Finding(f"toy:{name}", "toy", pillar, f"Of '{name}'.", True, 0.5, "share", 0.4, 0.6, 0.95, 9, severity, HOSTILE,
                evidence, HOSTILE, {name: name}, 0, name, name)
        for name, pillar, severity in zip(HOSTILE, (*PILLARS, "data"), (*SEVERITIES, "minor", "none"), strict=True)
    )  # fmt: skip
    explanations = tuple(Explanation(name, name, HOSTILE[0], {"image": np.eye(16)}) for name in HOSTILE)
    facts = {
        "name": HOSTILE[0],
        "command": HOSTILE[1],
        "classes": HOSTILE,
        "settings": {name: name for name in HOSTILE},
    }
    return Report(facts, findings, explanations, dict.fromkeys(HOSTILE, pixels))


REPORTS = {
    "rich": rich(),
    "empty": Report({}, ()),
    "not run": Report({"name": "t.csv"}, (Finding("a:not_run", "a", "fair", "Not run: it needs peers."),)),
}


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("kind", REPORTS)
def test_every_export_writes_every_report_and_says_where(name, kind, tmp_path):
    path = exports.load(name).write(REPORTS[kind], tmp_path / "out" / exports.file_name(name))
    assert path == tmp_path / "out" / exports.file_name(name)
    assert path.stat().st_size > 0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_gives_the_same_bytes_for_the_same_report(name, tmp_path):
    first, second = (exports.load(name).write(rich(), tmp_path / place).read_bytes() for place in ("first", "second"))
    assert first == second


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_replaces_an_old_file_whole_and_leaves_the_report_as_it_was(name, tmp_path):
    report = rich()
    (tmp_path / "old").write_text("old " * 10**6)
    before = report.as_json()
    assert b"old old" not in exports.load(name).write(report, tmp_path / "old").read_bytes()
    assert report.as_json() == before


@pytest.mark.parametrize("name", EXPORTS)
def test_no_export_lets_a_name_act(name, tmp_path):
    path = exports.load(name).write(REPORTS["rich"], tmp_path / "file")
    data = path.read_bytes()
    if zipfile.is_zipfile(path):  # what is in it is packed, and packed bytes are any bytes
        with zipfile.ZipFile(path) as parts:
            data = b"".join(parts.read(part) for part in parts.namelist())
    assert b"\x1b" not in data
    assert b"\x00" not in data


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_says_what_it_is_for_and_takes_its_settings_by_name(name):
    member = shelf.members("exports")[name]
    assert member.question.endswith("?")
    parameters = list(inspect.signature(exports.load(name).write).parameters.values())
    assert [each.name for each in parameters[:2]] == ["report", "path"]
    assert all(each.kind is each.KEYWORD_ONLY and each.default is not each.empty for each in parameters[2:])


def test_an_export_that_is_not_there_is_named_with_its_nearest():
    with pytest.raises(
        KeyError,
        match=r"No export 'htm'\. Did you mean 'html'\? There are: datasheet, html, json, model_card, terminal, xlsx",
    ):
        exports.load("htm")
