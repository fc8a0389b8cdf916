"""Measures where the answer is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from seewhy import measures, shelf
from seewhy.measures._likeness import rank_correlation
from seewhy.passes.fillings import imputed
from seewhy.types import Batch, Question

ANY = (shelf.load("explainers", "gradient"), {})


class Sum(nn.Module):
    """The sum of all values, each by its own weight."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image):
        return (image * self.weight).sum((1, 2, 3))[:, None]


def trial(heat, weight=None, image=None):
    weight = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) if weight is None else weight
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) if image is None else image
    batch = Batch(("a", "b"), {"image": image})
    maps = heat(weight, image)
    asked = Question("the sum", lambda output: output[:, 0])
    return measures.Trial(Sum(weight), batch, asked, dict.fromkeys(maps, ANY), maps)


def run(name, given, **settings):
    with given.looking():
        return shelf.load("measures", name).measure(given, **settings)


def exact(weight, image):
    """What each pixel is worth against black."""
    return {"exact": (weight * image).sum(1), "against": -(weight * image).sum(1)}


def test_of_a_sum_the_map_of_its_terms_is_wholly_faithful():
    given = trial(exact)
    assert run("mu_fidelity", given, fill="black") == pytest.approx(np.array([[1, 1], [-1, -1]]), abs=1e-5)
    assert run("infidelity", given, fill="black").abs().max() < 1e-5


def test_deletion_of_equal_pixels_takes_half_and_insertion_gives_half():
    even = trial(lambda w, x: {"noise": torch.rand(2, 8, 8)}, torch.ones(3, 8, 8), torch.ones(2, 3, 8, 8))
    assert run("deletion", even, fill="black") == pytest.approx(np.full((1, 2), 0.5), abs=1e-5)
    assert run("insertion", even, fill="black") == pytest.approx(np.full((1, 2), 0.5), abs=1e-5)


def test_deletion_is_the_area_under_the_curve():
    """Written out slowly, a step at a time."""
    given = trial(exact)
    weight, image = given.network.weight.detach(), given.image
    for row in range(2):
        worth = (weight * image[row]).sum(0).flatten()
        order = worth.argsort(descending=True)
        left = [float(worth.sum() - worth[order[: 4 * step]].sum()) for step in range(17)]
        area = np.trapezoid(left, dx=1 / 16) / left[0]
        assert float(run("deletion", given, fill="black")[0, row]) == pytest.approx(area, abs=1e-5)


def test_a_score_that_covering_does_not_lower_is_not_measured():
    falling = trial(exact, weight=-torch.ones(3, 8, 8))
    assert run("deletion", falling, fill="black").isnan().all()


def test_rank_correlation_is_that_of_scipy_with_ties():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 5, (2, 3, 2, 6, 7)).astype(np.float32)
    found = rank_correlation(torch.from_numpy(a), torch.from_numpy(b))
    slow = [
        [stats.spearmanr(x.ravel(), y.ravel())[0] for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)
    ]
    assert found.numpy() == pytest.approx(np.array(slow), abs=1e-6)
    assert rank_correlation(torch.ones(1, 1, 2, 2), torch.rand(1, 1, 2, 2)).isnan().all()


def test_hidden_pixels_of_a_slope_come_back_as_the_slope():
    """A plane is the mean of its neighbours everywhere, so it solves the system exactly."""
    plane = (torch.arange(12.0)[:, None] * 0.03 + torch.arange(12.0) * 0.05).expand(2, 3, 12, 12)
    hidden = torch.zeros(2, 12, 12, dtype=torch.bool)
    hidden[0, 3:7, 2:9] = hidden[1, 5, 5] = True
    found = imputed(plane, hidden, noise=0.0)
    torch.testing.assert_close(found, plane, atol=1e-3, rtol=0)
    assert not imputed(plane, hidden)[0, :, 3:7, 2:9].equal(plane[0, :, 3:7, 2:9])  # a little noise


def test_where_all_is_hidden_the_mean_comes_back():
    image = torch.rand(1, 3, 6, 6)
    found = imputed(image, torch.ones(1, 6, 6, dtype=torch.bool), noise=0.0)
    torch.testing.assert_close(found, image.mean((2, 3), keepdim=True).expand_as(image))


def test_one_pixel_is_simplest_and_an_even_map_most_complex():
    one = torch.zeros(2, 8, 8)
    one[:, 3, 3] = 5.0
    found = run(
        "complexity", trial(lambda w, x: {"one": one, "even": torch.ones(2, 8, 8), "none": torch.zeros(2, 8, 8)})
    )
    assert found[0].tolist() == [0, 0]
    assert found[1].tolist() == pytest.approx([1, 1])
    assert found[2].isnan().all()
