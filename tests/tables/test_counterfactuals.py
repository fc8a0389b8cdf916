"""Counterfactuals of a network that reads a mark: one cell, the right one, from a look-alike; peers follow or do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seewhy.images.decoding import decode
from seewhy.planner import Unavailable
from seewhy.types import Need, finished
from seewhy.worlds import drawing

WORLD = "made:mark=1,train=60,test=40"
READS_MARK = "seewhy.worlds.handwritten:reads_mark"


def test_the_mark_is_what_would_have_changed_its_mind(asked):
    plan = asked(WORLD, READS_MARK)
    table = finished(plan.make(Need("counterfactuals", images=6, steps=3)))
    told = json.loads(table.schema.metadata[b"told"])
    assert told["peers"] == []
    rows = table.to_pylist()
    assert [row["how"] for row in rows] == ["edit"] * 6 + ["swap"] * 6
    dataset = plan.material.dataset
    place = {id: row for row, id in enumerate(dataset.ids)}
    inside = np.zeros((32, 32), bool)
    inside[drawing.mark_at(32)] = True
    for row in rows[6:]:
        before, after = dataset.pixels(place[row["id"]]), decode(row["picture"])
        differs = (before != after).any(2)
        assert row["found"]
        assert row["cells"] == [0]
        assert {row["answer"], row["target"]} == {"cross", "disc"}
        assert differs[inside].all()
        assert not differs[6:].any()
        assert not differs[:, 6:].any()
        assert row["pixels"] == pytest.approx(differs.mean())
        assert row["l2"] == pytest.approx(np.linalg.norm((before.astype(float) - after) / 255))
        assert dataset.targets[place[row["donor"]]] == row["target"]
        assert dataset.splits[place[row["donor"]]] == "train"
        assert row["stranger"] == 1  # its two units are just what they are for a real image
        assert row["condition"] == "counterfactual swap"
    assert not any(row["found"] for row in rows[:6])  # its readers are steps: no slope leads anywhere


def test_peers_follow_who_read_the_same_and_no_others(asked, here, monkeypatch):
    (here / "others.py").write_text(
        "from seewhy.worlds.handwritten import Handwritten\n"
        "def marks(): return Handwritten({'mark': 1.0})\n"
        "def shapes(): return Handwritten({'shape': 1.0})\n"
    )
    monkeypatch.syspath_prepend(str(here))
    plan = asked(WORLD, READS_MARK)
    for peers, followed in ((("others:marks",), 1), (("others:shapes",), 0), (("others:marks", "others:shapes"), 1)):
        table = finished(plan.make(Need("counterfactuals", images=4, steps=1, peers=peers)))
        swaps = table.to_pylist()[4:]
        assert [row["asked"] for row in swaps] == [len(peers)] * 4
        assert [row["followed"] for row in swaps] == [followed] * 4


def test_what_cannot_be_asked_is_said(asked):
    with pytest.raises(Unavailable, match="the peer 'seewhy.worlds.handwritten:reads_mark' is the network itself"):
        finished(asked(WORLD, READS_MARK).make(Need("counterfactuals", peers=(READS_MARK,))))
    always_wrong = asked("made:noise=1,train=20,test=20", "seewhy.worlds.handwritten:reads_object")
    with pytest.raises(Unavailable, match="there is no test image that the network is right on"):
        finished(always_wrong.make(Need("counterfactuals")))
