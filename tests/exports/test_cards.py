"""The model card and the datasheet: what is known is filled in, what is not is asked, and no name breaks the page."""

import re

import pytest

from seewhy.exports import _markdown, datasheet, model_card
from seewhy.types import Finding, Report

MODEL_CARD = (
    "Model details", "Intended use", "Factors", "Metrics and quantitative analyses", "Evaluation data",
    "Training data", "Ethical considerations", "Caveats and recommendations",
)  # fmt: skip
DATASHEET = (
    "Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling", "Uses", "Distribution",
    "Maintenance",
)  # fmt: skip


@pytest.mark.parametrize(("export", "headings"), [(model_card, MODEL_CARD), (datasheet, DATASHEET)])
def test_the_headings_are_those_of_the_papers(export, headings, rich, tmp_path):
    page = export.write(rich, tmp_path / export.FILE).read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.*)$", page, re.MULTILINE)) == headings
    assert page.count("*To be filled in:*") >= 5


def test_a_card_has_the_numbers_of_the_run_with_their_intervals(rich, tmp_path):
    page = model_card.write(rich, tmp_path / "card.md").read_text(encoding="utf-8")
    assert re.search(r"\| accuracy\\:test \| 70\.2 % \| 67\.3 to 73\.0 % \| 1,000 \|", page)
    assert "9f2c" * 16 in page
    assert "700 images to train" in page


def test_a_card_says_what_was_not_looked_at_and_nothing_it_does_not_know(tmp_path):
    page = model_card.write(Report({}, ()), tmp_path / "card.md").read_text(encoding="utf-8")
    assert "No groups were compared" in page
    assert "The data were not looked at" in page
    unasked = Report({}, (Finding("groups:not_run", "groups", "fair", "Not run: it needs tags."),))
    assert "it needs tags" not in model_card.write(unasked, tmp_path / "card.md").read_text(encoding="utf-8")


def test_names_stay_text(rich, hostile, tmp_path):
    for export in (model_card, datasheet):
        page = export.write(rich, tmp_path / export.FILE).read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)<script", page)
        assert not re.search(r"(?<!\\)\[bold", page)
        assert "\x1b" not in page
    assert _markdown.text("a|b\n# c") == "a\\|b\u240a\\# c"


def test_each_row_of_a_table_has_as_many_cells_as_its_head():
    lines = _markdown.table(("a", "b"), [("x|y", "z\nw")]).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3, 3, 3]
