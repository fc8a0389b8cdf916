"""Heat that lies where it was put, and methods that agree or do not."""

import numpy as np
import pytest
from planted import predicted
from scipy import stats

from seewhy.audits import where_it_looks
from seewhy.types import Explanation, Need, Tables

METHODS = ("gradient", "grad_cam", "occlusion")


def judged(heats, *, right=None, faithfulness=None, methods=METHODS):
    """`heats` holds one list of maps an example, in the order of the methods."""
    explanations = tuple(
        Explanation(f"i{row}", "a", method, {"image": heat.astype(np.float32)}, faithfulness=faithfulness)
        for row, maps in enumerate(heats)
        for method, heat in zip(methods, maps, strict=True)
    )
    n = max(len(heats), 1)
    answer = ["a"] * n if right is None else ["a" if good else "b" for good in right]
    baseline = predicted(["a"] * n, answer, [0.9] * n, top_probabilities=[[0.9, 0.05]] * (n - 1) + [[0.5, 0.4]])
    need = Need("explanations", methods=methods, count=12)
    given = Tables({need: explanations, Need("baseline"): baseline}, ("a", "b"), "test", 0)
    return {finding.id: finding for finding in where_it_looks.check(given, methods=methods)}


def test_methods_that_see_the_same_agree():
    random = np.random.default_rng(0)
    heats = [[map, 3 * map + 1, -map] for map in random.random((6, 24, 24))]
    finding = judged(heats)["where_it_looks:agreement"]
    assert finding.value == pytest.approx(1)
    assert finding.found is False
    assert finding.statement.startswith("grad_cam, gradient and occlusion agree about where the network looks")


def test_methods_that_see_different_things_disagree():
    random = np.random.default_rng(0)
    heats = random.random((8, 3, 16, 16))
    finding = judged(list(heats))["where_it_looks:agreement"]
    assert finding.found is True
    assert abs(finding.value) < 0.1
    assert finding.low < 0 < finding.high
    table = finding.evidence[-1]
    first = [stats.spearmanr(a.ravel(), b.ravel()).statistic for b, a, _ in heats]
    assert table["rows"][0] == ["grad_cam", "gradient", pytest.approx(np.mean(first), abs=1e-6), 8]


def test_heat_in_the_border_is_found_and_heat_in_the_middle_is_not():
    frame = np.ones((32, 32))
    frame[4:-4, 4:-4] = 0
    found = judged([[frame + 0.01 * row] * 3 for row in range(5)])["where_it_looks:border"]
    assert found.found is True
    assert found.value > 0.9
    assert found.evidence[0]["reference"]["value"] == pytest.approx(1 - 0.75**2)
    middle = judged([[1.01 - frame + 0.01 * row] * 3 for row in range(5)])["where_it_looks:border"]
    assert middle.found is False
    even = judged([list(np.random.default_rng(row).random((3, 32, 32))) for row in range(6)])["where_it_looks:border"]
    assert even.value == pytest.approx(0.4375, abs=0.02)


def test_pictures_are_grouped_by_what_the_network_said():
    random = np.random.default_rng(0)
    finding = judged(list(random.random((4, 3, 9, 9))), right=[True, False, True, True])["where_it_looks:agreement"]
    pictures = {entry["title"]: entry["ids"] for entry in finding.evidence if entry["kind"] == "explanations"}
    assert pictures == {
        "Where it looks: wrong": ["i1"],
        "Where it looks: doubtful": ["i3"],
        "Where it looks: right": ["i0", "i2"],
    }
    assert all(entry["methods"] == list(METHODS) for entry in finding.evidence if entry["kind"] == "explanations")


def test_heat_is_said_to_show_association_and_not_cause():
    found = judged(list(np.random.default_rng(0).random((4, 3, 9, 9))))
    for subject in ("agreement", "border"):
        assert any("not what causes it" in doubt for doubt in found[f"where_it_looks:{subject}"].doubts)


def test_one_method_alone_has_nobody_to_agree_with():
    found = judged([[map] for map in np.random.default_rng(0).random((4, 9, 9))], methods=("gradient",))
    assert found["where_it_looks:agreement"].found is None
    assert found["where_it_looks:agreement"].evidence
    assert found["where_it_looks:border"].found is False


def test_maps_without_any_heat_are_left_out():
    empty, map = np.zeros((9, 9)), np.random.default_rng(0).random((9, 9))
    assert judged([[empty] * 3] * 3)["where_it_looks:agreement"].statement == (
        "Heat was not compared: there is no heat to look at."
    )
    assert judged([[empty, map, map]] * 3)["where_it_looks:agreement"].value == pytest.approx(1)
    assert judged([])["where_it_looks:agreement"].found is None


def test_faithfulness_is_told_where_it_was_measured():
    heats = list(np.random.default_rng(0).random((4, 3, 9, 9)))
    finding = judged(heats, faithfulness={"deletion": 0.25})["where_it_looks:faithfulness:deletion"]
    assert "0.250 for gradient" in finding.statement
    assert not [id for id in judged(heats) if "faithfulness" in id]
