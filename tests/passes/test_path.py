"""Paths are walked in as many steps as it takes to be complete."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seewhy import passes
from seewhy.passes.path import ExpectedGradients, PathGradients
from seewhy.types import Batch, Question

SUM = Question("the sum", lambda output: output)
BATCH = Batch(ids=("a", "b"), inputs={"image": torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))})


class Power(nn.Module):
    """The sum of all values to some power, and how many examples it has seen."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power, self.rows = power, 0

    def forward(self, image: Tensor) -> Tensor:
        self.rows += len(image)
        return image.pow(self.power).sum((1, 2, 3))


def test_a_linear_network_is_complete_after_the_first_steps_and_a_curved_one_takes_more() -> None:
    for power, steps in ((1, 8), (4, 16)):
        need = PathGradients(tolerance=0.005)
        found = passes.gather(Power(power), BATCH, SUM, [need])[need]
        assert found.steps == steps
        assert (found.gap.abs() <= 0.005 * found.change.abs()).all()
        assert torch.allclose(found.change, Power(power)(*BATCH.inputs.values()), rtol=1e-5)  # black scores 0


def test_doubled_steps_are_the_trapezium_rule_and_use_the_earlier_ones_again() -> None:
    need, network = PathGradients(tolerance=0.0, most=32), Power(3)
    found = passes.gather(network, BATCH, SUM, [need])[need]
    places = torch.arange(33) / 32
    weights = torch.where((places == 0) | (places == 1), 0.5, 1.0) / 32
    expected = sum(w * 3 * (t * found.input).square() for t, w in zip(places, weights, strict=True))
    assert torch.allclose(found.gradient, expected, atol=1e-6)
    assert network.rows == 2 * (33 + 1)  # each place once, and the inputs as they are


def test_the_forecast_bounds_what_a_path_costs() -> None:
    for need in (PathGradients(tolerance=0.0, most=64), PathGradients(steps=5), PathGradients()):
        evidence = passes.gather(Power(3), BATCH, SUM, [need])
        forecast = passes.forecast(Power(3), BATCH, SUM, [need])
        assert evidence.forwards <= forecast.passes.forwards
        assert evidence.backwards <= forecast.passes.backwards


def test_a_path_too_short_to_be_doubled_is_an_error() -> None:
    with pytest.raises(ValueError, match="A path of at most 7 steps is too short; `most` must be 8 or more"):
        passes.gather(Power(1), BATCH, SUM, [PathGradients(most=7)])


def test_random_places_on_the_way_agree_with_even_ones_in_the_mean() -> None:
    need = ExpectedGradients(samples=2000, spread=0.0)
    found = passes.gather(Power(3), BATCH, SUM, [need])[need]
    exact = BATCH.inputs["image"].pow(3)
    assert ((found.attribution - exact).abs() <= 0.1 * exact + 1e-6).all()


def test_the_path_starts_from_the_filling() -> None:
    need = PathGradients(fill="mean")
    found = passes.gather(Power(1), BATCH, SUM, [need])[need]
    assert torch.allclose(found.start, BATCH.inputs["image"].mean((2, 3), keepdim=True).expand(-1, -1, 4, 4))
    assert torch.allclose(found.change, torch.zeros(2), atol=1e-4)
