"""The harness itself: LibreOffice computes when it is told to, and only then."""

import libreoffice
import numpy as np
import openpyxl
import pytest
import xlsxwriter


@pytest.fixture
def book(tmp_path):
    """Four numbers and what is computed of them, on two sheets, with right values remembered."""
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as written:
        numbers, sums = written.add_worksheet("It's <numbers> & more"), written.add_worksheet("sums")
        for row in range(4):
            numbers.write_number(row, 1, row + 0.25)
        numbers.write_string(4, 0, "=1+1 <b> \x1b")
        numbers.write_string(5, 0, "")
        sums.write_formula(
            "AB2", "=SUMPRODUCT('It''s <numbers> & more'!B1:B4,'It''s <numbers> & more'!B1:B4)", None, 20.2
        )
        sums.write_formula("A1", "=AB2/0", None, 1)
        sums.write_formula("A2", '="n"&ROUND(AB2,0)', None, "n20")
        sums.write_formula("A3", "=AB2>0", None, True)
    return path


def test_cells_are_edited_every_formula_forgets_its_value_and_the_rest_stays(book):
    said = "<i> & \"'"
    edited = libreoffice.edited(book, {("It's <numbers> & more", "B2"): 0.1, ("It's <numbers> & more", "A5"): said})
    before, after = (openpyxl.load_workbook(path, data_only=True) for path in (book, edited))
    held = after.worksheets[0]
    assert [held.cell(row, 2).value for row in range(1, 5)] == [0.25, 0.1, 2 + 0.25, 3 + 0.25]
    assert held["A5"].value == said
    assert before.worksheets[0]["B2"].value == 1 + 0.25
    assert {after["sums"][place].value for place in ("A1", "A2", "A3", "AB2")} == {libreoffice.WRONG}
    assert openpyxl.load_workbook(edited)["sums"]["A1"].value == "=AB2/0"


def test_what_a_workbook_does_not_have_cannot_be_edited(book):
    with pytest.raises(LookupError, match=r"sheet 'sums' has no cell \['C9'\]"):
        libreoffice.edited(book, {("sums", "C9"): 1.0})
    with pytest.raises(LookupError, match="book.xlsx has no sheet {'sum'}"):
        libreoffice.edited(book, {("sum", "A1"): 1.0})


@libreoffice.needed
def test_remembered_values_come_back_unless_libreoffice_is_told_to_compute(book):
    wrong = libreoffice.edited(book, {("It's <numbers> & more", "B1"): 100.0})
    (remembered,) = libreoffice.values([wrong], forced=False)
    first, computed = libreoffice.values([book, wrong])
    squares = (np.arange(4) + 0.25) ** 2
    assert remembered.cell("sums", "AB2") == libreoffice.WRONG
    assert remembered.errors == ()
    assert first.cell("sums", "AB2") == pytest.approx(squares.sum(), rel=1e-14)
    assert computed.cell("sums", "AB2") == pytest.approx(squares[1:].sum() + 10_000, rel=1e-14)
    assert computed.errors == (("sums", "A1", "#DIV/0!"),)
    assert np.isnan(computed.numbers("sums", "A1:A3")).all()
    assert [computed.cell("sums", place) for place in ("A2", "A3", "Z99")] == ["n10017", True, None]
    assert computed.cell("It's <numbers> & more", "A5") == "=1+1 <b> \x1b"
    assert computed.numbers("It's <numbers> & more", "A1:B4")[:, 1] == pytest.approx([100, *(np.arange(1, 4) + 0.25)])
