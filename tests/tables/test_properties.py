"""Which property tells the label is found in the data, and whether a network written by hand goes by it is asked of it."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.audits import properties as audit
from seewhy.types import Need, Tables, finished

NEED = Need("properties")


def asked_of(asked, world, network):
    """The table of a world and a network, and what the audit finds in it, by id."""
    table = finished(asked(world, f"seewhy.worlds.handwritten:{network}").make(NEED))
    found = audit.check(Tables({NEED: table}, ("cross", "disc")))
    return table, {each.id.partition(":")[2]: each for each in found}


@pytest.mark.parametrize(
    ("variable", "reader", "other", "name"),
    [
        ("background", "reads_background", "reads_colour", "colour_of_the_background"),
        ("colour", "reads_colour", "reads_background", "colour_of_the_object"),
    ],
)
def test_what_is_planted_and_read_is_named_and_what_is_planted_and_not_read_is_not(
    asked, variable, reader, other, name
):
    world = f"made:{variable}=0.95,train=400,test=80"
    _, found = asked_of(asked, world, reader)
    assert found[name].found
    assert found[name].value > 0.5
    _, found = asked_of(asked, world, other)
    assert found[name].found is False
    assert found[name].value == 0
    assert "but the network does not go by it" in found[name].statement


def test_where_nothing_tells_the_label_the_network_is_not_asked(asked):
    table, found = asked_of(asked, "made:noise=0.5,train=400,test=80", "reads_background")
    assert table["asked"] == {}
    assert list(found) == ["none"]


def test_each_property_is_measured_and_told_with_its_balanced_accuracy(asked):
    table, _ = asked_of(asked, "made:background=1,train=400,test=80", "reads_mark")
    told = {each["name"]: each for each in table["told"]}
    assert told["the colour of the background"]["value"] > 0.97
    assert told["the colour of the object"]["p"] > 0.05
    assert np.all([0 <= each["low"] <= each["value"] <= each["high"] <= 1 for each in table["told"]])
    assert "the folder" not in told  # all lie in one
