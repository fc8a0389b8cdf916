"""A picture as cells: the numbers are its levels, the fills its colours, and both have bounds."""

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seewhy.sheets import picture

HEAD = picture.HEAD


def read(path):
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Picture", "Red", "Green", "Blue"]
    return book


def levels_of(book):
    return np.stack(
        [[[cell.value for cell in row] for row in book[name].iter_rows(min_row=HEAD + 1)] for name, _ in picture.CHANNELS], 2
    )  # fmt: skip


def colours_of(book):
    """The fill of each cell of the picture."""
    rows = book["Picture"].iter_rows(min_row=HEAD + 1)
    return np.array([[list(bytes.fromhex(cell.fill.fgColor.rgb[2:])) for cell in row] for row in rows])


def test_each_pixel_is_a_number_on_three_sheets_and_a_cell_of_its_own_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    book = read(picture.write(pixels, tmp_path / "out.xlsx"))
    assert np.array_equal(levels_of(book), pixels)
    assert np.array_equal(colours_of(book), pixels)
    assert book["Picture"]["A1"].value == "A picture, 7 x 5 pixels"
    assert book.defined_names["red"].attr_text == f"'Red'!$A${HEAD + 1}:$G${HEAD + 5}"
    for sheet in book:
        high, wide = sheet.row_dimensions[HEAD + 1].height / 0.75, sheet.column_dimensions["A"].width * 7
        assert high == pytest.approx(wide, abs=1)


def test_a_large_picture_is_made_smaller_and_a_name_is_text(tmp_path):
    pixels = np.full((60, 120, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "=1+1.png")
    book = read(picture.write(tmp_path / "=1+1.png", tmp_path / "out.xlsx", side=12))
    assert book["Picture"]["A1"].value == "=1+1.png, 120 x 60 pixels, shown with 12 x 6"
    assert book["Picture"]["A1"].data_type == "s"
    assert np.array_equal(levels_of(book), pixels[:6, :12])


def test_more_colours_than_a_workbook_bears_are_rounded_and_the_numbers_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "COLOURS", 27)
    steps = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    pixels = np.stack([steps, 255 - steps, steps.T], 2)
    book = read(picture.write(pixels, tmp_path / "out.xlsx"))
    assert np.array_equal(levels_of(book), pixels)
    assert np.abs(colours_of(book).astype(int) - pixels).max() <= 255 / 15 / 2 + 0.5
    assert (
        book["Picture"]["A2"].value
        == "Each cell has nearly the colour of its pixel: of 256 levels of each channel 16 are left here."
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_no_picture_has_more_colours_than_its_bound_nor_is_one_far_off(side, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    rounded, left = picture.quantised(pixels)
    assert len(np.unique(rounded.reshape(-1, 3), axis=0)) <= picture.COLOURS
    assert np.abs(rounded.astype(int) - pixels).max() <= (0 if left == 256 else 255 / (left - 1) / 2 + 0.5)
    assert (rounded[-1, -1] == 255).all()
    assert side == 1 or (rounded[0, 0] == 0).all()
    assert (left == 256) == (len(np.unique(pixels.reshape(-1, 3), axis=0)) <= picture.COLOURS)


@pytest.mark.parametrize("side", (0, -1, 257))
def test_a_side_that_no_sheet_shows_is_refused(side, tmp_path):
    said = f"The side is {side}; a picture of cells has 1 to 256 pixels along its longer side"
    with pytest.raises(ValueError, match=said):
        picture.write(np.zeros((2, 2, 3), np.uint8), tmp_path / "out.xlsx", side=side)
    assert not (tmp_path / "out.xlsx").exists()


def test_the_same_picture_is_the_same_bytes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    first, second = (picture.write(pixels, tmp_path / name).read_bytes() for name in ("a.xlsx", "b.xlsx"))
    assert first == second
