"""A tag is told apart from what goes along with it, and it is said what that rests on."""

from __future__ import annotations

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import adjusted_effects

N = 3000


def scanners(effect: float, seed: int = 0):
    """Old people go to scanner B and are harder to tell; the scanner itself adds `effect` to the error."""
    random = np.random.default_rng(seed)
    age = random.uniform(20, 90, N)
    scanner = np.where(random.random(N) < (age - 20) / 70, "B", "A")
    wrong = random.random(N) < 0.05 + 0.3 * (age - 20) / 70 + effect * (scanner == "B")
    target = np.array(["cat", "dog"])[random.integers(0, 2, N)]
    answer = np.where(wrong, np.where(target == "cat", "dog", "cat"), target)
    logodds = np.where(wrong, -1.0, 1.0) + random.normal(0, 0.1, N)
    return tables(predicted(target.tolist(), answer.tolist(), logodds_true=logodds, scanner=scanner.tolist(), age=age))


def found(given, **settings):
    return {finding.id: finding for finding in adjusted_effects.check(given, **settings)}


@pytest.mark.parametrize("how", [{"confounders": ("age",)}, {"graph": "age -> scanner"}])
def test_what_age_does_is_not_laid_to_the_scanner(how):
    finding = found(scanners(0.0), tags=("scanner",), **how)["adjusted_effects:scanner:B"]
    assert finding.found is False
    assert finding.severity == "none"
    assert "With 'age' held alike, scanner 'B' has no clear difference in errors" in finding.statement
    assert finding.low <= 0 <= finding.high


def test_what_the_scanner_does_is_found_with_its_ratio_and_its_e_value():
    finding = found(scanners(0.2), graph="age -> scanner")["adjusted_effects:scanner:B"]
    assert finding.found
    assert finding.value == pytest.approx(0.2, abs=0.05)
    assert finding.severity in ("minor", "moderate")
    assert "With 'age' held alike, scanner 'B' has more errors: " in finding.statement
    assert "this rests on the graph that was stated" in finding.doubts[0]
    assert "its E-value" in finding.doubts[1]
    graph = finding.evidence[0]
    assert {node["name"]: node["role"] for node in graph["nodes"]} == {
        "age": "held alike",
        "scanner": "asked about",
        "error": "outcome",
    }
    assert ["scanner", "error"] in graph["edges"]


def test_what_was_not_recorded_is_no_answer():
    (finding,) = found(scanners(0.2), tags=("scanner",), graph="wealth -> scanner; wealth -> error").values()
    assert finding.found is None
    assert "nothing that was recorded makes 'scanner' comparable" in finding.statement


def test_without_a_graph_it_asks_for_one():
    (finding,) = found(scanners(0.2)).values()
    assert finding.found is None
    assert "--confounders age,site or --graph" in finding.statement


def test_a_tag_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="The predictions have no tag 'agge'. Did you mean 'age'?"):
        found(scanners(0.0), confounders=("agge",))
