"""A property is called a shortcut only where changing it alone moves the answer beyond the placebo."""

from planted import properties

from seewhy.audits import properties as audit
from seewhy.types import Need, Tables

COLOUR, TINT, FILE = "the colour of the background", "the tint of the image", "the size of the file"


def checked(told, asked):
    found = audit.check(Tables({Need("properties"): properties(told, asked)}, ("cat", "dog")))
    return {each.id: each for each in found}


def test_one_that_tells_the_label_and_moves_the_answer_is_a_shortcut():
    found = checked({COLOUR: 0.95, TINT: 0.52}, {COLOUR: 3.0})
    each = found["properties:colour_of_the_background"]
    assert each.found
    assert each.severity == "critical"
    assert each.statement.startswith("The network goes by the colour of the background: with that of another class it")
    assert each.settings["balanced_accuracy"] == 0.95
    assert audit.ABOUT in each.doubts
    assert each.value > 0.5
    assert [entry["kind"] for entry in each.evidence] == ["changed", "table", "bars"]
    assert "cannot be told from the tint of the image alone" in found["properties:none"].statement


def test_one_that_tells_the_label_but_moves_nothing_is_no_shortcut():
    each = checked({COLOUR: 0.95}, {COLOUR: 0.0})["properties:colour_of_the_background"]
    assert each.found is False
    assert each.severity == "none"
    assert "but the network does not go by it as far as can be told" in each.statement


def test_what_moves_the_log_odds_surely_but_hardly_at_all_is_no_shortcut():
    each = checked({COLOUR: 0.95}, {COLOUR: 0.06})["properties:colour_of_the_background"]
    assert each.settings["p"] < 0.05
    assert each.severity == "none"


def test_what_no_edit_can_change_alone_is_named_as_untested():
    each = checked({FILE: 0.9}, {})["properties:size_of_the_file"]
    assert "whether the network goes by it could not be tested, for no edit changes it alone." in each.statement
    assert each.severity == "minor"


def test_nothing_to_ask_is_said():
    assert "none differs between images" in checked({}, {})["properties:none"].statement
