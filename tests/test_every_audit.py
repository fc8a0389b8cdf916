"""What every audit on the shelf must do, on whatever tables come along."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from planted import edited, exchanged, predicted, properties, transplanted

from seewhy import shelf
from seewhy.types import (
    PART_COLUMNS,
    Explanation,
    Finding,
    Need,
    Predictions,
    Problem,
    Scan,
    Tables,
)

AUDITS = tuple(shelf.members("audits"))
#: What shows that nobody read a sentence: Python's own words, one thing in the plural.
WRONG = re.compile(
    r"\bnan\b|\binf\b|\bunknown\b|(?<!^)\bNone\b|-0\.0 |array\(|np\.|\b1 (images|mistakes|classes|times)\b"
)
KINDS = {"bars", "matrix", "curve", "table", "examples", "changed", "explanations", "graph"}
NAMES = ("cat", "dog", "=1+1", "<script>alert(1)</script>", "x" * 200)


def predictions(target: list[Any], answer: list[Any], *confidence: Any, **more: Any) -> Predictions:
    return predicted(target, answer, *confidence, **{"classes": NAMES, **more})


def tables(baseline: Predictions, *, bare: bool = False) -> Tables:
    """All tables an audit may ask for, made to fit the predictions; only what a user's own table gives if `bare`."""
    ids, targets, n = list(baseline["id"]), list(baseline["target"]), len(baseline)
    splits = [("test", "train")[row % 3 == 0] for row in range(n)]
    files = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "split": pa.array(splits, pa.string()),
            "target": pa.array(targets, pa.string()),
            "bytes": pa.array([100] * n, pa.int64()),
            "sha256": pa.array(["ab"] * n, pa.string()),
            "width": pa.array([8] * n, pa.int32()),
            "height": pa.array([9] * n, pa.int32()),
        }
    )
    twins = (tuple(ids[:2]),) if n > 1 else ()
    scan = Scan(files, (Problem("undecodable", "a/b.png", "the file ends early", 10),) * (n > 2), twins, twins)
    random = np.random.default_rng(0)
    explanations = tuple(
        Explanation(id, "cat", method, {"image": random.random((7, 9)).astype(np.float32)}, {}, 1.0, {"deletion": 0.5})
        for id in ids[:6]
        for method in ("gradient", "grad_cam", "occlusion")
    )
    made: dict[Need, Any] = {Need("baseline"): baseline}
    if not bare:
        made |= {
            Need("baseline", split="val"): baseline,
            Need("linear_baseline"): baseline,
            Need("train_targets"): np.array(targets, dtype=object),
            Need("rows"): baseline.table.append_column("split", pa.array(splits, pa.string())),
            Need("scan"): scan,
            Need("leak"): {
                "random": 0.9,
                "grouped": 0.8,
                "n": 100,
                "method": "1-nearest neighbour",
                "low": 0.05,
                "high": 0.15,
            },
            Need("explanations", methods=("gradient", "grad_cam", "occlusion"), count=12): explanations,
        }
        needs = [need for audit in AUDITS for need in shelf.load("audits", audit).needs()]
        made |= {need: under(baseline) for need in needs if need.table == "intervention"}
        told = {"the brightness of the image": 0.5, "the colour of the object": 0.9, "the size of the file": 0.7}
        asked = {"the colour of the object": 1.0 if n >= 10 else 0.0}
        made[Need("transplants")] = transplanted(n // 6, classes=NAMES, effects={("cat", 17): 3.0}, ids=ids)
        made[Need("properties")] = properties(told, asked, rows=n, ids=ids) if n else properties({}, {})
        if n >= 20:
            made[shelf.load("audits", "mediation").needs()[0]] = exchanged(ids[:40], effect=-2.0, share=0.4, random=0.1)
            made[shelf.load("audits", "counterfactuals").needs()[0]] = edited(ids[:8], targets[:8])
    return Tables(made, baseline.classes, "test", 3)


def under(baseline: Predictions) -> Predictions:
    """What is said under some change: every third answer is another, and some of the rows are not asked."""
    said = baseline.where(np.arange(0, len(baseline), 2))
    answers = ["dog" if row % 3 == 0 else answer for row, answer in enumerate(said["answer"])]
    return predictions(list(said["target"]), answers, ids=list(said["id"]), condition=["a change"] * len(said))


def usual(n: int = 120) -> Predictions:
    random = np.random.default_rng(n)
    target = [NAMES[place] for place in random.integers(0, 4, n)]
    confidence = random.uniform(0.4, 1, n)
    answer = [
        name if sure > random.random() else NAMES[place]
        for name, sure, place in zip(target, confidence, random.integers(0, 5, n), strict=True)
    ]
    logs = np.log(random.dirichlet(np.ones(5), n)).astype(np.float16)
    tags = {"scanner": [("A", "B", None)[row % 3] for row in range(n)], "age": random.uniform(0, 90, n)}
    return predictions(target, answer, confidence, logs=logs, **tags)


def detector() -> Predictions:
    boxes = [{"id": f"i{row}", "condition": "", "part": 0, "kind": "box", "label": "cat"} for row in range(30)]
    parts = pa.Table.from_pylist(boxes, schema=PART_COLUMNS)
    right = list(np.random.default_rng(0).uniform(0, 1, 30))
    said = [f'["cat", {row}]' for row in range(30)]
    return predictions(said, said, right=right, classes=("cat", "dog"), parts=parts, scanner=["A", "B"] * 15)


def sequence() -> Predictions:
    words = [f"a cat sits on mat {row}" for row in range(30)]
    right = list(np.random.default_rng(1).choice([0, 0.25, 0.5, 1.0], 30))
    return predictions(words, words[::-1], np.linspace(0.1, 1, 30), right=right, classes=())


def cases() -> dict[str, Predictions]:
    table = usual()
    said, labelled = list(table["answer"]), list(table["target"])
    holes = [None if row % 4 == 0 else name for row, name in enumerate(labelled)]
    return {
        "as usual": table,
        "all right": predictions(labelled, labelled, [0.9] * 120),
        "all wrong": predictions(["cat"] * 120, ["dog"] * 120, [0.99] * 120, tag=["a", "b"] * 60),
        "one row, right": predictions(["cat"], ["cat"], [1.0], tag=["a"]),
        "one row, wrong": predictions(["cat"], ["dog"], [0.5]),
        "empty": predictions([], [], []),
        "one class": predictions(["cat"] * 40, ["cat"] * 40, [1.0] * 40, classes=("cat",)),
        "unlabelled": predictions([None] * 40, ["cat"] * 40, [0.7] * 40),
        "with nulls": predictions(holes, [None, *said[1:]], [None, *table["confidence"][1:]], tag=[None, 1.5] * 60),
        "two classes": predictions(["cat", "dog"] * 50, ["cat"] * 100, [0.8] * 100, classes=("cat", "dog")),
        "no confidence": predictions(labelled, said),
        "a detector": detector(),
        "a sequence model": sequence(),
    }


CASES = tuple(cases())


def findings(audit: str, given: Tables) -> list[Finding]:
    answer = shelf.load("audits", audit).check(given)
    return [answer] if isinstance(answer, Finding) else list(answer)


def serves(audit: str, given: Tables) -> bool:
    """Whether the planner would run it: all tables are there that it cannot do without."""
    module = shelf.load("audits", audit)
    optional = getattr(module, "optional", frozenset())
    return all(need in given or need.table in optional for need in module.needs())


@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_opens_with_a_question_and_says_which_tables_it_needs(audit: str) -> None:
    member = shelf.members("audits")[audit]
    module = shelf.load("audits", audit)
    needs = module.needs(**{setting.name: setting.default for setting in member.settings})
    assert member.question.endswith("?")
    assert needs
    assert all(isinstance(need, Need) for need in needs)
    assert all(not setting.required for setting in member.settings)
    assert {need.table for need in needs} >= set(getattr(module, "optional", ()))


@pytest.mark.parametrize("bare", [False, True], ids=["every table", "a table of the user's own"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_answers_in_valid_findings_whatever_the_table(audit: str, case: str, bare: bool) -> None:
    given = tables(cases()[case], bare=bare)
    if not serves(audit, given):
        return
    found = findings(audit, given)
    assert found
    assert len({finding.id for finding in found}) == len(found)
    for finding in found:
        assert finding.audit == audit
        assert finding.seed == 3
        _check_sentence(finding.statement)
        for sentence in (*finding.doubts, *([finding.mitigation] if finding.mitigation else [])):
            _check_sentence(sentence)
        _check_numbers(finding)
        _check_evidence(finding, set(given.baseline["id"]))
        text = json.dumps(finding.as_json(), allow_nan=False)
        assert Finding.from_json(json.loads(text)).as_json() == finding.as_json()


def _check_sentence(text: str) -> None:
    assert text[0].isupper() or not text[0].isalpha() or text.split()[0].islower(), text
    assert text.endswith((".", "?")), text
    assert "\n" not in text
    assert "  " not in text
    assert "x" * 100 not in text  # a long name is cut
    assert not WRONG.search(text), text


def _check_numbers(finding: Finding) -> None:
    data = finding.as_json()
    if finding.severity != "none":
        assert finding.found is True
    if data["value"] is not None and data["low"] is not None:
        assert data["low"] - 1e-9 <= data["value"] <= data["high"] + 1e-9
        assert data["confidence_level"] == 0.95
        assert finding.n is not None
    assert finding.unit or finding.found is None


def _check_evidence(finding: Finding, ids: set[str]) -> None:
    assert set(finding.examples) <= ids
    for entry in finding.evidence:
        assert entry["kind"] in KINDS
        assert entry["title"]
        if entry["kind"] == "table":
            assert all(len(row) == len(entry["columns"]) for row in entry["rows"])
        if entry["kind"] == "matrix":
            assert np.shape(entry["counts"]) == (len(entry["rows"]), len(entry["columns"]))
        if entry["kind"] == "curve":
            assert all(len(series["x"]) == len(series["y"]) == len(series["low"]) for series in entry["series"])
        if entry["kind"] == "examples":
            assert {item["id"] for item in entry["items"]} <= ids
            assert all(item["caption"] and not WRONG.search(item["caption"]) for item in entry["items"])
        if entry["kind"] == "bars":
            assert all({"name", "value", "low", "high", "n"} == set(row) for row in entry["rows"])


@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_gives_the_same_answer_twice_and_leaves_its_tables_alone(audit: str) -> None:
    given = tables(usual())
    before = given.baseline.table.to_pylist()
    first, second = ([finding.as_json() for finding in findings(audit, given)] for _ in range(2))
    assert first == second
    assert given.baseline.table.to_pylist() == before
