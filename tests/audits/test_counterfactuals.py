"""How small the changes are is told, whether peers follow, and where nothing was found; with pictures."""

from __future__ import annotations

import pytest
from planted import edited, predicted

from seewhy.audits import counterfactuals
from seewhy.types import Need, Tables

IDS = [f"i{row}" for row in range(8)]


def findings(peers=(), **planted):
    baseline = predicted(["cat"] * 8, ["cat"] * 8)
    need, _ = counterfactuals.needs(peers=peers)
    table = edited(IDS, ["cat"] * 8, peers=len(peers), **planted)
    tables = Tables({need: table, Need("baseline"): baseline}, baseline.classes, "test", 0)
    return list(counterfactuals.check(tables, peers=peers))


def test_sizes_are_medians_with_their_interval_and_without_peers_that_is_said():
    swap, edit = findings(cells=[1, 1, 1, 2, 2, 3, 4, 6])
    assert swap.statement == (
        "A swap of cells with a look-alike of the other class changed the answer of 8 of 8 test images, by a median of "
        "2 of 36 cells (95 % interval 1 to 6)."
    )
    assert (swap.value, swap.low, swap.high, swap.n, swap.unit) == (2, 1, 6, 8, "of 36 cells")
    assert (edit.value, edit.unit) == (pytest.approx(0.05), "share of pixels")
    assert counterfactuals.UNCHECKED in swap.doubts
    pictures = swap.evidence[0]
    assert (pictures["kind"], pictures["condition"]) == ("changed", "counterfactual swap")
    assert pictures["items"][3] == {"id": "i3", "caption": "'cat' becomes 'dog': 2 cells, 5.0 % of the pixels"}
    assert swap.evidence[1]["rows"][0][6] == "(0, 0)"


@pytest.mark.parametrize(
    ("followed", "says"),
    [
        ([2] * 8, "follow in 16 of 16 answers: 100 % (95 % interval 58.9 to 100 %), so they move others too"),
        ([0] * 8, "follow in 0 of 16 answers: 0 % (95 % interval 0 to 41.1 %), so most are adversarial examples"),
        ([0, 2] * 4, "which does not tell reasons from adversarial examples"),
    ],
)
def test_peers_that_follow_or_do_not_tell_reasons_from_adversarial_examples(followed, says):
    swap, _ = findings(peers=("a", "b"), followed=followed)
    assert says in swap.doubts[0]
    assert counterfactuals.UNCHECKED not in swap.doubts


def test_where_nothing_was_found_that_is_said():
    swap, edit = findings(found=[False] * 8)
    for finding in (swap, edit):
        assert finding.found is False
        assert finding.statement.endswith("what would have changed its mind was not found this way.")
    some, _ = findings(found=[True] * 3 + [False] * 5)
    assert "of 3 of 8 test images, by a median of 2 of 36 cells." in some.statement
    assert some.low is None  # three are too few for an interval at 95 %
    assert len(some.evidence[0]["items"]) == 3


def test_an_edited_image_that_is_like_no_real_one_is_told():
    swap, _ = findings(stranger=0.01)
    assert any(doubt.startswith("In 8 of 8 cases the edited image lies farther from all") for doubt in swap.doubts)
    calm, _ = findings(stranger=0.05)
    assert not any("lies farther" in doubt for doubt in calm.doubts)
