"""Groups from the values of a tag."""

import numpy as np
import pytest

from seewhy.statistics.grouping import MISSING, grouped


def test_words_are_groups_in_order_and_rows_without_one_come_last():
    names, place = grouped(np.array(["b", None, "a", "b"], dtype=object))
    assert names == ("a", "b", MISSING)
    assert place.tolist() == [1, 2, 0, 1]


def test_a_few_numbers_are_words_and_many_are_cut_at_their_quarters():
    names, place = grouped(np.array([2.0, 10.0, np.nan, 2.0]))
    assert names == ("2", "10", MISSING)
    assert place.tolist() == [0, 1, 2, 0]
    names, place = grouped(np.arange(100.0))
    assert names == ("0 to 24", "25 to 49", "50 to 74", "75 to 99")
    assert np.bincount(place).tolist() == [25] * 4


def test_a_value_that_takes_half_of_all_rows_does_not_make_an_empty_group():
    names, place = grouped(np.array([0.0] * 60 + list(range(1, 41))))
    assert np.bincount(place).min() > 0
    assert len(names) == len(np.bincount(place))


def test_numbers_that_read_alike_are_one_group():
    names, place = grouped(np.array([1.0, 1.0 + 1e-12, 2.0]))
    assert names == ("1", "2")
    assert place.tolist() == [0, 0, 1]


@pytest.mark.parametrize("values", [np.array([], dtype=object), np.array([], dtype=np.float64)])
def test_no_rows_make_no_groups(values):
    assert grouped(values).names == ()
    assert grouped(values).place.tolist() == []


def test_a_word_that_reads_as_missing_is_counted_with_the_missing():
    names, place = grouped(np.array([MISSING, None, "a"], dtype=object))
    assert names == (MISSING, "a")
    assert place.tolist() == [0, 0, 1]
