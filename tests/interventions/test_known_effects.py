"""Changes of which the effect on a handwritten network is known to the last decision."""

from __future__ import annotations

import pytest
import torch

from seewhy import handwritten, interventions
from seewhy.interventions import Change
from seewhy.tasks.classify import Classify
from seewhy.types import Batch
from seewhy.worlds import World

#: Background, mark and label go together, so that a donor of another class brings another of each.
WORLD = World(background=1.0, mark=1.0, test=200, train=400, grain=10)


def batch_of(world: World, split: str, masks: bool = True) -> Batch:
    ids = world.ids(split)
    scene = world.scene(ids)
    places = [world.values("label").index(label) for label in scene["label"]]
    drawn = torch.from_numpy(scene.masks()) if masks else None
    return Batch(ids, {"image": scene.images()}, torch.tensor(places), masks=drawn)


def donors_for(batch: Batch, pool: Batch, which: str) -> Batch:
    places = interventions.pair(batch.ids, batch.targets.tolist(), pool.ids, pool.targets.tolist(), which=which)
    return pool.rows(places.tolist())


def effect(network: torch.nn.Module, change: Change, *, world: World = WORLD, masks: bool = True) -> float:
    """The share of images whose answer changes."""
    batch, pool = batch_of(world, "test", masks), batch_of(world, "train", masks)
    which = "same" if change.placebo else getattr(change.module, "donors", "any")
    given = {
        "donors": donors_for(batch, pool, which),
        "network": network,
        "task": Classify(network.classes, network.preprocessing),
        "world": world,
    }
    after = change.apply(batch, seed=0, **given)
    before = network(**batch.inputs).argmax(1)
    return (network(**after.inputs).argmax(1) != before).double().mean().item()


READERS = {
    "object": handwritten.reads_object(),
    "colour": handwritten.reads_colour(),
    "background": handwritten.reads_background(),
    "mark": handwritten.reads_mark(),
}


@pytest.mark.parametrize("name", READERS)
def test_another_background_changes_every_answer_of_whoever_reads_it_and_no_other(name: str) -> None:
    # The mark lies in the background, so it goes with it.
    expected = {"object": 0, "colour": 0, "background": 1, "mark": 1}[name]
    assert effect(READERS[name], Change("background")) == expected
    assert effect(READERS[name], Change("background", placebo=True)) == 0


@pytest.mark.parametrize("fill", ["inpaint", "mean", "blur", "black"])
def test_an_object_taken_away_changes_no_answer_of_whoever_reads_something_else(fill: str) -> None:
    change, placebo = (Change("object", settings=(("fill", fill),), placebo=placebo) for placebo in (False, True))
    for name in ("background", "mark"):
        assert effect(READERS[name], change) == 0, name
    assert effect(READERS["object"], placebo) == 0


def test_without_the_object_whoever_reads_it_answers_one_class_for_all() -> None:
    batch = batch_of(WORLD, "test")
    after = Change("object").apply(batch)
    assert (READERS["object"](**after.inputs) - READERS["object"](**after.inputs)[:1]).abs().max() < 1e-6


if __name__ == "__main__":
    for name, network in READERS.items():
        for change in (Change("background"), Change("background", placebo=True), Change("object"), Change("object", placebo=True), *(Change("background", settings=(("into", i),)) for i in ("plain","blurred")), *map(Change,("translate","flip","rotate","scale"))):
            print(name, change, effect(network, change), "guessed", effect(network, change, masks=False))
