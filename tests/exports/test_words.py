import pytest

from seewhy.exports import _words
from seewhy.types import Finding, Report


def accuracy(**fields) -> Finding:
    told = {"found": True, "value": 0.983, "unit": "share", "low": 0.964, "high": 0.992, "n": 360} | fields
    return Finding("accuracy:test", "accuracy", "performance", "Right on most.", **told)


def said(subject: str, audit: str = "toy", **fields) -> Finding:
    return Finding(f"{audit}:{subject}", audit, "performance", "A sentence.", **fields)


def verdict(*findings: Finding) -> str:
    return str(_words.verdict(Report({}, findings)))


def test_the_verdict_says_how_often_it_is_right_whether_it_is_worth_it_and_what_needs_attention():
    grave = [said(str(place), found=True, severity="moderate") for place in range(3)]
    worth = said("linear", "worth_it", found=False)
    assert verdict(accuracy(), worth, *grave) == (
        "Right on 98.3 % of 360 test images [96.4 to 99.2 %]; worth it over a linear model; 3 things need attention"
    )


def test_the_verdict_tells_a_network_that_is_not_worth_it_and_says_nothing_where_that_is_unknown():
    assert "not clearly better than a linear model" in verdict(accuracy(), said("linear", "worth_it", found=True))
    assert "linear" not in verdict(accuracy(), said("linear", "worth_it", found=None))


def test_a_minor_finding_needs_no_attention():
    assert verdict(accuracy(), said("a", found=True, severity="minor")).endswith(
        "nothing that was checked needs attention"
    )


def test_the_verdict_counts_what_could_not_be_checked():
    assert verdict(accuracy(), said("not_run")).endswith("1 thing could not be checked")


def test_the_verdict_reads_right_at_the_edges():
    assert verdict() == "Nothing was asked, so nothing was found"
    assert verdict(said("not_run")) == "Nothing could be checked"
    assert verdict(accuracy(value=None, n=0, found=None)) == "Nothing could be checked"
    assert verdict(said("a", found=False), said("b", found=False)).startswith("2 things checked; nothing that was")
    assert verdict(accuracy(n=1, value=1.0, low=0.2, high=1.0)).startswith(
        "Right on 100 % of 1 test image [20.0 to 100 %]"
    )


def test_an_accuracy_that_can_be_partly_right_is_no_share():
    said_so = verdict(accuracy(unit="rightness", value=0.5, low=0.25, high=0.75))
    assert said_so.startswith("Rightness 0.500 of 1, on average over 360 test images [0.250 to 0.750]")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.983, "share", "98.3 %"),
        (0.5, "share of mistakes", "50.0 %"),
        (0.99996, "share", "99.996 %"),
        (1.0, "share", "100 %"),
        (-0.021, "difference of shares", "\u22122.1 points"),
        (1234, "count", "1,234"),
        (0.0312, "nats", "0.0312 nats"),
        (-3, "", "\u22123"),
        (2.5e-9, "", "2.50e\u221209"),
        (None, "share", "\u2013"),
    ],
)
def test_a_quantity_is_read_in_its_unit(value, unit, text):
    assert _words.quantity(value, unit) == text


def test_bounds_say_their_unit_once():
    assert _words.bounds(0.964, 0.992, "share") == "96.4 to 99.2 %"
    assert _words.bounds(-0.02, 0.04, "difference of shares") == "\u22122.0 to 4.0 points"
    assert _words.bounds(1, 2.5, "epochs") == "1 to 2.50"
    assert _words.bounds(None, 1.0, "share") == ""


def test_what_would_be_obeyed_is_shown():
    assert _words.visible("a\x1b[31m\x00\x7f\x85") == "a\u241b[31m\u2400\u2421<U+0085>"
    assert _words.visible("\u202egpj.exe \udcff") == "<U+202E>gpj.exe <U+DCFF>"
    assert _words.on_one_line("one\ntwo\r\tthree") == "one\u240atwo\u240d\u2409three"


def test_ordinary_text_of_any_script_stays_as_it_is():
    text = "\N{FOX FACE} \U0001f469\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd\u200f caf\u00e9 \u65e5\u672c"
    assert _words.visible(text) == text


def test_a_long_name_keeps_its_ends():
    assert _words.shortened("a" * 100 + "the end") == "a" * 28 + "\u2026" + "aaaathe end"
    assert _words.shortened("short") == "short"


def test_time_is_told_in_its_two_largest_units():
    assert [_words.duration(seconds) for seconds in (0.42, 41.34, 372.4, 7500)] == [
        "0.400 s",
        "41.3 s",
        "6 min 12 s",
        "2 h 05 min",
    ]


def test_anything_recorded_reads_as_text():
    assert _words.plain({"a": [1, 0.003, None], "b": True}) == "a 1, 0.003, \u2013, b yes"
