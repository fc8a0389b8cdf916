"""Each promise of SECURITY.md names the tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rows() -> list[tuple[str, list[str]]]:
    """The promises, each with the tests that are named beside it."""
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## What is promised")[2].partition("\n## ")[0]
    table = [line for line in page.splitlines() if line.startswith("| ")][2:]
    return [(cells[1].strip(), re.findall(r"`([^`]+)`", cells[2])) for cells in (line.split("|") for line in table)]


def test_every_promise_names_tests_that_exist():
    assert len(rows()) > 5
    for promise, tests in rows():
        assert tests, promise
        for test in tests:
            file, _, name = test.partition("::")
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
            assert found, test
            assert not any("slow" in ast.unparse(mark) for mark in found[0].decorator_list), test
