"""Every change on the shelf keeps the contract: images stay images, chance follows the id, nothing given is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seewhy import interventions, shelf
from seewhy.interventions import Change
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Boxes, Preprocessing
from seewhy.worlds import World

NAMES = list(shelf.members("interventions"))
WORLD = World(background=0.5, mark=0.5, test=8, train=8)


class Small(nn.Module):
    """A network with all that a pass could leave changed: statistics, dropout, gradients."""

    classes = WORLD.values("label")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            parts = nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(196, 2)
            self.body = nn.Sequential(*parts)

    def forward(self, image):
        return self.body(image)


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
    network = Small().train()
    task = Classify(WORLD.values("label"), Preprocessing((32, 32)))
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
    for change in changes(name):
        change.apply(batch_of(), seed=0, **handed)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def square_of(left: int, top: int, right: int, bottom: int) -> Batch:
    """Images that are their own masks: a white rectangle, with its box."""
    masks = torch.zeros(4, 32, 32, dtype=torch.bool)
    masks[:, top:bottom, left:right] = True
    boxes = Boxes(torch.tensor([[left, top, right, bottom]]).float(), ("square",))
    image = masks[:, None].float().expand(-1, 3, -1, -1).contiguous()
    return Batch(WORLD.ids("test")[:4], {"image": image}, torch.zeros(4, dtype=torch.int64), (), masks, (boxes,) * 4)


def bounds(mask: torch.Tensor) -> list[int]:
    """Left, top, right, bottom of what is set."""
    columns, rows = mask.any(0).nonzero(), mask.any(1).nonzero()
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize("name", NAMES)
def test_masks_and_boxes_go_where_the_image_goes(name):
    batch = square_of(9, 12, 20, 22)
    handed = {**given(), "donors": batch}
    for change in changes(name):
        after = change.apply(batch, seed=0, **handed)
        moved = after.masks is not None and not torch.equal(after.masks, batch.masks)
        if not moved or change.needs & {"world"}:
            continue
        assert torch.equal(after.masks, after.inputs["image"][:, 0] >= 0.5), change
        for mask, boxes in zip(after.masks, after.boxes, strict=True):
            if boxes is not None:  # around all of it, and for a turned one, whose corners are empty, a little more
                off = boxes.corners[0] - torch.tensor(bounds(mask)).float()
                assert (off[:2] <= 0.5).all(), change
                assert (off[2:] >= -0.5).all(), change
                assert off.abs().max() <= (6 if name == "rotate" else 1), change


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
