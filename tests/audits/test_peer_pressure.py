"""Where all peers agree against the network it is likely to be wrong: how often is measured, beside how often anyway."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from planted import predicted

from seewhy.audits import peer_pressure
from seewhy.types import Need, Predictions, Tables

N = 200
LABELS = (["cat", "dog"] * N)[:N]


def turned(rows) -> list[str]:
    """The labels, but on these rows the other class."""
    chosen = set(rows)
    return [{"cat": "dog", "dog": "cat"}[name] if row in chosen else name for row, name in enumerate(LABELS)]


def finding(wrong, peers_wrong, labels=LABELS):
    """The network errs on some rows, each peer on others."""
    baseline = predicted(labels, turned(wrong), np.linspace(0.5, 1, N), classes=("cat", "dog"))
    said = [predicted(labels, turned(rows), condition=[f"peer {k}"] * N).table for k, rows in enumerate(peers_wrong)]
    need = peer_pressure.needs(peers=("a", "b"))[1]
    tables = Tables({Need("baseline"): baseline, need: Predictions(pa.concat_tables(said))}, ("cat", "dog"), "test", 0)
    return peer_pressure.check(tables, peers=("a", "b"))


def test_mistakes_that_peers_do_not_share_are_found():
    found = finding(wrong=range(20), peers_wrong=[range(15, 25), range(15, 25)])
    # 15 to 19 all get wrong alike: that is not seen. 20 to 24 the network alone is right.
    assert found.found is True
    assert found.value == 0.75
    assert found.n == 20
    assert found.statement == (
        "Where all its peers agree on something else, the network is wrong on 15 of 20 labelled images, 75.0 % (95 % "
        "interval 53.1 to 88.8 %), against 10.0 % of all."
    )
    assert found.doubts[:2] == (
        "2 peers agree with each other on 200 of 200 test images, and on 20 of these the network says otherwise.",
        "There the peers are right on 15; it finds 15 of its 20 mistakes.",
    )
    assert found.severity == "minor"
    assert peer_pressure.BLIND in found.doubts
    assert found.evidence[0]["items"][0]["caption"] == "says 'cat', all peers 'dog'; labelled 'cat'"


def test_where_peers_are_no_better_nothing_is_found():
    found = finding(wrong=[0, 1], peers_wrong=[range(10, 60), range(10, 60)])
    assert found.found is False
    assert found.severity == "none"
    assert "That is not clearly more often than it is wrong anyway." in found.doubts
    assert (
        "No peer is as often right as the network, the best on 75.0 %: what they agree on may be wrong." in found.doubts
    )
    assert [row["value"] for row in found.evidence[1]["rows"]] == [0.99, 0.75, 0.75]


def test_peers_that_disagree_among_themselves_flag_nothing():
    found = finding(wrong=[0], peers_wrong=[[0], []])
    assert found.found is False
    assert found.statement == (
        "2 peers agree with each other on 199 of 200 test images, and on 0 of these the network says otherwise."
    )


def test_without_labels_the_images_are_named_and_nothing_is_claimed():
    found = finding(wrong=range(5), peers_wrong=[[], []], labels=[None] * N)
    assert found.statement.endswith("likely mistakes, though none of them has a label to tell.")
    assert len(found.examples) == 5


@pytest.mark.parametrize(("peers", "train"), [((), 0), (("a",), 0), ((), 1)])
def test_it_takes_two_peers(peers, train):
    assert peer_pressure.needs(peers=peers, train=train) == (Need("baseline"),)
    found = peer_pressure.check(Tables({Need("baseline"): predicted(["cat"], ["cat"])}), peers=peers, train=train)
    assert found.found is None
    assert "it takes two peers; name models with the setting `peers`" in found.statement
