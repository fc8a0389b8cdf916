"""Where the object is: drawn, in a box, or guessed; and room beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seewhy.images import objects
from seewhy.types import Batch, Boxes
from seewhy.worlds import World


def scenes(**knobs: object) -> tuple[torch.Tensor, torch.Tensor]:
    world = World(test=64, **knobs)
    scene = world.scene(world.ids("test"))
    return scene.images(), torch.from_numpy(scene.masks())


def overlap(guessed: torch.Tensor, masks: torch.Tensor) -> float:
    return ((guessed & masks).sum((1, 2)) / (guessed | masks).sum((1, 2))).mean().item()


@pytest.mark.parametrize(("knobs", "least"), [({}, 0.78), ({"classes": 4, "mark": 0.5}, 0.78), ({"side": 64}, 0.87)])
def test_the_shape_of_a_made_world_is_guessed(knobs, least):
    images, masks = scenes(**knobs)
    guessed = objects.guess(images)
    assert overlap(guessed, masks) > least
    assert ((guessed & masks).sum((1, 2)) / guessed.sum((1, 2)) > 0.9).all()


def test_a_guess_is_the_same_whatever_else_is_in_the_batch():
    images, _ = scenes()
    whole = objects.guess(images)
    assert torch.equal(objects.guess(images[[5, 2]]), whole[[5, 2]])


def test_where_nothing_stands_out_nothing_is_guessed_and_the_middle_is_taken():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(16, 3, 32, 32, generator=generator)
    even = torch.full((2, 3, 32, 32), 0.5)
    assert not objects.guess(noise).any()
    assert not objects.guess(even).any()
    taken = objects.found(Batch(("a", "b"), {"image": even}))
    assert taken[0, 16, 16]
    assert not taken[0, 0].any()
    assert taken.float().mean() == pytest.approx(np.pi / 16, abs=0.01)


def test_a_hole_in_the_object_is_of_the_object_and_a_speck_beside_it_is_not():
    image = torch.full((1, 3, 32, 32), 0.4)
    image[:, :, 8:24, 8:24] = 0.9
    image[:, :, 14:18, 14:18] = 0.4
    image[:, :, 4:6, 27:29] = 0.9
    guessed = objects.guess(image)[0]
    assert guessed[16, 16]
    assert not guessed[5, 28]


def test_a_mask_goes_before_a_box_and_a_box_before_a_guess():
    images, masks = scenes()
    masks = masks[:3].clone()
    masks[1:] = False
    box = Boxes(torch.tensor([[3.5, 4.0, 10.0, 9.2]]), ("shape",))
    batch = Batch(tuple("abc"), {"image": images[:3]}, masks=masks, boxes=(box, box, None))
    found = objects.found(batch)
    assert objects.known(batch).tolist() == [True, True, False]
    assert torch.equal(found[0], masks[0])
    assert found[1].nonzero().amin(0).tolist() == [4, 3]
    assert found[1].nonzero().amax(0).tolist() == [9, 9]
    assert torch.equal(found[2], objects.guess(images[2:3])[0])
    assert not masks[1:].any(), "what was given is as it was"


def test_a_region_is_moved_whole_to_where_it_touches_nothing():
    _, masks = scenes()
    ids = tuple(f"test/{row}" for row in range(len(masks)))
    there = objects.elsewhere(masks, masks, ids, seed=0)
    assert not (there & masks).any()
    assert torch.equal(there.sum((1, 2)), masks.sum((1, 2)))
    again = objects.elsewhere(masks[[7, 3]], masks[[7, 3]], (ids[7], ids[3]), seed=0)
    assert torch.equal(again, there[[7, 3]])
    assert not torch.equal(objects.elsewhere(masks, masks, ids, seed=1), there)


def test_all_places_are_as_likely_and_without_room_a_part_is_left_out():
    region = torch.zeros(600, 6, 6, dtype=torch.bool)
    region[:, 0, 0] = True
    avoid = torch.ones_like(region)
    free = [(1, 2), (3, 5), (5, 0)]
    for row, column in free:
        avoid[:, row, column] = False
    there = objects.elsewhere(region, avoid, tuple(map(str, range(600))), seed=0)
    counts = [int(there[:, row, column].sum()) for row, column in free]
    assert sum(counts) == 600
    assert min(counts) > 160  # 200 expected, spread 11.5
    wide = torch.zeros(1, 6, 6, dtype=torch.bool)
    wide[:, :4] = True
    left = objects.elsewhere(wide, wide, ("a",), seed=0)
    assert left.sum() == 12  # the two rows that are left
    assert not (left & wide).any()
