"""Changes of which the effect on a handwritten network is known to the last decision."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from seewhy import interventions
from seewhy.interventions import Change
from seewhy.passes import Unsuitable
from seewhy.tasks.classify import Classify
from seewhy.types import Batch
from seewhy.worlds import World, handwritten

#: Background, mark and label go together, so that a donor of another class brings another of each.
WORLD = World(background=1.0, mark=1.0, test=60, train=90)
#: All are independent, so that nothing follows from anything but the label from the shape.
APART = World(classes=4, test=40, train=40)
READERS = {
    "shape": handwritten.reads_object,
    "colour": handwritten.reads_colour,
    "background": handwritten.reads_background,
    "mark": handwritten.reads_mark,
    "tint": handwritten.reads_tint,
}


@cache
def network_of(reader: str, classes: int) -> handwritten.Handwritten:
    return READERS[reader](classes=classes)


@cache
def batch_of(world: World, split: str, masks: bool = True) -> Batch:
    ids = world.ids(split)
    scene = world.scene(ids)
    places = [world.values("label").index(label) for label in scene["label"]]
    drawn = torch.from_numpy(scene.masks()) if masks else None
    return Batch(ids, {"image": scene.images()}, torch.tensor(places), masks=drawn)


def answers(reader: str, change: Change | None, world: World, masks: bool) -> torch.Tensor:
    network = network_of(reader, world.classes)
    batch, pool = batch_of(world, "test", masks), batch_of(world, "train", masks)
    if change is not None:
        which = "same" if change.placebo else getattr(change.module, "donors", "any")
        places = interventions.pair(batch.ids, batch.targets.tolist(), pool.ids, pool.targets.tolist(), which=which)
        task = Classify(network.classes, network.preprocessing)
        given = {"donors": pool.rows(places.tolist()), "network": network, "task": task, "world": world}
        batch = change.apply(batch, seed=0, **given)
    return network(**batch.inputs).argmax(1)


def effect(
    reader: str, name: str, *, world: World = WORLD, masks: bool = True, placebo: bool = False, **how: Any
) -> float:
    """The share of images whose answer changes."""
    strength = how.pop("strength", None)
    change = Change(name, strength, tuple(how.items()), placebo)
    before, after = (answers(reader, each, world, masks) for each in (None, change))
    return (before != after).double().mean().item()


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("reader", ["shape", "colour", "background", "mark"])
def test_another_background_changes_every_answer_of_whoever_reads_it_and_no_other(reader: str, masks: bool) -> None:
    in_the_background = reader in ("background", "mark")
    assert effect(reader, "background", masks=masks) == in_the_background
    assert effect(reader, "background", masks=masks, placebo=True) == 0


@pytest.mark.parametrize("into", ["plain", "blurred"])
def test_the_object_alone_is_enough_for_whoever_reads_it(into: str) -> None:
    assert effect("shape", "background", into=into) == effect("colour", "background", into=into) == 0


@pytest.mark.parametrize("fill", ["inpaint", "mean", "blur", "black"])
def test_an_object_taken_away_changes_no_answer_of_whoever_reads_something_else(fill: str) -> None:
    assert effect("background", "object", fill=fill) == effect("mark", "object", fill=fill) == 0
    assert effect("colour", "object", fill=fill, placebo=True) == 0


@pytest.mark.parametrize("reader", ["shape", "colour"])
def test_without_the_object_whoever_reads_it_answers_one_class_for_all(reader: str) -> None:
    assert len(set(answers(reader, Change("object"), WORLD, True).tolist())) == 1


def test_a_mark_put_on_or_taken_off_makes_its_reader_answer_one_class_for_all() -> None:
    assert not answers("mark", Change("mark_on"), WORLD, True).any()
    gone = (
        Change("mark_off"),
        Change("border_crop", 3 / 16),
        Change("border_crop", 3 / 16, (("into", "plain"),)),
        Change("cover", settings=(("row", 0), ("column", 0))),
    )
    for change in gone:
        assert answers("mark", change, WORLD, True).all(), change
    for name in ("mark_on", "mark_off"):
        assert effect("mark", name, placebo=True) == 0
        assert effect("colour", name) == effect("colour", name, placebo=True) == 0
        assert effect("background", name) == 0


@pytest.mark.parametrize("reader", ["shape", "colour", "background"])
def test_what_is_moved_mirrored_or_a_little_turned_is_what_it_was(reader: str) -> None:
    for name in ("translate", "flip", "rotate", "scale"):
        assert effect(reader, name) == 0, name


def test_shuffled_cells_keep_every_colour_and_break_shapes() -> None:
    assert effect("colour", "patch_shuffle", world=APART) == 0
    assert effect("shape", "patch_shuffle", world=APART) > 0.3


@pytest.mark.parametrize("reader", READERS)
def test_do_has_effect_1_on_whoever_reads_the_variable_and_0_on_all_others(reader: str) -> None:
    for variable in READERS:
        expected = 1.0 if variable == reader else 0.0
        assert effect(reader, "do", world=APART, variable=variable) == expected, variable
        assert effect(reader, "do", world=APART, variable=variable, how="edit") == expected, variable


def test_what_follows_from_a_variable_follows_under_do_and_not_under_edit() -> None:
    assert effect("background", "do", variable="shape") == 1
    assert effect("background", "do", variable="shape", how="edit") == 0


@pytest.mark.parametrize("reader", READERS)
def test_an_attack_on_a_network_without_gradients_is_refused(reader: str) -> None:
    with pytest.raises(Unsuitable, match="the network's gradient is 0 at all of 60 images"):
        answers(reader, Change("pgd"), WORLD, True)
