"""The embedding association test, beside its definition written out slowly."""

import math
from itertools import combinations

import numpy as np
import pytest
from planted import predicted, tables

from seewhy.audits import stereotypes


def slow_effect(x, y, a, b):
    def cos(u, v):
        return sum(p * q for p, q in zip(u, v, strict=True)) / math.sqrt(sum(p * p for p in u) * sum(q * q for q in v))

    def s(w):
        return sum(cos(w, each) for each in a) / len(a) - sum(cos(w, each) for each in b) / len(b)

    near, far = [s(w) for w in x], [s(w) for w in y]
    both = near + far
    mean = sum(both) / len(both)
    spread = math.sqrt(sum((value - mean) ** 2 for value in both) / (len(both) - 1))
    d = (sum(near) / len(near) - sum(far) / len(far)) / spread
    seen, as_far, ways = abs(sum(near) / len(near) - sum(far) / len(far)), 0, 0
    for chosen in combinations(range(len(both)), len(near)):
        first = [both[place] for place in chosen]
        rest = [both[place] for place in range(len(both)) if place not in chosen]
        as_far += abs(sum(first) / len(first) - sum(rest) / len(rest)) >= seen - 1e-12
        ways += 1
    return d, as_far / ways


def test_effect_size_and_p_equal_the_definition():
    for seed in range(20):
        random = np.random.default_rng(seed)
        x, y, a, b = (random.normal(size=(rows, 6)) for rows in (4, 5, 3, 7))
        d, p = slow_effect(x.tolist(), y.tolist(), a.tolist(), b.tolist())
        assert stereotypes.effect_size(x, y, a, b) == pytest.approx(d, abs=1e-12)
        assert stereotypes.permutation_p(x, y, a, b, seed=0) == pytest.approx(p, abs=1e-12)


def test_the_effect_turns_its_sign_with_the_sets_and_ends_at_two():
    random = np.random.default_rng(0)
    x, y, a, b = (random.normal(size=(8, 5)) for _ in range(4))
    d = stereotypes.effect_size(x, y, a, b)
    assert stereotypes.effect_size(y, x, a, b) == pytest.approx(-d)
    assert stereotypes.effect_size(x, y, b, a) == pytest.approx(-d)
    east, north = np.tile([1.0, 0.0], (50, 1)), np.tile([0.0, 1.0], (50, 1))
    assert stereotypes.effect_size(east, north, east, north) == pytest.approx(2 * math.sqrt(99 / 100))


def planted(lean: float, seed: int = 0):
    """Women stand near nurses in the embedding, men near pilots, by `lean`; portraits are of neither class."""
    random = np.random.default_rng(seed)
    label = ["portrait"] * 60 + ["nurse"] * 30 + ["pilot"] * 30
    sex = ["f", "m"] * 60
    vectors = random.normal(size=(120, 8))
    vectors[60:90, 0] += 3
    vectors[90:, 0] -= 3
    vectors[:60, 0] += np.where(np.array(sex[:60]) == "f", lean, -lean)
    table = predicted(label, label, sex=sex)
    return tables(type(table)(table.table, table.classes, embeddings=vectors.astype(np.float16)))


NAMED = {"targets": ("sex=f", "sex=m"), "attributes": ("label=nurse", "label=pilot")}


def test_a_planted_association_is_found_and_said_the_right_way_round():
    found = stereotypes.check(planted(1.0), **NAMED)
    assert found.found
    assert found.value > 0.8
    assert found.statement.startswith(
        "Images of 'sex=f' lie nearer to 'label=nurse' than to 'label=pilot', compared with"
    )
    other = stereotypes.check(planted(-1.0), **NAMED)
    assert other.value < -0.8
    assert other.statement.startswith("Images of 'sex=m' lie nearer to 'label=nurse'")


def test_an_image_that_shows_an_attribute_is_no_target():
    found = stereotypes.check(planted(1.0), **NAMED)
    assert found.evidence[0]["rows"] == [["sex=f", 30], ["sex=m", 30], ["label=nurse", 30], ["label=pilot", 30]]
    same = stereotypes.check(planted(1.0), targets=("sex=f", "sex=m"), attributes=("label=nurse", "sex=f"))
    assert "not enough data for the set 'sex=f'" in same.statement


def test_without_an_association_an_alarm_is_raised_in_at_most_six_and_a_half_percent():
    alarms = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        x, y, a, b = (random.normal(size=(rows, 5)) for rows in (5, 6, 8, 8))
        alarms += stereotypes.permutation_p(x, y, a, b, seed=seed) < 0.05
    assert alarms / 400 <= 0.065


def test_sets_that_are_not_there_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"'sax=f' is named by no column. Did you mean 'sex'\?"):
        stereotypes.check(planted(0), targets=("sax=f", "sex=m"), attributes=NAMED["attributes"])
    with pytest.raises(ValueError, match=r"No image has label 'nurs'. Did you mean 'nurse'\? There are: nurse"):
        stereotypes.check(planted(0), targets=NAMED["targets"], attributes=("label=nurs", "label=pilot"))


def test_nothing_named_is_said_to_be_not_asked():
    assert stereotypes.check(planted(1.0)).found is None
