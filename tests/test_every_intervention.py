"""Every change on the shelf keeps the contract: images stay images, chance follows the id, nothing given is touched."""

from __future__ import annotations

import pytest
import torch

from seewhy import handwritten, hooks, interventions, shelf
from seewhy.interventions import Change
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Boxes
from seewhy.worlds import World

NAMES = list(shelf.members("interventions"))
WORLD = World(background=0.5, mark=0.5, test=8, train=8)


def batch_of(split: str = "test", masks: bool = True) -> Batch:
    """Eight scenes of a made world, with the masks of their shapes."""
    ids = WORLD.ids(split)
    scene = WORLD.scene(ids)
    places = [list(scene.world.values("label")).index(label) for label in scene["label"]]
    return Batch(
        ids,
        {"image": scene.images()},
        torch.tensor(places),
        tags=({},) * len(ids),
        masks=torch.from_numpy(scene.masks()) if masks else None,
        boxes=tuple(Boxes(torch.from_numpy(box).float()[None], ("shape",)) for box in scene.boxes()),
    )


def given() -> dict[str, object]:
    """All that any change may ask for."""
    network = handwritten.reads_background()
    task = Classify(network.classes, network.preprocessing)
    return {"donors": batch_of("train"), "network": network, "task": task, "world": WORLD}


def changes(name: str) -> list[Change]:
    """The change as it is, at each of its usual strengths, and its placebo."""
    module = shelf.load("interventions", name)
    found = [Change(name)] + [Change(name, strength) for strength in getattr(module, "strengths", ())]
    return found + ([Change(name, placebo=True)] if hasattr(module, "placebo") else [])


@pytest.mark.parametrize("name", NAMES)
def test_a_change_says_what_it_changes_and_keeps_and_what_it_needs(name):
    member, module = shelf.members("interventions")[name], shelf.load("interventions", name)
    assert member.question.endswith("?")
    assert module.changes
    assert module.keeps
    assert isinstance(module.exact, bool)
    assert set(getattr(module, "needs", ())) <= set(interventions.NEEDS)
    assert getattr(module, "donors", "any") in ("other", "same", "any")
    assert {"strength", "seed"} <= {setting.name for setting in member.settings}
    strengths = getattr(module, "strengths", ())
    assert list(strengths) == sorted(strengths)


@pytest.mark.parametrize("name", NAMES)
def test_images_stay_images_and_what_was_given_stays_as_it_was(name):
    for masks in (True, False):
        batch, kept = batch_of(masks=masks), batch_of(masks=masks)
        handed = given()
        for change in changes(name):
            after = change.apply(batch, seed=0, **handed)
            image = after.inputs["image"]
            assert image.shape == batch.inputs["image"].shape, change
            assert image.dtype == torch.float32, change
            assert torch.isfinite(image).all(), change
            assert image.min() >= 0 and image.max() <= 1, change  # noqa: PT018
            assert after.ids == batch.ids
            assert torch.equal(after.targets, batch.targets)
            assert (after.masks is None) == (batch.masks is None) or "masks" in change.needs
            assert torch.equal(batch.inputs["image"], kept.inputs["image"]), f"{change} wrote into its input"
            assert torch.equal(handed["donors"].inputs["image"], batch_of("train").inputs["image"]), change


@pytest.mark.parametrize("name", NAMES)
def test_some_image_changes_at_the_usual_strength(name):
    batch = batch_of()
    after = Change(name).apply(batch, seed=0, **given()).inputs["image"]
    assert (after - batch.inputs["image"]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_chance_follows_the_id_and_not_the_place_in_the_batch(name):
    batch, handed = batch_of(), given()
    order = [5, 0, 3]
    part = {**handed, "donors": handed["donors"].rows(order)}
    for change in changes(name):
        whole = change.apply(batch, seed=1, **handed).inputs["image"][order]
        assert torch.allclose(change.apply(batch.rows(order), seed=1, **part).inputs["image"], whole, atol=1e-5), change


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_and_the_network_are_as_they_were(name):
    handed = given()
    network = handed["network"]
    state = torch.get_rng_state()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    with hooks.frozen(network):
        for change in changes(name):
            change.apply(batch_of(), seed=0, **handed)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_change_that_is_not_there_and_a_setting_it_has_not_are_named():
    with pytest.raises(KeyError, match="No intervention 'gray'. Did you mean 'grey'?"):
        Change("gray")
    with pytest.raises(ValueError, match="The intervention 'transplant' has no setting 'rows'. Did you mean 'row'?"):
        Change("transplant", settings=(("rows", 1),))
    with pytest.raises(ValueError, match="The intervention 'grey' has no placebo"):
        Change("grey", placebo=True)
    with pytest.raises(ValueError, match="The intervention 'transplant' needs donors, and none was given"):
        Change("transplant").apply(batch_of())


def test_conditions_tell_changes_apart():
    told = [
        Change("grey"),
        Change("grey", 0.5),
        Change("transplant", settings=(("row", 1), ("column", 2))),
        Change("transplant", placebo=True),
    ]
    assert list(map(str, told)) == ["grey", "grey:0.5", "transplant:row=1,column=2", "placebo of transplant"]


def test_donors_are_of_another_class_the_same_or_any_and_never_the_image_itself():
    pool_ids, pool_targets = ["a", "b", "c", "d"], ["cat", "cat", "dog", "dog"]
    ids, targets = ["a", "x", "c", "y"], ["cat", "dog", "dog", None]
    for seed in range(20):
        other = interventions.pair(ids, targets, pool_ids, pool_targets, which="other", seed=seed)
        assert [pool_targets[place] for place in other[:3]] == ["dog", "cat", "cat"]
        same = interventions.pair(ids, targets, pool_ids, pool_targets, which="same", seed=seed)
        assert [pool_ids[place] for place in (same[0], same[2])] == ["b", "d"]
    alone = interventions.pair(["x"], ["bird"], pool_ids, pool_targets, which="same")
    assert 0 <= alone[0] < 4
    with pytest.raises(ValueError, match="There is no image to borrow from"):
        interventions.pair(["x"], ["cat"], [], [])
