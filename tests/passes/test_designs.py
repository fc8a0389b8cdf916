"""Which masks are tried, and that one table serves all who read stars."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seewhy import passes, shelf
from seewhy.passes.designs import SHARED, Coalitions, Exchanges, Flips, SegmentMasks, Squares, Stars, Subsets, Windows
from seewhy.passes.heating import Methods
from seewhy.passes.masks import Design, MaskScores
from seewhy.passes.segments import Segments
from seewhy.types import Batch, Question

IMAGE = torch.rand(2, 3, 20, 26, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SOME = Segments(3, 4)
DESIGNS: dict[str, Callable[[int], Design]] = {
    "squares": lambda seed: Squares(6, 3),
    "halves": lambda seed: Subsets(SOME, 40, seed),
    "superpixels": lambda seed: Subsets(Segments(3, 4, "superpixels"), 40, seed),
    "coalitions": lambda seed: Coalitions(SOME, 41, seed),
    "windows": lambda seed: Windows(5, 40, 0.5, seed),
    "flips": lambda seed: Flips(SOME, 4, seed),
    "exchanges": lambda seed: Exchanges(SOME, 4),
}
METHODS = [
    name
    for name in shelf.members("explainers")
    if "design" in inspect.signature(shelf.load("explainers", name).heat).parameters
]


@pytest.mark.parametrize("name", DESIGNS)
def test_masks_are_the_same_for_a_seed_however_they_are_cut_and_in_any_company(name: str) -> None:
    masks = DESIGNS[name](0).draw(IMAGE)
    whole = masks.covered(slice(0, len(masks)))
    assert whole.shape[0] == len(masks)
    assert whole.shape[2:] == IMAGE.shape[2:]
    assert whole.min() >= 0
    assert whole.max() <= 1
    pieces = [masks.covered(slice(start, start + 7)) for start in range(0, len(masks), 7)]
    assert torch.equal(torch.cat(pieces), whole)
    alone = DESIGNS[name](0).draw(IMAGE[[1]])
    assert torch.equal(alone.covered(slice(0, 40))[:, -1], whole[:40, -1])
    if name not in ("squares", "exchanges"):
        assert not torch.equal(DESIGNS[name](1).draw(IMAGE).covered(slice(0, 40)), whole[:40])


def test_coalitions_come_in_pairs_as_often_as_the_shapley_kernel_weighs_their_size() -> None:
    drawn = Coalitions(Segments(7, 7), 20_001).draw(IMAGE)
    assert drawn.codes[0].all()
    pairs = drawn.codes[1:].unflatten(0, (-1, 2))
    assert torch.equal(pairs.sum(1), torch.ones(10_000, 49, dtype=torch.float64))
    sizes = drawn.codes[1:].sum(1).long().bincount(minlength=50)[1:49] / 20_000
    players = torch.arange(1, 49)
    kernel = 1 / (players * (49 - players))
    assert (sizes - kernel / kernel.sum()).abs().max() < 0.01
    assert sizes[0] > 0.1


def test_all_coalitions_are_tried_once_where_they_are_few() -> None:
    drawn = Coalitions(Segments(2, 2), 15).draw(IMAGE)
    assert len(drawn.codes.unique(dim=0)) == len(drawn) == 15  # all but "nothing covered", which is known
    of_size = {
        int(size): weight for size, weight in zip(drawn.codes[1:].sum(1), drawn.weights[1:].tolist(), strict=True)
    }
    assert of_size == pytest.approx({size: 3 / (math.comb(4, size) * size * (4 - size)) for size in (1, 2, 3)})


def test_windows_show_half_of_each_pixel_on_average_and_no_more_than_a_cell_sharply() -> None:
    masks = Windows(5, 3000).draw(IMAGE).covered(slice(0, 3000))
    assert (masks.mean((0, 1)) - 0.5).abs().max() < 0.05
    assert masks.diff(dim=3).abs().max() <= 1 / math.ceil(26 / 5) + 1e-6


def test_stars_turn_each_segment_once_about_centres_that_cover_from_none_to_all() -> None:
    design = Flips(Segments(7, 7), 9)
    codes = design.draw(IMAGE).codes.unflatten(0, (9, 50))
    centres, rays = codes[:, 0], codes[:, 1:]
    assert torch.equal((rays != centres[:, None]).double(), torch.eye(49, dtype=torch.float64).expand(9, -1, -1))
    assert not centres[0].any()
    assert centres[1].all()
    assert design.chances().sort().values.tolist() == [at / 8 for at in range(9)]
    assert (centres.mean(1) - design.chances()).abs().max() < 0.25


class Curved(nn.Module):
    """A score in which neighbours act together."""

    def forward(self, image: Tensor) -> Tensor:
        means = image.mean(1)
        return (means[:, 1:] * means[:, :-1]).sum((1, 2)) + means[:, :4].sum((1, 2)).square()


def asked() -> tuple[nn.Module, Batch, Question]:
    return Curved(), Batch(ids=("a", "b"), inputs={"image": IMAGE}), Question("it", lambda output: output)


def test_stars_read_a_table_as_the_effect_of_seeing_each_segment() -> None:
    network, batch, question = asked()
    need = MaskScores(Flips(SOME, 3), "black")
    table = passes.gather(network, batch, question, [need])[need]
    found = Stars.of(table)
    segments = SOME.of(IMAGE)[0]
    for centre in range(3):
        covered = table.masks.codes[13 * centre]
        for segment in range(12):
            with_it, without = covered.clone(), covered.clone()
            with_it[segment], without[segment] = 0, 1
            seen, hidden = (network(IMAGE * (1 - code[segments])) for code in (with_it, without))
            assert torch.allclose(found.effects[centre, segment], seen - hidden, atol=1e-9)
            assert torch.allclose(found.seen[centre, segment], seen, atol=1e-9)


def test_a_star_that_the_budget_cuts_counts_only_where_it_is_the_first() -> None:
    network, batch, question = asked()
    need = MaskScores(Flips(SOME, 3), "black")
    whole = Stars.of(passes.gather(network, batch, question, [need])[need])
    cut = Stars.of(passes.gather(network, batch, question, [need], budget="9 forwards")[need])  # baseline, centre, 7
    assert torch.equal(cut.effects[0, :7], whole.effects[0, :7])
    assert not cut.effects[0, 7:].any()
    two = Stars.of(passes.gather(network, batch, question, [need], budget="35 forwards")[need])
    assert torch.equal(two.effects, whole.effects[:2])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("design", ["own", "shared"])
def test_a_map_is_the_same_for_any_size_of_chunk(method: str, design: str) -> None:
    network, batch, question = asked()
    explainer = shelf.load("explainers", method)
    few = {"masks": 60, "points": 4, "side": 4}
    settings = {"design": design} | {
        name: value for name, value in few.items() if name in inspect.signature(explainer.heat).parameters
    }
    one, other = (
        passes.explain(
            network, batch, question, {"it": (explainer, settings)}, chunk=chunk, budget="120 forwards"
        ).heat["it"]
        for chunk in (30, 300)
    )
    assert torch.allclose(one, other, atol=1e-8 * one.abs().max())
    assert one.any()


def test_all_mask_methods_of_the_shared_design_cost_hardly_more_than_one_of_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
    network = network.double()
    batch, question = Batch(ids=("a",), inputs={"input": IMAGE[:1]}), Question("0", lambda output: output[:, 0])
    shared = {name: (shelf.load("explainers", name), {"design": "shared", "into": "input"}) for name in METHODS}
    assert len(shared) >= 6

    def cost(methods: Methods) -> tuple[int, float]:
        with FlopCounterMode(display=False) as counter:
            spent = passes.explain(network, batch, question, methods, budget="110 forwards").evidence.spent
        return counter.get_total_flops(), spent.total

    flops, spent = cost(shared)
    for name, method in shared.items():
        flops_alone, spent_alone = cost({name: method})
        assert spent == spent_alone == 110
        assert flops <= 1.05 * flops_alone
    every = passes.needs_of(*shared["rise"])
    assert passes.forecast(network, batch, question, every).passes.total == 1 + len(SHARED.draw(IMAGE))


def test_a_segments_value_is_laid_over_its_pixels() -> None:
    masks = Subsets(SOME, 4).draw(IMAGE)
    assert isinstance(masks, SegmentMasks)
    values = torch.rand(12, 2, dtype=torch.float64)
    laid = masks.lay(values)
    assert torch.equal(laid[1], values[masks.segments[0], 1])
