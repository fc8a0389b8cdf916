"""An image seen in several ways is answered by the mean, and the one as it is comes last."""

import pytest
import torch
from torch import nn

from seewhy.model.views import mean_over_views


def make_images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def left_minus_right(images):
    """Odd under mirrors, so that an image and its mirror cancel."""
    return (images[..., :8].mean((1, 2, 3)) - images[..., 8:].mean((1, 2, 3)))[:, None].repeat(1, 2)


@pytest.mark.parametrize(("views", "passes"), [("none", 1), ("flip", 2), ("crops", 10)])
def test_each_view_costs_a_pass_and_the_image_as_it_is_comes_last(views, passes):
    seen = []
    images = make_images()
    mean_over_views(lambda view: seen.append(view) or left_minus_right(view), images, views)
    assert len(seen) == passes
    assert torch.equal(seen[-1], images)
    assert {view.shape for view in seen} == {images.shape}


@pytest.mark.parametrize("views", ["flip", "crops"])
def test_what_depends_on_the_side_alone_cancels(views):
    images = make_images()
    assert left_minus_right(images).abs().max() > 0.01
    assert mean_over_views(left_minus_right, images, views).abs().max() < 1e-6


def test_corners_are_the_corners():
    images = torch.zeros(1, 3, 16, 16)
    images[..., :2, :2] = 1  # what only the corner at the top left, and the whole, take in
    seen = []
    mean_over_views(lambda view: seen.append(view) or view.mean((2, 3)), images, "crops")
    assert [bool(view.sum() > 0.01) for view in seen] == [True, True] + [False] * 6 + [True, True]


def test_what_is_not_one_row_of_logits_is_refused():
    with pytest.raises(ValueError, match="The views 'flip' are for networks that put out logits"):
        mean_over_views(nn.Identity(), make_images(), "flip")
