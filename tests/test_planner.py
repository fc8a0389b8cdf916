"""Tables are made once, found by all they depend on, and refused with a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seewhy.material import opening
from seewhy.planner import Planner, Unavailable
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.tables import baseline, explanations
from seewhy.training import fitting
from seewhy.types import Need


def finished(work):
    """What the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.fixture
def plan(here):
    """A planner for a model that learnt light from dark in a few steps."""
    random = np.random.default_rng(0)
    labels = ["dark", "light"] * 30
    images = np.stack([random.integers(0, 128, (8, 8, 3)) + 120 * (label == "light") for label in labels])
    images[58:] = images[0]  # look-alikes, so that there may be a leak
    given = (images.astype(np.uint8), labels)
    settings, cache = Settings(data="arrays", network="resnet_tiny", steps=4, threads=1), Cache(here / "cache")
    material = finished(opening.open_material(settings, cache, data=given))
    model, _ = finished(fitting.train(settings, out="run", data=given))
    return Planner(settings, cache, {}, material, model)


def test_a_table_is_made_once(plan, monkeypatch):
    made = []
    predict = baseline.predict
    monkeypatch.setattr(baseline, "predict", lambda *given, **named: made.append(1) or predict(*given, **named))
    first, second = (finished(plan.make(Need("baseline"))) for _ in range(2))
    assert len(made) == 1
    assert first.table.equals(second.table)
    assert len(finished(plan.make(Need("baseline", split="val")))) == plan.material.dataset.splits.count("val")
    assert len(made) == 2


def test_a_key_changes_with_weights_data_split_seed_threads_and_settings(plan):
    need, dataset = Need("baseline"), plan.material.dataset
    moved = ("val" if dataset.splits[0] == "test" else "test", *dataset.splits[1:])
    changed = [
        replace(dataset, splits=moved),
        replace(dataset, targets=("light", *dataset.targets[1:])),
        replace(dataset, tags={"sex": ("f",) * len(dataset)}),
    ]
    materials = [
        replace(plan.material, digest=opening._digest(each, plan.material.scan)) for each in (dataset, *changed)
    ]
    plans = [
        replace(plan, settings=replace(plan.settings, **settings))
        for settings in ({"seed": 1}, {"split_by": "patient"})
    ]
    keys = [plan._key(need, material, plan.model) for material in materials]
    keys += [plan._key(Need("baseline", split="val"), plan.material, plan.model)]
    keys += [each._key(need, plan.material, plan.model) for each in plans]
    other = fitting.Model.load("run/model")
    with torch.no_grad():
        next(other.network.parameters()).add_(1e-3)
    keys.append(plan._key(need, plan.material, other))
    torch.set_num_threads(2)
    keys.append(plan._key(need, plan.material, plan.model))
    torch.set_num_threads(1)
    assert len(set(keys)) == len(keys)
    assert plan._key(need, plan.material, plan.model) == keys[0]


def test_an_explainer_of_the_users_own_that_changes_makes_its_table_stale(plan, here, monkeypatch):
    import seewhy.explainers

    monkeypatch.setattr(seewhy.explainers, "__path__", [*seewhy.explainers.__path__, str(here)])
    own = here / "mine.py"
    own.write_text('"""Is there nothing?"""\n')
    need = Need("explanations", methods=("mine",), count=3)
    before = plan._key(need, plan.material, plan.model)
    assert plan._key(need, plan.material, plan.model) == before
    own.write_text('"""Is there something?"""\n')
    assert plan._key(need, plan.material, plan.model) != before


def test_a_table_that_cannot_be_had_says_why(plan):
    for broken, need, says in (
        (replace(plan, material=None, model=None), Need("baseline"), "only a table of predictions was given"),
        (plan, Need("bseline"), "no such table: bseline. Did you mean 'baseline'?"),
        (plan, Need("baseline", split="holdout"), "there is no image in the holdout split"),
        (plan, Need("log"), "the model was not trained in this run"),
    ):
        with pytest.raises(Unavailable, match=says.replace("?", r"\?")):
            finished(broken.make(need))


def test_a_given_table_is_handed_over_as_it_is(plan):
    table = object()
    assert finished(replace(plan, given={Need("anything"): table}).make(Need("anything"))) is table


def test_the_linear_model_answers_for_the_same_rows_and_finds_an_easy_difference(plan):
    linear, table = finished(plan.make(Need("linear_baseline"))), finished(plan.make(Need("baseline")))
    assert list(linear["id"]) == list(table["id"])
    assert linear["right"].mean() > 0.7


def test_the_scan_knows_the_split_each_row_ended_up_in(plan):
    scan = finished(plan.make(Need("scan")))
    assert scan.files["split"].to_pylist() == list(plan.material.dataset.splits)
    assert set(plan.material.dataset.problems) <= set(scan.problems)


def test_the_leak_compares_a_random_with_a_grouped_split_of_the_same_rows(plan):
    leak = finished(plan.make(Need("leak")))
    assert {"random", "grouped", "low", "high", "n", "method"} == set(leak)
    assert leak["low"] <= leak["random"] - leak["grouped"] <= leak["high"]
    scan = replace(plan.material.scan, same=(), near=())
    with pytest.raises(Unavailable, match="no two images are alike"):
        finished(replace(plan, material=replace(plan.material, scan=scan, digest="other")).make(Need("leak")))


def test_examples_that_are_explained_are_right_wrong_and_doubtful(plan):
    found = finished(plan.make(Need("explanations", methods=("gradient",), count=6)))
    table = finished(plan.make(Need("baseline")))
    ids = [each.id for each in found]
    assert len(ids) == len(set(ids)) <= 6
    assert set(ids) <= set(table["id"])
    answers = dict(zip(table["id"], table["answer"], strict=True))
    assert all(each.question == answers[each.id] for each in found)
    again = finished(plan.make(Need("explanations", methods=("gradient",), count=6)))
    assert all((first.heat["image"] == second.heat["image"]).all() for first, second in zip(found, again, strict=True))


def test_the_rows_worth_a_look_hold_no_row_twice(plan):
    table = finished(plan.make(Need("baseline")))
    for each in (1, 3, 100):
        rows = explanations._worth_a_look(table, each, seed=0)
        assert len(rows) == len(set(rows))
        assert len(rows) <= len(table)


def test_what_a_table_cost_is_told_without_that_of_the_tables_it_asked_for(plan):
    finished(plan.make(Need("explanations", methods=("gradient",), count=6)))
    finished(plan.make(Need("baseline")))
    tests = plan.material.dataset.splits.count("test")
    assert [(cost.table, cost.remembered) for cost in plan.costs] == [
        ("baseline", False),
        ("explanations(count=6, methods=('gradient',))", False),
        ("baseline", True),
    ]
    assert [cost.images for cost in plan.costs][::2] == [tests, 0]
    assert not plan.model.network._forward_hooks


def test_a_change_is_paired_with_the_baseline_by_id(plan):
    changed = finished(plan.make(Need("intervention", intervention="grey", count=5)))
    whole = finished(plan.make(Need("intervention", intervention="grey", count=None)))
    baseline = finished(plan.make(Need("baseline")))
    assert set(changed["id"]) <= set(whole["id"]) == set(baseline["id"])
    assert len(changed) == min(5, len(baseline))
    assert set(changed["condition"]) == {"grey"}
    with pytest.raises(Unavailable, match="only images of a made world"):
        finished(plan.make(Need("intervention", intervention="do", settings=(("variable", "colour"),))))
