"""Answers that change under small moves are counted; where they stay, that is said."""

from __future__ import annotations

import numpy as np
from planted import predicted

from seewhy.audits import consistency
from seewhy.types import Tables

N = 100
TWO = ("rotate:5", "translate:0.0625")


def said(flips):
    return predicted([None] * N, np.where(flips, "dog", "cat").tolist(), [0.9] * N, classes=("cat", "dog"))


def found(*flips, **settings):
    needs = consistency.needs(changes=TWO[: len(flips)], count=N)
    made = dict(zip(needs, [said(np.zeros(N, bool)), *map(said, flips)], strict=True))
    return consistency.check(Tables(made, ("cat", "dog")), changes=TWO[: len(flips)], count=N, **settings)


def first(share):
    return np.arange(N) < share


def test_an_image_is_consistent_if_its_answer_stays_under_every_change():
    finding = found(first(30), first(10))
    assert finding.value == 0.7
    assert finding.found
    assert finding.severity == "moderate"
    assert finding.statement.endswith("; it changes most under a turn by 5 degrees, for 30.0 %.")
    assert [row["value"] for row in finding.evidence[0]["rows"]] == [0.7, 0.9]
    assert finding.evidence[1]["change"] == {"intervention": "rotate", "strength": 5.0, "settings": {}}
    assert finding.evidence[1]["condition"] == "rotate:5"
    assert finding.evidence[1]["items"][0]["caption"] == "'cat', then 'dog'"


def test_answers_that_all_stay_and_few_that_change_are_no_finding():
    none = found(first(0), first(0))
    assert none.found is False
    assert none.statement.endswith("no answer changes under any of them.")
    few = found(first(6), first(1))
    assert few.found is False
    assert few.statement.endswith("it changes most under a turn by 5 degrees, for 6.0 %, not clearly more than 5.0 %.")


def test_at_the_zone_itself_an_alarm_is_rarer_than_one_in_twenty():
    random = np.random.default_rng(0)
    alarms = [found(random.random(N) < 0.05, random.random(N) < 0.05).found for _ in range(400)]
    assert np.mean(alarms) <= 0.065


def test_one_change_alone_is_counted_and_what_is_absent_is_a_doubt():
    assert "under 1 small change of" in found(first(50)).statement
    needs = consistency.needs(changes=TWO, count=N)
    given = Tables({needs[0]: said(first(0)), needs[1]: said(first(50))}, absent={needs[2]: "no such change"})
    finding = consistency.check(given, changes=TWO, count=N)
    assert finding.doubts[0] == "translate:0.0625 was not tried: no such change."
    nothing = Tables({needs[0]: said(first(0))}, absent=dict.fromkeys(needs[1:], "no such change"))
    finding = consistency.check(nothing, changes=TWO, count=N)
    assert finding.statement == "Whether answers stay when images move a little was not asked: no such change."
