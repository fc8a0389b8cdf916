"""A budget is kept, a forecast is kept to, and maps get better while they are waited for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy import passes, shelf
from seewhy.passes.budget import Budget, free_bytes
from seewhy.passes.designs import SHARED
from seewhy.passes.gradients import InputGradients
from seewhy.passes.masks import MaskScores
from seewhy.passes.noise import NoisyGradients
from seewhy.passes.path import PathGradients
from seewhy.types import Batch, Question

QUESTION = Question("one", lambda output: output[:, 1])
BATCH = Batch(ids=("a",), inputs={"image": torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))})


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


@pytest.mark.parametrize(
    ("text", "seconds", "forwards"),
    [(None, float("inf"), float("inf")), ("2 s", 2, float("inf")), ("1.5min", 90, float("inf")), (" .5 s ", 0.5, float("inf")),
     ("300 forwards", float("inf"), 300), ("250 ms", 0.25, float("inf"))],
)  # fmt: skip
def test_a_budget_is_a_time_or_a_number_of_passes(text: str | None, seconds: float, forwards: float) -> None:
    budget = Budget.of(text)
    assert (budget.seconds, budget.passes) == (seconds, forwards)


@pytest.mark.parametrize("text", ["much", "2", "-1 s", "0 s", "2 hours", "", "s"])
def test_anything_else_is_an_error_that_shows_what_a_budget_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="it must be a time or a number of passes: '2 s', '300 forwards'"):
        Budget.of(text)


@pytest.mark.parametrize("forwards", [3, 20, 60, 200])
def test_no_more_passes_are_spent_than_the_budget_has(forwards: int) -> None:
    needs = [PathGradients(), MaskScores(SHARED), NoisyGradients(), InputGradients()]
    evidence = passes.gather(Small(), BATCH, QUESTION, needs, budget=f"{forwards} forwards")
    assert evidence.spent.total <= forwards
    assert InputGradients() in evidence.gathered  # what is cheap comes first
    assert evidence.absent.keys() | evidence.gathered.keys() == set(needs)
    assert not evidence.partial & evidence.absent.keys()
    if forwards < 40:
        assert evidence.partial | evidence.absent.keys() == set(needs) - {InputGradients()}


def test_a_sample_that_is_cut_short_is_a_smaller_sample() -> None:
    need = MaskScores(SHARED)
    evidence = passes.gather(Small(), BATCH, QUESTION, [need], budget="101 forwards")
    whole = passes.gather(Small(), BATCH, QUESTION, [need])[need]
    assert evidence.partial == {need}
    assert len(evidence[need].scores) == 100
    assert torch.allclose(evidence[need].scores, whole.scores[:100], atol=1e-6)


def test_what_the_budget_does_not_reach_says_so_where_it_is_read() -> None:
    evidence = passes.gather(Small(), BATCH, QUESTION, [InputGradients(), NoisyGradients()], budget="2 forwards")
    with pytest.raises(passes.Unsuitable, match="The budget was spent before there were NoisyGradients"):
        evidence[NoisyGradients()]


def test_maps_get_better_while_they_are_waited_for() -> None:
    methods: dict[str, Any] = {
        name: (shelf.load("explainers", name), {}) for name in ("gradient", "occlusion", "smooth_grad")
    }
    work = passes.explaining(Small(), BATCH, QUESTION, methods, chunk=8)
    sketches: list[passes.Sketch] = []
    while True:
        try:
            sketches.append(next(work))
        except StopIteration as end:
            final: passes.Explained = end.value
            break
    assert [sketch.done for sketch in sketches] == sorted(sketch.done for sketch in sketches)
    assert sketches[-1].done <= sketches[-1].total
    assert set(sketches[0].heat) == {"gradient"}
    drawn = [sketch.heat["occlusion"] for sketch in sketches if "occlusion" in sketch.heat]
    assert len(drawn) > 3
    errors = [(heat - final.heat["occlusion"]).abs().mean().item() for heat in drawn]
    assert errors[-1] == 0
    assert errors[0] > errors[-2] > 0


def test_the_network_may_be_used_and_the_work_given_up_between_two_steps() -> None:
    network = Small().train()
    work = passes.gathering(network, BATCH, QUESTION, [NoisyGradients()], chunk=2)
    next(work)
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    network(BATCH.inputs["image"]).sum().backward()
    work.close()
    assert all(not module._forward_hooks for module in network.modules())


def test_a_forecast_tells_time_and_memory_beforehand() -> None:
    cheap = passes.forecast(Small(), BATCH, QUESTION, [InputGradients()])
    dear = passes.forecast(Small(), BATCH, QUESTION, [MaskScores(SHARED), NoisyGradients()])
    assert dear.passes.total == 1 + 21 * 50 + 2 * 16
    assert dear.passes.total / cheap.passes.total > 100
    assert cheap.seconds > 0
    activations = 8 * 16 * 16 * 4
    assert activations < cheap.bytes < dear.bytes


def test_few_go_through_at_once_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    run = passes.Run(Small(), QUESTION, BATCH)
    monkeypatch.setattr("seewhy.passes.run.free_bytes", lambda device: 4 * 10 * run.bytes_an_example(graph=True))
    with torch.no_grad():
        assert run.rows_at_once(graph=True) == 10
        assert run.rows_at_once() >= 10  # without a graph less is kept
    assert 1e6 < free_bytes(torch.device("cpu")) < 1e15
