"""What numbers and names look like in a sentence."""

from seewhy import wording
from seewhy.statistics.intervals import Estimate


def test_numbers_read_well_at_their_ends():
    assert [wording.percent(share) for share in (0, 1, 0.5, 0.9996, 0.00004, 0.123)] == [
        "0 %",
        "100 %",
        "50.0 %",
        "99.96 %",
        "0.004 %",
        "12.3 %",
    ]
    assert str(Estimate(0.942, 0.926, 1.0, 0.95, 500)) == "94.2 % (95 % interval 92.6 to 100 %)"
    assert Estimate(0.021, -0.0004, 0.046, 0.9, 500).in_points == "2.1 points (90 % interval 0.0 to 4.6)"
    assert [wording.p_value(p) for p in (0.0002, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]
    assert [wording.counted(n, "class") for n in (0, 1, 1234)] == ["0 classes", "1 class", "1,234 classes"]
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(list("abcdefg"), 2) == "a, b and 5 more"


def test_a_users_words_stay_on_one_line_and_short():
    assert wording.quoted("a\nb") == "'a b'"
    assert wording.quoted(None) == "nothing"
    long = wording.quoted("x" * 150 + "end")
    assert len(long) <= 62
    assert long.endswith("end'")
