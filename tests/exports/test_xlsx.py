"""The workbook read back by another library, and opened in LibreOffice: what it says, and that no name in it acts."""

import io
import re
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import libreoffice
import numpy as np
import openpyxl
import pytest

from seewhy.exports import _tables, _words, xlsx
from seewhy.types import Finding, Report

#: Bars in cells are an extension of the format that openpyxl does not know.
pytestmark = pytest.mark.filterwarnings("ignore:Conditional Formatting extension", "ignore:Unknown extension")
HEAD = xlsx.HEAD + 1  # the row of the names, as a spreadsheet counts


@pytest.fixture(scope="module")
def path(rich, tmp_path_factory):
    return xlsx.write(rich, tmp_path_factory.mktemp("book") / "report.xlsx")


@pytest.fixture(scope="module")
def book(path):
    return openpyxl.load_workbook(path)


def rows(sheet):
    """The rows under the head, by the head's names."""
    names = [cell.value for cell in sheet[HEAD] if cell.value is not None]
    return [
        dict(zip(names, [cell.value for cell in row], strict=True))
        for row in sheet.iter_rows(min_row=HEAD + 1, max_col=len(names))
    ]


def of(*evidence, **more):
    """A report of one finding with this evidence."""
    return Report({}, (Finding("toy:one", "toy", "data", "One.", True, evidence=evidence, **more),))


def opened(report):
    return openpyxl.load_workbook(io.BytesIO(xlsx.render(report)))


def test_every_finding_is_a_row_with_its_number_as_a_number_and_all_that_is_said_of_it(rich, book):
    found = rows(book["Findings"])
    assert [row["id"] for row in found] == [_words.visible(finding.id) for finding in rich.findings]
    for row, finding in zip(found, rich.findings, strict=True):
        for name in ("value", "low", "high", "n"):
            number = getattr(finding, name)
            assert row[name] == (None if number is None else pytest.approx(number, rel=1e-14))  # a cell has 16 digits
        assert row["unit"] == (finding.unit or None)
        assert row["found"] == {True: "yes", False: "no", None: "unknown"}[finding.found]
        assert (row["doubts"] or "").count("\n") >= len(finding.doubts) - 1
    assert book["Findings"]["A1"].value == "Right on 70.2 % of 1,000 test images"
    first = {row["id"]: place for place, row in enumerate(found, HEAD + 1)}["accuracy:test"]
    assert book["Findings"].cell(first, 4).number_format == "0.0\\ %"


def test_no_name_becomes_a_formula_a_control_or_broken_xml(path, book):
    for sheet in book:
        assert not re.search(r"[\[\]:*?/\\\x00-\x1f]", sheet.title)
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type in "nsd", (sheet.title, cell.coordinate, cell.value)
                assert not (
                    isinstance(cell.value, str) and re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", cell.value)
                )
    with zipfile.ZipFile(path) as parts:
        for name in parts.namelist():
            ElementTree.fromstring(parts.read(name))
            assert b"<f>" not in parts.read(name) or "chart" in name
    assert "=1+1" in [row["name"] for row in rows(book[next(name for name in book.sheetnames if "By group" in name)])]


def test_text_that_no_cell_or_xml_can_hold_is_shown_or_cut():
    long, odd = "\N{FOX FACE}" * 40_000, "a\ufffeb\ud800c\x00d_x0041_"
    sheet = opened(of({"kind": "table", "title": odd, "columns": ["=x"], "rows": [[long], [odd], [-(10**18)], [True]]}))
    values = [row["=x"] for row in rows(sheet[sheet.sheetnames[1]])]
    assert len(values[0].encode("utf-16-le")) // 2 in (32_766, 32_767)
    assert values[1] == "a<U+FFFE>b\\ud800c\u2400d_x0041_"
    assert values[2:] == ["\u22121,000,000,000,000,000,000", "yes"]


def test_sheets_of_equal_titles_have_names_of_their_own_and_links_lead_there_and_back():
    entry = {"kind": "table", "title": "Same " * 20, "columns": ["a"], "rows": [[1]]}
    made = opened(of(entry, entry, examples=("x",)))
    names = made.sheetnames
    assert len({name.lower() for name in names}) == len(names) == 5
    first = made["Findings"]
    targets = [cell.hyperlink.location for cell in first[HEAD + 1] if cell.hyperlink]
    assert targets == [f"'{name}'!A1" for name in names[1:3]]
    assert made[names[2]]["A1"].hyperlink.location == f"'Findings'!B{HEAD + 1}"


def test_a_finding_keeps_its_own_row_whichever_evidence_it_has():
    table = {"kind": "table", "title": "T", "columns": ["a"], "rows": [[1]]}
    plain = Finding("toy:a", "toy", "data", "A.", True)
    made = opened(Report({}, (plain, replace(plain, id="toy:b", statement="B.", evidence=(table,)))))
    back = made[made.sheetnames[1]]["A1"].hyperlink.location
    assert back == f"'Findings'!B{HEAD + 2}"
    assert made["Findings"][f"B{HEAD + 2}"].value == "B."


