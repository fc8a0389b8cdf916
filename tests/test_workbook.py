"""Books of cells: text stays text, names are safe, equal content gives equal bytes."""

import io
import re
import zipfile

import openpyxl
import pytest
import xlsxwriter.worksheet
from hypothesis import given
from hypothesis import strategies as st

from seewhy import workbook
from seewhy.workbook import Book

HOSTILE = ("=1+1", "+1", "@SUM(A1)", "-1", "http://example.org", "12", "{=1}", "<b>&", " a ", "#N/A", "\x07bell")


def read(book, **settings):
    return openpyxl.load_workbook(io.BytesIO(book.bytes()), **settings)


def test_text_is_text_whatever_it_looks_like():
    book = Book()
    sheet = book.sheet("words")
    for row, text in enumerate(HOSTILE):
        sheet.text(row, 0, text)
    cells = read(book)["words"]["A"]
    assert [cell.data_type for cell in cells] == ["s"] * len(HOSTILE)
    assert [cell.value for cell in cells][:-1] == list(HOSTILE)[:-1]
    assert not any(cell.hyperlink for cell in cells)


def test_a_formula_is_kept_with_the_value_it_has():
    book = Book()
    sheet = book.sheet("sums")
    sheet.number(0, 0, 2.5)
    sheet.formula(0, 1, "A1*2", 5.0)
    sheet.formula(0, 2, 'IF(A1>2,"many","few")', "many")
    sheet.formula(0, 3, 'IF(A1>2,"#N/A","few")', "#N/A")
    data = book.bytes()
    formulas = openpyxl.load_workbook(io.BytesIO(data))["sums"][1]
    values = openpyxl.load_workbook(io.BytesIO(data), data_only=True)["sums"][1]
    assert [cell.value for cell in formulas] == [2.5, "=A1*2", '=IF(A1>2,"many","few")', '=IF(A1>2,"#N/A","few")']
    assert [cell.value for cell in values] == [2.5, 5, "many", None]


def test_a_control_in_the_value_of_a_formula_does_not_break_the_file():
    book = Book()
    book.sheet("one").formula(0, 0, 'A2&""', "\x1b[31mred\x00\tis\nit")
    assert read(book, data_only=True)["one"]["A1"].value == "[31mred\tis\nit"


def test_no_formula_passes_through_the_slow_look_at_its_functions(monkeypatch):
    """XlsxWriter's private names are still the ones that are overridden."""
    monkeypatch.setattr(xlsxwriter.worksheet, "re_dynamic_function", None)
    monkeypatch.setattr(xlsxwriter.worksheet.Worksheet, "_prepare_formula", None)
    book = Book()
    sheet = book.sheet("a")
    sheet.formula(0, 0, "SUM(B1:C1)", 0.0)
    sheet.write_formula(1, 0, "=SUM(B1:C1)")
    assert [cell.value for cell in read(book)["a"]["A"]] == ["=SUM(B1:C1)"] * 2


def test_numbers_keep_sixteen_digits_and_no_cell_holds_what_is_no_number():
    book = Book()
    sheet = book.sheet("a")
    sheet.number(0, 0, 1 / 3)
    sheet.formula(0, 1, "1/3", 1 / 3)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite numbers only, and one of the sheet 'a' would be (nan|inf)"):
            sheet.number(1, 0, value)
        with pytest.raises(ValueError, match="finite numbers only"):
            sheet.formula(1, 0, "LN(0)", value)
    (first, second), *_ = read(book, data_only=True)["a"].iter_rows(values_only=True)
    assert abs(first - 1 / 3) < 1e-16
    assert abs(second - 1 / 3) < 1e-16


def test_what_a_sheet_cannot_hold_is_an_error():
    sheet = Book().sheet("a")
    with pytest.raises(ValueError, match="1,048,576 rows and 16,384 columns, so there is no cell in row 1,048,577"):
        sheet.number(workbook.ROWS, 0, 1.0)
    with pytest.raises(ValueError, match="at most 8,192 characters, and one of 'a' 9,000"):
        sheet.formula(0, 0, "1" * 9000, 1.0)


