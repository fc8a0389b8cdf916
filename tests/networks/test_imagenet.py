"""ImageNet's classes have names of their own."""

import pytest

from seewhy.networks._imagenet import class_names


def test_the_thousand_names_are_short_and_all_different():
    names = class_names()
    assert len(set(names)) == 1000
    assert names[0] == "tench"
    assert names[281] == "tabby"
    assert max(map(len, names)) < 40


def test_one_word_for_two_things_is_told_apart():
    names = class_names()
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")
    assert (names[638], names[639]) == ("maillot (tights)", "maillot (swimsuit)")


@pytest.mark.parametrize("subset", ["imagenet-12k", "imagenet-22k"])
def test_larger_subsets_have_different_names_too(subset):
    names = class_names(subset)
    assert len(set(names)) == len(names)
