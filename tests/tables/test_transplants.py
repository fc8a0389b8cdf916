"""Transplants into networks that were written by hand do what is written; what repeats is a mark, and what does not none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seewhy.audits import shortcuts
from seewhy.tables import transplants
from seewhy.types import Batch, Need, Tables, finished
from seewhy.worlds import drawing, handwritten

NEED = Need("transplants")


def made(asked, world, network):
    """The table, and for each region the effects of its transplants and of their placebos."""
    plan = asked(world, f"seewhy.worlds.handwritten:{network}")
    table = finished(plan.make(NEED))
    trials = {name: np.array(values) for name, values in table["trials"].items()}
    return table, [trials["effect"][trials["region"] == place] for place in range(len(table["regions"]))], trials


def test_a_mark_is_found_by_its_pixels_and_nothing_else_moves_a_network_that_reads_it(asked):
    table, effects, trials = made(asked, "made:mark=0.9,train=200,test=80", "reads_mark")
    mark = table["regions"][-1]
    rows, columns = drawing.mark_at(32)
    assert (mark["kind"], mark["label"]) == ("mark", "cross")
    assert (mark["top"], mark["left"]) == (rows.start - 1, columns.start - 1)  # with a seam of one pixel
    assert (mark["bottom"], mark["right"]) == (rows.stop + 1, columns.stop + 1)
    assert mark["share"] > 0.85
    assert mark["elsewhere"] < 0.15
    assert set(np.abs(effects[-1])) == {0.0, 2 * handwritten.STRENGTH}
    assert set(np.abs(effects[0])) == {0.0, 2 * handwritten.STRENGTH}  # the cell that holds it
    assert all((moved == 0).all() for moved in effects[1:-1])  # all other cells, and the frame, which leaves it out
    assert not (trials["turned"] & (trials["effect"] <= 0)).any()
    found = list(shortcuts.check(Tables({NEED: table}, ("cross", "disc"))))
    assert [each.id for each in found] == ["shortcuts:mark:cross"]
    assert "A mark in the upper left corner (6 x 6 pixels) stands in for 'cross'" in found[0].statement
    assert found[0].severity == "critical"


def test_of_a_network_that_reads_the_background_the_border_is_named_and_of_one_that_reads_colours_nothing(asked):
    world = "made:background=0.95,colour=0.95,train=200,test=80"
    table, effects, _ = made(asked, world, "reads_background")
    assert [each["kind"] for each in table["regions"]] == ["cell"] * 16 + ["frame"]
    assert np.abs(effects[16]).max() == 2 * handwritten.STRENGTH
    found = list(shortcuts.check(Tables({NEED: table}, ("cross", "disc"))))
    assert found[0].id.startswith("shortcuts:surroundings:")
    table, effects, _ = made(asked, world, "reads_colour")
    assert not effects[16].any()
    assert [each.id for each in shortcuts.check(Tables({NEED: table}, ("cross", "disc")))] == ["shortcuts:none"]


@pytest.mark.parametrize(("ground", "reached"), [("black", True), ("noise", False)])
def test_what_is_drawn_up_to_the_border_of_a_plain_ground_is_the_object(ground, reached):
    random = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 32, 32, generator=random) if ground == "noise" else torch.zeros(20, 3, 32, 32)
    images[:, :, 6:26, 6:26] = 0.5
    stroke = images.clone()
    stroke[:, :, :2, 8:24] = 1.0
    frame = transplants._frame(32, 32, np.ones((32, 32), bool))
    plain, drawn = (
        transplants._told([frame], Batch(ids=tuple(map(str, range(20))), inputs={"image": each}))[0]
        for each in (images, stroke)
    )
    assert drawn["covered"] is None
    assert (drawn["guessed"] > shortcuts.REACHED) is reached
    if ground == "black":
        assert plain["guessed"] <= shortcuts.REACHED


def test_pairs_are_of_two_classes_and_the_placebo_of_one_and_no_image_comes_twice(asked):
    plan = asked("made:train=60,test=40", "seewhy.worlds.handwritten:reads_mark")
    dataset = plan.material.dataset
    test, train = dataset.split("test"), dataset.split("train")
    pairs = transplants._pairs(test, train, test.classes, 24, 0)
    assert len({pair.image for pair in pairs}) == len(pairs) == 24
    for pair in pairs:
        assert train.targets[pair.other] != test.targets[pair.image] == train.targets[pair.same]
    assert pairs[:10] == transplants._pairs(test, train, test.classes, 10, 0)


def noise(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (count, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 1.0])
def test_a_patch_that_repeats_in_one_class_is_a_mark(share):
    own, others = noise(100, 1), noise(100, 2)
    own[: int(100 * share), 26:30, 26:31] = 255
    found = transplants.repeated(own, others)
    assert found[1:5] == (25, 25, 31, 32)
    assert found.share == pytest.approx(share)
    assert found.elsewhere == 0


def test_what_others_have_too_or_lies_in_the_middle_or_all_around_is_no_mark():
    plain, both, middle, around = noise(60, 1), noise(60, 1), noise(60, 1), noise(60, 1)
    others, with_it = noise(60, 2), noise(60, 2)
    both[:, :5, :5] = with_it[:30, :5, :5] = 255
    middle[:, 14:18, 14:18] = 255
    around[:, :3] = around[:, -3:] = around[:, :, :3] = around[:, :, -3:] = 255
    for own, of_others in ((plain, others), (both, with_it), (middle, others), (around, others)):
        assert transplants.repeated(own, of_others) is None


def test_on_bare_ground_a_class_without_ink_where_others_have_some_has_no_mark():
    own, others = np.zeros((60, 32, 32, 3), np.uint8), np.zeros((60, 32, 32, 3), np.uint8)
    others[:, 26:30, 20:26] = 255
    assert transplants.repeated(own, others) is None
    assert transplants.repeated(others, own) is not None