def made():
    book = Book()
    first, second = book.sheet("one"), book.sheet("two's")
    first.link(0, 0, second, "on")
    first.text(1, 0, "words", book.style(bold=True))
    first.number(2, 0, 3.0, book.style(bold=True))
    book.name("here", second, (1, 2, 3, 4))
    workbook.colour_scale(first, (2, 0, 4, 2), ("#0000FF", "#FFFFFF", "#FF0000"))
    workbook.data_bars(first, (2, 3, 4, 3), "#00FF00")
    workbook.freeze(first, 2, 1)
    workbook.whole_numbers(first, (5, 5, 5, 5), 1, 9, title="Which?", message="One of nine.")
    return book


def test_the_same_content_is_the_same_bytes():
    assert made().bytes() == made().bytes()
    assert workbook.FONT.keys() == {"font_name", "font_size"}  # a first book leaves nothing behind for the second


def test_a_cell_holds_as_much_text_as_excel_counts_and_no_half_of_a_sign():
    book = Book()
    for row, text in enumerate(("x" * 40_000, "\N{FOX FACE}" * 20_000, "a\ud800\ufffeb")):
        book.sheet("long").text(row, 0, text)
    values = [sheet["A"][-1].value for sheet in read(book)]
    assert values == ["x" * workbook.TEXT, "\N{FOX FACE}" * (workbook.TEXT // 2), "ab"]


def test_a_link_leads_to_the_cell_that_it_is_told():
    book = Book()
    book.sheet("one").link(0, 0, book.sheet("two"), "there", cell=(6, 2))
    assert read(book)["one"]["A1"].hyperlink.location == "'two'!C7"


@pytest.mark.filterwarnings("ignore:.* extension is not supported")  # openpyxl reads no bars in the form of 2010
def test_links_names_scales_panes_and_choices_are_there():
    book = read(made())
    sheet = book["one"]
    assert sheet["A1"].hyperlink.location == "'two''s'!A1"
    assert book.defined_names["here"].attr_text == "'two''s'!$C$2:$E$4"
    assert {str(area.sqref) for area in sheet.conditional_formatting} == {"A3:C5", "D3:D5"}
    assert sheet.freeze_panes == "B3"
    (rule,) = sheet.data_validations.dataValidation
    assert (str(rule.sqref), rule.type, rule.formula1, rule.formula2) == ("F6", "whole", "1", "9")
    assert sheet["A2"].style_id == sheet["A3"].style_id


@given(st.lists(st.text(max_size=50), max_size=12))
def test_every_name_becomes_one_that_a_sheet_may_have(names):
    taken = []
    for name in names:
        found = workbook.safe_name(name, taken)
        assert 1 <= len(found.encode("utf-16-le")) // 2 <= 31
        assert not re.search(r"[\[\]:*?/\\]", found)
        assert not found.startswith("'")
        assert not found.endswith("'")
        assert found.lower() not in {other.lower() for other in taken}
        taken.append(found)


def test_a_name_that_is_fine_stays_and_a_second_one_gets_a_number():
    assert workbook.safe_name("1 convolution") == "1 convolution"
    assert workbook.safe_name("Cat", ["cat"]) == "Cat 2"
    assert workbook.safe_name("a/b:c") == "a b c"
    assert workbook.safe_name("'''") == "sheet"
    assert workbook.safe_name("a\x1bb\x00") == "a b"
    assert workbook.safe_name("x" * 40, ["x" * 31]) == "x" * 29 + " 2"
    assert workbook.safe_name("History") == "History sheet"


def test_a_file_holds_no_date_but_the_one_of_every_book():
    with zipfile.ZipFile(io.BytesIO(made().bytes())) as file:
        assert b"2020-01-01T00:00:00Z" in file.read("docProps/core.xml")
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_file_that_no_spreadsheet_would_open_is_refused_by_its_name():
    workbook.check_name("a/b.XLSX")
    with pytest.raises(ValueError, match="ends in .xlsx, and 'a/b.csv' does not"):
        workbook.check_name("a/b.csv")
