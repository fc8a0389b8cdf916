"""What docs/statistics.md says of intervals and tests, measured again."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "coverage.py"
PAGE = SCRIPT.with_name("statistics.md")


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_of_statistics", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(page, columns):
    """The cells of the table with these columns; numbers as numbers."""
    lines = page.splitlines()
    start = lines.index("| " + " | ".join(columns) + " |") + 2
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:] if line]
    end = next((place for place, row in enumerate(cells) if len(row) != len(columns)), len(cells))
    return [[float(cell) if cell.replace(".", "").isdigit() else cell for cell in row] for row in cells[:end]]


def test_the_page_promises_what_it_should():
    page = PAGE.read_text(encoding="utf-8")
    coverage = rows_of(page, ["interval of", "with", "mean", "worst"])
    assert len(coverage) == 26
    assert min(row[3] for row in coverage) >= 0.9
    assert min(row[2] for row in coverage if row[0].startswith(("a share", "a gap"))) >= 0.95
    assert sum(row[2] for row in coverage) / len(coverage) >= 0.95
    alarms = rows_of(page, ["test", "with", "false alarms"])
    assert len(alarms) == 17
    assert max(row[2] for row in alarms) <= 0.065
    assert rows_of(page, ["right on", "found", "smallest gap"])[0][1] >= 0.9


@pytest.mark.slow
def test_the_page_is_what_is_measured(coverage):
    assert coverage.page(coverage.TABLES) == PAGE.read_text(encoding="utf-8")
