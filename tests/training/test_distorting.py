"""RandAugment: two changes an image, as strong as asked, and the same in any batch."""

import pytest
import torch

from seewhy.training.distorting import DRAWS, KINDS, distort


def make_images(count=80, side=12):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=generator) * 0.7 + 0.1
    return images, torch.rand(count, DRAWS, generator=generator)


def drawing(kind, sign, count):
    """Numbers that choose one kind of change in one direction, and after it nothing."""
    row = [(kind + 0.5) / len(KINDS), 0.25 if sign > 0 else 0.75, 0.0, 0.25]
    return torch.tensor([row] * count)


def test_an_image_is_changed_the_same_way_in_any_batch():
    images, draws = make_images()
    together = distort(images, 9.0, draws)
    for place in range(0, 80, 7):
        alone = distort(images[place : place + 1], 9.0, draws[place : place + 1])
        assert torch.equal(alone[0], together[place])


def test_images_stay_images_and_the_ones_given_stay_as_they_were():
    images, draws = make_images()
    before = images.clone()
    changed = distort(images, 10.0, draws)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", range(3, 12))
def test_each_change_grows_with_the_strength(kind):
    images, _ = make_images(4)
    moved = [(distort(images, strength, drawing(kind, 1, 4)) - images).abs().mean() for strength in (0.0, 3.0, 10.0)]
    assert moved[0] < 0.003  # at most a level of 256
    assert moved[0] <= moved[1] <= moved[2]
    assert moved[2] > 0.01


def test_what_has_a_direction_goes_both_ways_and_what_has_none_does_not():
    images, _ = make_images(4)
    alike = []
    for kind in range(len(KINDS)):
        one, other = (distort(images, 6.0, drawing(kind, sign, 4)) for sign in (1, -1))
        alike.append(torch.equal(one, other))
    assert [kind for kind, same in enumerate(alike) if same] == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("kind", [12, 13])
def test_a_shift_goes_as_far_as_it_says_and_brings_in_grey(kind):
    images, _ = make_images(1, side=20)
    moved = distort(images, 10.0, drawing(kind, 1, 1))
    if kind == 13:  # down rather than to the right
        images, moved = images.transpose(2, 3), moved.transpose(2, 3)
    assert torch.allclose(moved[..., 9:], images[..., :11], atol=1e-5)
    assert torch.allclose(moved[..., :9], torch.full_like(moved[..., :9], 0.5), atol=1e-5)


def test_every_change_is_chosen_about_as_often_as_any_other():
    _, draws = make_images(1400)
    counts = torch.bincount((draws[:, 0] * len(KINDS)).long(), minlength=len(KINDS))
    assert len(KINDS) == 14
    assert counts.min() > 60
