"""What a change does is found and told apart from what its seams do; where it does nothing, that is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from planted import predicted

from seewhy import shelf
from seewhy.audits import effects
from seewhy.types import Need, Predictions, Tables

N = 200


@pytest.fixture
def change(monkeypatch):
    """A change that ought not to matter, with a placebo, known to the audit alone."""
    module = SimpleNamespace(changes="the background", keeps="the object", exact=False, nuisance=True, placebo=None)
    monkeypatch.setattr(effects, "_module", lambda name: module)
    return module


def said(flips: np.ndarray, condition: str = "") -> Predictions:
    """A network that is right on all but the flipped."""
    labels = np.array(["cat", "dog"])[np.arange(N) % 2]
    answers = np.where(flips, np.array(["dog", "cat"])[np.arange(N) % 2], labels)
    logodds = np.where(flips, -2.0, 2.0)
    return predicted(
        labels.tolist(),
        answers.tolist(),
        [0.9] * N,
        condition=[condition] * N,
        logodds_true=logodds,
        sex=["f", "m", "m", "f"] * (N // 4),
    )


def found(under: np.ndarray, placebo: np.ndarray | None = None, **settings):
    """The findings of one change, by what follows the colon of their ids."""
    baseline = said(np.zeros(N, bool))
    settings = {"interventions": ("background",), **settings}
    asked = effects.needs(**{k: v for k, v in settings.items() if k in ("interventions", "count")})
    made = dict(
        zip(asked, [baseline, said(under, "background"), said(under if placebo is None else placebo)], strict=False)
    )
    findings = list(effects.check(Tables(made, baseline.classes, "test", 0), **settings))
    return {finding.id.partition(":")[2]: finding for finding in findings}


def some(share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(N) < share


def test_an_effect_of_one_is_one(change):
    finding = found(np.ones(N, bool), np.zeros(N, bool))["background"]
    assert finding.found
    assert finding.value == 1.0
    assert finding.severity == "serious"
    assert finding.statement == (
        "With only the background changed, the answer changes for 100 % of 200 images, under its placebo for 0 %: an "
        "effect of 100.0 points (95 % interval 97.3 to 100.0)."
    )
    (pairs, moves, table) = finding.evidence
    moved = {row[0]: row[1] for row in moves["rows"]}
    assert moved["share right"] == -1
    assert moved["log-odds of the true class"] == pytest.approx(-4)
    assert pairs["kind"] == "changed"
    assert pairs["items"][0]["caption"] == "'cat' 90.0 %, then 'dog' 90.0 %"
    assert [row[0] for row in table["rows"]] == ["all", "class cat", "class dog", "sex f", "sex m"]


def test_what_is_borrowed_from_another_class_is_told_from_what_is_borrowed_from_the_same(change):
    """A network that goes by the background alone changes half its answers under either, and is right under one."""
    change.needs = frozenset({"donors"})
    half = np.arange(N) % 4 < 2
    before = said(half)
    asked = effects.needs(interventions=("background",))
    made = dict(zip(asked, [before, said(np.ones(N, bool)), said(np.zeros(N, bool))], strict=True))
    finding = list(effects.check(Tables(made, before.classes, "test", 0), interventions=("background",)))[1]
    assert finding.value == 1.0
    assert finding.found
    assert finding.statement.startswith(
        "With the background taken from another class the answer is right for 0 % of 200 images, from the same class "
        "for 100 %: an effect of "
    )


def test_what_the_placebo_does_as_well_is_no_effect(change):
    finding = found(some(0.3), some(0.3, seed=1))["background"]
    assert finding.found is False
    assert finding.severity == "none"
    assert "no clear effect" in finding.statement
    assert abs(finding.value) < 0.1


def test_a_placebo_that_does_more_is_told_so(change):
    finding = found(np.zeros(N, bool), some(0.3))["background"]
    assert finding.found is False
    assert "no effect, for the placebo does more: -" in finding.statement


def test_a_change_that_changes_nothing_is_told_so(change):
    findings = found(np.zeros(N, bool), np.zeros(N, bool))
    assert findings["background"].value == 0
    assert findings["background"].found is False
    assert "no clear effect of 0.0 points" in findings["background"].statement
    assert findings["all"].statement == "None of 1 change made on purpose clearly changes the answers to 200 images."


def test_a_change_that_may_matter_is_found_without_being_a_fault(change):
    change.nuisance = False
    finding = found(some(0.6), np.zeros(N, bool))["background"]
    assert finding.found
    assert finding.severity == "none"
    assert finding.mitigation is None


def test_without_a_placebo_a_few_changed_answers_are_let_pass(change):
    del change.placebo
    assert found(some(0.04))["background"].found is False
    assert found(some(0.3))["background"].found


def test_the_number_of_changes_is_corrected_for(change):
    """One of forty changes with p = .02 is no finding."""
    names = tuple(f"change_{place}" for place in range(40))
    baseline, still = said(np.zeros(N, bool)), said(np.zeros(N, bool))
    one = np.zeros(N, bool)
    one[:7] = True  # p = 2/2^7 = .016 by the exact test
    asked = effects.needs(interventions=names)
    made = dict.fromkeys(asked, still) | {Need("baseline"): baseline}
    made[next(need for need in asked if dict(need.settings).get("intervention") == "change_3")] = said(one)
    alone = list(effects.check(Tables(made, baseline.classes, "test", 0), interventions=("change_3",)))[1]
    among = {each.id: each for each in effects.check(Tables(made, baseline.classes, "test", 0), interventions=names)}
    assert alone.found
    assert among["effects:change_3"].found is False


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_equal_changes_seldom_raise_an_alarm(change, share):
    """Of 400 networks on which change and placebo act alike, at most 6.5 % are said to follow the change."""
    alarms = 0
    for seed in range(400):
        alarms += bool(found(some(share, 2 * seed), some(share, 2 * seed + 1))["background"].found)
    assert alarms / 400 <= 0.065


def test_why_nothing_was_asked_is_said():
    baseline = said(np.zeros(N, bool))
    asked = effects.needs(interventions=("grey",))
    given = Tables({asked[0]: baseline}, baseline.classes, "test", 0, dict.fromkeys(asked[1:], "it is dark"))
    (finding,) = effects.check(given, interventions=("grey",))
    assert finding.found is None
    assert finding.statement == "Because of what it decides was not asked: it is dark."


def test_a_change_is_read_with_strength_and_settings():
    assert shelf.called("jpeg:3") == ("jpeg", 3.0, ())
    assert shelf.called("background:into=plain,seam=2") == ("background", None, (("into", "plain"), ("seam", 2)))
    assert shelf.called("do:0.5:variable=colour") == ("do", 0.5, (("variable", "colour"),))
    with pytest.raises(ValueError, match="'jpeg:much' has 'much'; after a name come a strength, or settings"):
        shelf.called("jpeg:much")
