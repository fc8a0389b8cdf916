import pytest

from seewhy.exports import _charts


def row(name: str, value: float | None, **more) -> dict:
    return {"name": name, "value": value, "low": None, "high": None, "n": None, **more}


def test_bars_with_intervals_are_dots_on_a_fitted_axis_and_counts_start_at_zero():
    dots = _charts.bars(
        {"unit": "share", "rows": [row("a", 0.95, low=0.9, high=0.97), row("b", 0.99, low=0.96, high=1.0)]}
    )
    assert dots.zero is None
    assert dots.axis.low == pytest.approx(0.9)
    assert dots.rows[0].value == "95.0 %"
    assert dots.rows[0].detail == "90.0 to 97.0 %"
    counts = _charts.bars({"unit": "count", "rows": [row("a", 90), row("b", 100)]})
    assert counts.zero == 0.0
    assert counts.rows[1].place == 1.0


def test_bars_below_zero_hang_from_zero():
    drawn = _charts.bars({"unit": "nats", "rows": [row("a", -1.0), row("b", 3.0)]})
    assert drawn.rows[0].place < drawn.zero < drawn.rows[1].place


def test_a_bar_without_a_value_keeps_its_row():
    drawn = _charts.bars({"unit": "share", "rows": [row("empty", None, n=0)]})
    assert (drawn.rows[0].place, drawn.rows[0].value, drawn.rows[0].detail) == (None, "\u2013", "n\u00a00")


def test_of_many_bars_the_lowest_and_the_highest_are_shown_and_the_page_says_so():
    drawn = _charts.bars({"unit": "count", "rows": [row(str(value), value) for value in range(1000)]})
    names = [bar.name for bar in drawn.rows]
    assert names == [str(value) for value in (*range(20), *range(980, 1000))]
    assert drawn.note == "The 20 lowest and the 20 highest of 1,000 are shown."


def test_the_reference_is_on_the_axis_even_where_no_row_is():
    drawn = _charts.bars(
        {"unit": "share", "rows": [row("a", 0.9, low=0.88, high=0.92)], "reference": {"name": "all", "value": 0.7}}
    )
    assert drawn.reference.label == "all 70.0 %"
    assert drawn.axis.low <= 0.7


def test_a_matrix_shades_by_the_share_of_the_row():
    drawn = _charts.matrix({"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[9, 1], [0, 0]]})
    (_, (right, wrong)), (_, (none, empty)) = drawn.rows
    assert (right.level, right.same, right.text) == (5, True, "9")
    assert (wrong.level, wrong.same) == (2, False)
    assert (none.level, none.text, empty.level) == (0, "\u00b7", 0)


def test_a_matrix_of_other_things_than_classes_has_nothing_wrong_in_it():
    drawn = _charts.matrix({"rows": ["sea", "sand"], "columns": ["cat", "dog"], "counts": [[9, 1], [0, 10]]})
    assert all(cell.same for _, cells in drawn.rows for cell in cells)
    measured = _charts.matrix({"rows": ["a"], "columns": ["b", "c"], "counts": [[0.84, -0.03]]})
    ((_, cells),) = measured.rows
    assert [(cell.text, cell.level) for cell in cells] == [("0.84", 5), ("\u22120.03", 0)]
    assert measured.shading == "the value"


def test_a_row_that_is_named_a_share_holds_differences_of_shares():
    rows = [["share right", -0.021, -0.04, 1], ["nats", 0.5, 0.4, 1]]
    drawn = _charts.table({"columns": ["what", "moves by", "low", "n"], "rows": rows})
    assert drawn.rows == (("share right", "\u22122.1 points", "\u22124.0", "1"), ("nats", "0.5", "0.4", "1"))


def test_of_a_large_matrix_the_classes_that_are_mixed_up_are_shown():
    names = [f"class {place}" for place in range(200)]
    counts = [[50 * (row == column) for column in range(200)] for row in range(200)]
    counts[150][7] = 9
    drawn = _charts.matrix({"rows": names, "columns": names, "counts": counts})
    assert drawn.columns == ("class 7", "class 150")
    assert [name for name, _ in drawn.rows] == ["class 7", "class 150"]
    assert "of 200" in drawn.note


def test_a_long_curve_is_thinned_and_its_numbers_stand_beside_it():
    x = list(range(10_000))
    drawn = _charts.curve(
        {"series": [{"name": "loss", "x": x, "y": [1 / (1 + step) for step in x]}], "y_label": "loss"}
    )
    assert drawn.series[0].path.count("L") <= _charts.CURVE_POINTS
    assert drawn.series[0].points == ()
    assert len(drawn.data.rows) <= 40
    assert drawn.said.startswith("loss: 1 at 0,")


def test_a_curve_goes_from_the_lower_left_up_and_its_diagonal_is_one():
    drawn = _charts.curve({"series": [{"name": "s", "x": [0.0, 1.0], "y": [0.0, 1.0]}], "diagonal": True})
    left, top, right, bottom = drawn.frame
    assert drawn.series[0].points == ((left, bottom), (right, top))
    assert drawn.diagonal == (left, bottom, right, top)


def test_a_curve_leaves_out_what_is_not_there():
    line = {
        "name": "s",
        "x": [0.0, 0.5, 1.0],
        "y": [0.2, None, 0.4],
        "low": [0.1, None, None],
        "high": [0.3, None, None],
    }
    drawn = _charts.curve({"series": [line]})
    assert len(drawn.series[0].points) == 2
    assert "None" not in drawn.series[0].path + drawn.series[0].band + drawn.said
    assert _charts.curve({"series": [{"name": "empty", "x": [], "y": []}]}).said == "empty: no values."


def test_numbers_in_a_table_are_set_as_numbers_and_shares_as_per_cent():
    drawn = _charts.table({"columns": ["class", "share", "times"], "rows": [["cat", 0.0556, 2], ["dog", None, 1234]]})
    assert drawn.numeric == (False, True, True)
    assert drawn.rows == (("cat", "5.6 %", "2"), ("dog", "\u2013", "1,234"))


def test_a_long_table_says_what_is_left_out():
    drawn = _charts.table({"columns": ["a"], "rows": [[1]] * 5000})
    assert len(drawn.rows) == _charts.TABLE_ROWS
    assert drawn.note == "The first 60 of 5,000 rows are shown."


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({"kind": "hologram"}, "this report knows no evidence of the kind 'hologram'"),
        ({"kind": "bars", "title": "t"}, "its bars have no 'rows'"),
        ({"kind": "matrix", "rows": ["a"], "columns": ["a"], "counts": []}, "its matrix are not as documented"),
        ({}, "no evidence of the kind None"),
    ],
)
def test_evidence_that_cannot_be_drawn_says_why(evidence, why):
    drawn = _charts.draw(evidence)
    assert drawn.kind == "undrawn"
    assert why in drawn.why
