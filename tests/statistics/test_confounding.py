"""What a graph says must be held alike, and estimates that come out right where the truth is known."""

from __future__ import annotations

import math

import networkx
import numpy as np
import pytest

from seewhy.statistics import confounding


def test_graphs_are_read_and_what_is_none_is_refused():
    graph = confounding.read_graph("age -> label; site -> scanner -> image")
    assert set(graph.edges) == {("age", "label"), ("site", "scanner"), ("scanner", "image")}
    with pytest.raises(ValueError, match="The graph has 'age, label'; it must be arrows"):
        confounding.read_graph("age, label")
    with pytest.raises(ValueError, match="The graph goes in a circle: a -> b -> a"):
        confounding.read_graph("a -> b; b -> a")


@pytest.mark.parametrize(
    ("text", "observed", "expected"),
    [
        ("z -> t; z -> y; t -> y", "zt", {"z"}),
        ("t -> m; m -> y", "tm", set()),  # what follows from the cause is never held alike
        ("t -> c; y -> c", "tc", set()),  # nor what follows from both
        ("u -> t; u -> y; t -> y", "t", None),  # what nobody recorded
        ("u -> z; u -> y; z -> t; t -> y", "zt", {"z"}),  # but another name may block its way
        ("z -> t; w -> y; t -> y", "zwt", set()),
    ],
)
def test_the_back_door_is_shut_with_the_fewest_names(text, observed, expected):
    found = confounding.back_door(confounding.read_graph(text), "t", "y", set(observed))
    assert found == expected
    if found is not None:
        graph = confounding.read_graph(text)
        graph.remove_edges_from(list(graph.out_edges("t")))
        assert networkx.is_d_separator(graph, {"t"}, {"y"}, set(found))


def confounded(n: int, effect: float, seed: int) -> tuple[np.ndarray, ...]:
    """Errors that hang on z, membership that hangs on z, and perhaps an effect of membership itself."""
    random = np.random.default_rng(seed)
    z = random.standard_normal(n)
    inside = random.random(n) < 1 / (1 + np.exp(-1.5 * z))
    error = (random.random(n) < np.clip(0.25 + 0.12 * z + effect * inside, 0.02, 0.98)).astype(float)
    return error, inside, confounding.columns([z]), random.integers(0, 5, n)


def test_a_difference_that_goes_back_to_something_else_goes_away_and_one_that_does_not_stays():
    for effect in (0.0, 0.2):
        error, inside, others, fold = confounded(4000, effect, seed=1)
        found = confounding.doubly_robust(error, inside, others, fold)
        assert error[inside].mean() - error[~inside].mean() > effect + 0.1
        assert found.difference.value == pytest.approx(effect, abs=0.05)
        assert found.difference.low <= effect <= found.difference.high
        assert found.ratio.low <= found.inside / found.outside <= found.ratio.high


def test_without_anything_to_hold_alike_it_is_the_difference_of_means():
    error, inside, _, fold = confounded(500, 0.1, seed=2)
    nothing = np.zeros((500, 0))
    found = confounding.doubly_robust(error, inside, nothing, fold)
    assert found.difference.value == pytest.approx(error[inside].mean() - error[~inside].mean(), abs=0.01)


def test_intervals_hold_the_truth_and_false_alarms_are_rare():
    """Of 200 data sets without an effect, at most 7.5 % show one at 95 %; so many would by chance in a run of 200."""
    alarms = sum(
        not (found.low <= 0 <= found.high)
        for seed in range(200)
        for found in [confounding.doubly_robust(*confounded(600, 0.0, seed)).difference]
    )
    assert alarms <= 15


def test_the_e_value_is_that_of_the_paper():
    assert confounding.e_value(3.9) == pytest.approx(7.26, abs=0.01)  # its first example
    assert confounding.e_value(1 / 3.9) == pytest.approx(7.26, abs=0.01)
    assert confounding.e_value(1.0) == 1.0
    assert math.isnan(confounding.e_value(0.0))


def test_a_word_becomes_a_column_a_value_and_what_is_missing_stays_told():
    words = np.array(["a", "b", None, "b"], dtype=object)
    numbers = np.array([1.0, np.nan, 3.0, 2.0])
    assert confounding.columns([words]).tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]
    assert confounding.columns([numbers]).shape == (4, 3)
    assert np.isfinite(confounding.columns([words, numbers])).all()
