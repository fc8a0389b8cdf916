import math

import pytest

from seewhy.exports import _axes
from seewhy.types import Finding


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.94, 0.983), (-3.2, 17), (1e-6, 2e-6), (0, 123456), (5, 5), (0, 0), (-0.1, -0.02)]
)
def test_an_axis_holds_its_ends_between_a_few_round_ticks(low, high):
    axis = _axes.axis(low, high)
    assert axis.low <= low <= high <= axis.high
    assert 2 <= len(axis.ticks) <= 8
    assert [axis.ticks[0].place, axis.ticks[-1].place] == [0.0, 1.0]
    assert len({tick.label for tick in axis.ticks}) == len(axis.ticks)


def test_an_axis_of_shares_stays_between_none_and_all():
    axis = _axes.axis(0.03, 0.999, "share")
    assert (axis.low, axis.high) == (0.0, 1.0)
    assert [tick.label for tick in axis.ticks] == ["0", "25", "50", "75", "100"]


def test_places_are_fractions_of_the_axis_and_never_leave_it():
    axis = _axes.axis(0, 10)
    assert [axis.place(value) for value in (0, 2.5, 10, 99, None)] == [0.0, 0.25, 1.0, 1.0, None]


def test_a_share_is_shown_on_all_of_none_to_all_and_a_difference_around_zero():
    share = Finding("a:b", "a", "data", "S.", True, 0.98, "share", 0.95, 0.99)
    assert (_axes.interval(share).axis.low, _axes.interval(share).axis.high) == (0.0, 1.0)
    difference = Finding("a:b", "a", "data", "S.", True, 0.01, "difference of shares", -0.02, 0.04)
    drawn = _axes.interval(difference)
    assert drawn.low < drawn.zero < drawn.value < drawn.high
    assert _axes.interval(Finding("a:b", "a", "data", "S.", True, 0.01)) is None
    assert _axes.interval(Finding("a:b", "a", "data", "S.", True, math.nan, "share", 0.0, 1.0)) is None
