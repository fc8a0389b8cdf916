"""The table of units says of a network that was written by hand what is written, and stops where there is no effect."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seewhy.planner import Unavailable
from seewhy.tables import units
from seewhy.types import Need, finished

WORLD = "made:colour=1,train=0,test=60"


def columns(table, what):
    """The numbers of one kind of mediator."""
    rows = [row for row in table.to_pylist() if row["what"] == what]
    return {name: np.array([row[name] for row in rows]) for name in (*units.CORNERS, "moved_after", "moved_held")}, rows


def test_all_that_grey_does_to_a_reader_of_colours_goes_through_its_units(asked):
    plan = asked(WORLD, "seewhy.worlds.handwritten:reads_colour")
    table = finished(plan.make(Need("units", intervention="grey", images=40, units=2)))
    told = json.loads(table.schema.metadata[b"told"])
    assert (told["layer"], told["channels"], told["ways"]) == ("units", 2, ["readers.colour"])
    total, _ = columns(table, "total")
    assert len(total["before"]) == 20  # one half chooses, the other measures
    assert (total["after"] - total["before"] == -4).all()
    for what in ("layer", "units"):
        found, rows = columns(table, what)
        assert (found["held"] == found["before"]).all()
        assert (found["carried"] == found["after"]).all()
        assert not found["moved_held"].any()
        assert len(rows) == (40 if what == "layer" else 20)
    single, rows = columns(table, "unit")
    places = {"cross": 0, "disc": 1}
    own = [places[plan.material.dataset.targets[plan.material.dataset.ids.index(row["id"])]] for row in rows]
    mine = np.array([row["units"] == [place] for row, place in zip(rows, own, strict=True)])
    assert (single["after"] - single["held"] == np.where(mine, -4, 0)).all()
    assert columns(table, "random")[1] == []  # there are no others
    measured = {row["id"] for row in table.to_pylist()}
    assert len(measured) == 20


def test_where_the_change_does_nothing_there_is_only_the_total(asked):
    plan = asked("made:mark=1,train=0,test=60", "seewhy.worlds.handwritten:reads_mark")
    table = finished(plan.make(Need("units", intervention="grey", images=40)))
    assert set(table.column("what").to_pylist()) == {"total"}
    total, _ = columns(table, "total")
    assert (total["after"] == total["before"]).all()


def test_it_is_made_once_and_counts_its_passes(asked, monkeypatch):
    plan = asked(WORLD, "seewhy.worlds.handwritten:reads_colour")
    need = Need("units", intervention="grey", images=40, units=1)
    first = finished(plan.make(need))
    monkeypatch.setattr(units, "make", None)
    assert finished(plan.make(need)).equals(first)
    told = json.loads(first.schema.metadata[b"told"])
    # Each image twice; behind the layer next to nothing is left, behind the reader neither.
    assert 80 <= told["passes"] <= 90
    assert told["screened"] == 2


def test_what_cannot_be_asked_is_said(asked):
    plan = asked(WORLD, "seewhy.worlds.handwritten:reads_colour")
    for need, says in (
        (Need("units", intervention="grey", layer="unit"), "No layer 'unit'. Did you mean 'units'?"),
        (Need("units", intervention="grey", images=10), "it takes 20 test images with a label, and there are 10"),
    ):
        with pytest.raises(Unavailable, match=says.replace("?", r"\?")):
            finished(plan.make(need))
