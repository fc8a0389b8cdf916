import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from seewhy.exports import _charts
from seewhy.exports import json as findings_json
from seewhy.types import PILLARS, SEVERITIES, Finding, Report

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


def test_the_document_has_the_documented_shape(rich):
    document = findings_json.document(rich)
    assert list(document) == ["seewhy", "run", "findings"]
    assert list(document["findings"][0]) == [
        "id", "audit", "pillar", "statement", "found", "value", "unit", "low", "high", "confidence_level", "n",
        "severity", "examples", "evidence", "doubts", "settings", "seed", "source", "mitigation",
    ]  # fmt: skip
    assert [finding["severity"] for finding in document["findings"]][:3] == ["critical", "serious", "serious"]


def test_what_is_written_is_strict_json_and_reads_back_the_same(rich, tmp_path):
    path = findings_json.write(rich, tmp_path / "findings.json")

    def refuse(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    text = path.read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == findings_json.document(rich)
    again = findings_json.read(path)
    assert findings_json.document(again) == findings_json.document(rich)
    assert again["accuracy:test"].value == 0.702


def test_numbers_that_are_none_become_null():
    finding = Finding("a:b", "a", "data", "S.", value=float("nan"), low=float("-inf"), high=float("inf"))
    told = findings_json.document(Report({"seconds": float("nan")}, (finding,)))
    assert [told["findings"][0][name] for name in ("value", "low", "high")] == [None, None, None]
    assert told["run"]["seconds"] is None


def test_a_file_name_of_unknown_encoding_can_be_written(tmp_path):
    report = Report({"name": "photo\udcff", "odd\udcfe": 1}, ())
    findings_json.write(report, tmp_path / "findings.json")
    assert findings_json.read(tmp_path / "findings.json").facts == {"name": "photo\\udcff", "odd\\udcfe": 1}


def test_fields_of_a_newer_version_are_ignored(tmp_path):
    document = findings_json.document(Report({}, (Finding("a:b", "a", "data", "S."),)))
    document["findings"][0]["mood"] = "good"
    document["weather"] = "fine"
    (tmp_path / "findings.json").write_text(json.dumps(document))
    assert findings_json.read(tmp_path / "findings.json")["a:b"].statement == "S."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "it has no 'run' and no 'findings'"),
        ("[1]", "it has no 'run' and no 'findings'"),
        ('{"run": {}}', "it has no 'findings'"),
        ('{"run": {}, "findings": [{"id": "a:b"}]}', "is not a findings document"),
        ('{"run": {}, "findings": [{"id": "a:b", "audit": "a", "pillar": "mood", "statement": "S."}]}', "'mood'"),
        ("nonsense", "is not readable as JSON"),
    ],
)
def test_another_file_is_refused_by_name(text, why, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=why) as caught:
        findings_json.read(path)
    assert "other.json" in str(caught.value)


def test_the_page_on_the_json_tells_every_field_every_kind_and_every_name():
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## A finding") : page.index("### Units")]
    told = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert told == [field.name for field in fields(Finding)]
    assert re.findall(r"^\| `(\w+)` \|", page[page.index("## Evidence") :], re.MULTILINE) == list(_charts.KINDS)
    assert all(f"`{name}`" in table for name in (*PILLARS, *SEVERITIES))


def test_the_examples_on_the_page_are_what_they_show():
    document, evidence = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert list(document) == ["seewhy", "run", "findings"]
    assert Finding.from_json(document["findings"][0]).as_json() == document["findings"][0]
    assert [_charts.draw(each).kind for each in evidence] == list(_charts.KINDS)