def test_evidence_is_whole_and_in_numbers():
    values = np.linspace(0, 1, 500)
    bars = {"kind": "bars", "title": "B", "unit": "share", "reference": {"name": "all", "value": 0.5},
            "rows": [{"name": f"c{place}", "value": value, "n": place} for place, value in enumerate(values)]}  # fmt: skip
    curve = {"kind": "curve", "title": "C", "x_label": "sure", "y_label": "right", "diagonal": True,
             "series": [{"name": "a", "x": [0, 1], "y": [float("nan"), 1], "low": [0, 0]}, {"name": "b", "x": [0.5], "y": [0.25]}]}  # fmt: skip
    matrix = {"kind": "matrix", "title": "M", "rows": ["a", "b"], "columns": ["a", "b"], "counts": [[3, 0], [1, 2]]}
    made = opened(of(bars, curve, matrix))
    of_bars, of_curve, of_matrix = (made[name] for name in made.sheetnames[1:4])
    assert [row["value"] for row in rows(of_bars)] == pytest.approx(values)
    assert set(rows(of_bars)[0]) == {"name", "value", "n"}
    assert of_bars["A4"].value == "For comparison: all 50.0 %."
    assert [tuple(row.values()) for row in rows(of_curve)] == [
        ("a", 0, None, 0),
        ("a", 1, 1, 0),
        ("b", 0.5, 0.25, None),
    ]
    assert list(rows(of_curve)[0]) == ["line", "sure", "right", "low"]
    assert len(of_curve._charts) == 1
    assert [list(row.values()) for row in rows(of_matrix)] == [["a", 3, 0], ["b", 1, 2]]
    assert [str(each.sqref) for each in of_matrix.conditional_formatting] == [f"B{HEAD + 2} C{HEAD + 1}"]


def test_a_matrix_of_many_classes_lists_the_pairs_that_occur():
    side = _tables.MATRIX_SIDE + 1
    counts = np.zeros((side, side), dtype=int)
    counts[0, 1], counts[5, 2] = 3, 9
    names = [f"c{place}" for place in range(side)]
    made = opened(of({"kind": "matrix", "title": "M", "rows": names, "columns": names, "counts": counts}))
    assert [list(row.values()) for row in rows(made[made.sheetnames[1]])] == [["c5", "c2", 9], ["c0", "c1", 3]]


def test_what_is_too_much_is_cut_and_said(monkeypatch):
    monkeypatch.setattr(xlsx, "SHEETS", 1)
    monkeypatch.setattr(xlsx, "CELLS", 4)
    monkeypatch.setattr(xlsx, "EXAMPLES", 2)
    entry = {"kind": "table", "title": "T", "columns": ["a", "b"], "rows": [[1, 2], [3, 4], [5, 6]]}
    made = opened(of(entry, entry, examples=("x", "y", "z")))
    assert made.sheetnames == ["Findings", "1 T", "Examples", "Run"]
    assert "Only the first 1 of 2 tables have a sheet" in made["Findings"]["A3"].value
    assert made["1 T"]["A4"].value == "The first 2 of 3 rows; findings.json has all."
    assert made["Examples"]["A4"].value == "The first 2 of 3; findings.json has all."
    assert len(rows(made["Examples"])) == 2


def test_evidence_that_is_not_as_documented_says_so():
    made = opened(of({"kind": "bars", "title": "B"}, {"kind": "curve", "title": "C", "series": 3}, {"kind": "new"}))
    assert made.sheetnames == ["Findings", "1 B", "2 C", "Run"]
    assert rows(made["1 B"]) == [{"not shown": "its bars have no 'rows'"}]
    assert "not as documented" in rows(made["2 C"])[0]["not shown"]


def test_a_report_of_nothing_is_a_book_that_says_so():
    made = opened(Report({}, ()))
    assert made.sheetnames == ["Findings", "Run"]
    assert made["Findings"]["A1"].value == "Nothing was asked, so nothing was found"
    assert made["Findings"]["A3"].value == "0 findings, the most severe first."


def test_examples_are_listed_once_under_each_title():
    items = [{"id": "a.jpg", "caption": "said 'cat'"}]
    made = opened(of({"kind": "examples", "title": "E", "items": items}, examples=("a.jpg", "b.jpg")))
    assert [(row["example"], row["shown as"], row["what is said of it"]) for row in rows(made["Examples"])] == [
        ("a.jpg", "E", "said 'cat'"),
        ("b.jpg", None, None),
    ]


@pytest.mark.parametrize(
    ("values", "unit", "shown"),
    [
        ([0.5], "share", "0.0\\ %"),
        ([0.9996], "share of mistakes", "0.00\\ %"),
        ([0.1], "difference of shares", "+0.0\\ %;-0.0\\ %;0.0\\ %"),
        ([1797, 3.0], "count", "#,##0"),
        ([0.237], "rank correlation", "0.000"),
        ([1e-5], "nats", "0.00E+00"),
        ([], "", "#,##0"),
    ],
)
def test_numbers_are_shown_as_their_unit_is_read(values, unit, shown):
    assert _tables.number_format(values, unit) == shown


@libreoffice.needed
def test_libreoffice_opens_it_without_an_error_and_sees_the_same_cells(path, book):
    (seen,) = libreoffice.values([path])
    assert seen.errors == ()
    assert list(seen.sheets) == book.sheetnames
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                value = seen.cell(sheet.title, cell.coordinate)
                assert value == (
                    pytest.approx(cell.value) if cell.data_type == "n" and cell.value is not None else cell.value
                )
