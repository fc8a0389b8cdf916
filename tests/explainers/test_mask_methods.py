"""Methods that read tables of masks and scores, beside closed forms, slow twins and captum."""

from __future__ import annotations

import itertools
import math
from typing import Any

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from scipy.stats import spearmanr
from torch import Tensor, nn

from seewhy import passes, shelf
from seewhy.passes.designs import Coalitions, Exchanges, Flips, Subsets, Windows
from seewhy.passes.masks import MaskScores
from seewhy.passes.segments import Segments
from seewhy.types import Batch, Question

IT = Question("it", lambda output: output)
IMAGE = torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BATCH = Batch(ids=("a", "b"), inputs={"image": IMAGE})
GRID = {"side": 3, "cut": "grid"}
CELLS = Segments(3, 3).of(IMAGE)[0]


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        )

    def forward(self, image: Tensor) -> Tensor:
        return (image * self.weight).sum((1, 2, 3)) + 1


class Curved(nn.Module):
    """Nine cells, of which any may act with any."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(324, 8), nn.Tanh(), nn.Linear(8, 1)).double()

    def forward(self, image: Tensor) -> Tensor:
        return self.body(4 * image)[:, 0]


def heat(network: nn.Module, method: str, batch: Batch = BATCH, **settings: Any) -> Tensor:
    return passes.explain(network, batch, IT, {"it": (shelf.load("explainers", method), settings)}).heat["it"]


def by_cell(pixels: Tensor) -> Tensor:
    """The sum over each cell, laid over its pixels."""
    sums = torch.zeros(len(pixels), 9, dtype=pixels.dtype).index_add(1, CELLS.flatten(), pixels.flatten(1))
    return sums[:, CELLS]


@pytest.mark.parametrize("fill", ["black", "mean"])
@pytest.mark.parametrize("method", ["occlusion", "superpixel_ablation", "kernel_shap", "lime"])
def test_on_a_linear_network_a_cell_is_worth_its_weights_times_change(method: str, fill: str) -> None:
    network = Linear()
    start = 0 if fill == "black" else IMAGE.mean((2, 3), keepdim=True)
    expected = by_cell((network.weight * (IMAGE - start)).sum(1)).detach()
    settings: dict[str, Any] = {
        "occlusion": {"patch": 3, "stride": 3},
        "lime": {**GRID, "ridge": 0.0},
        "kernel_shap": {**GRID, "masks": 100},
    }.get(method, GRID)
    if method == "occlusion":  # its squares are not cells
        whole = (network.weight * (IMAGE - start)).sum(1).detach()
        expected = (
            nn.functional.avg_pool2d(whole[:, None], 3)[:, 0].mul(9).repeat_interleave(3, 1).repeat_interleave(3, 2)
        )
    assert torch.allclose(heat(network, method, fill=fill, **settings), expected, atol=1e-9)


@pytest.mark.parametrize("method", ["occlusion", "superpixel_ablation", "kernel_shap"])
def test_of_the_shared_table_too_a_linear_network_gets_its_weights_times_change(method: str) -> None:
    network, image = nn.Flatten(), torch.rand(1, 3, 14, 14, dtype=torch.float64)
    weight = torch.randn(3 * 14 * 14, dtype=torch.float64)
    question = Question("it", lambda output: output @ weight)
    batch = Batch(ids=("a",), inputs={"input": image})
    methods = {method: (shelf.load("explainers", method), {"design": "shared", "fill": "black", "into": "input"})}
    found = passes.explain(network, batch, question, methods).heat[method]
    worth = (weight.view(1, 3, 14, 14) * image).sum(1)
    expected = nn.functional.avg_pool2d(worth[:, None], 2)[:, 0].mul(4).repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(found, expected, atol=1e-9)


def shapley(network: nn.Module) -> Tensor:
    """By its definition, over all 512 coalitions of nine cells, covered with black."""
    codes = torch.tensor(list(itertools.product((0, 1), repeat=9)))
    with torch.no_grad():
        scores = torch.stack([network(IMAGE * code[CELLS]) for code in codes])
    values = torch.zeros(9, 2, dtype=torch.float64)
    for number, code in enumerate(codes):
        for cell in range(9):
            if not code[cell]:
                size = int(code.sum())
                weight = math.factorial(size) * math.factorial(8 - size) / math.factorial(9)
                values[cell] += weight * (scores[number + 2 ** (8 - cell)] - scores[number])
    return values.T[:, CELLS]


def test_with_few_segments_kernel_shap_is_shapley_to_rounding_and_adds_up() -> None:
    network = Curved()
    found = heat(network, "kernel_shap", fill="black", **GRID)
    assert torch.allclose(found, shapley(network), atol=1e-9)
    total = sum(found[:, cell == CELLS][:, 0] for cell in range(9))
    with torch.no_grad():
        assert torch.allclose(total, network(IMAGE) - network(0 * IMAGE), atol=1e-9)


def test_kernel_shap_from_a_sample_comes_near_and_over_shares_too() -> None:
    network = Curved()
    exact = shapley(network)
    sample = heat(network, "kernel_shap", fill="black", masks=300, **GRID)
    assert (sample - exact).abs().max() <= 0.1 * exact.abs().max()
    assert (sample - exact).abs().max() > 0
    need = MaskScores(Flips(Segments(3, 3), 401), "black")
    table = passes.gather(network, BATCH, IT, [need])[need]
    effects = passes.designs.Stars.of(table).effects.mean(0)
    assert (effects.T[:, CELLS] - exact).abs().max() <= 0.1 * exact.abs().max()


def test_pairs_make_kernel_shap_exact_where_two_act_together_and_no_more() -> None:
    class Pairs(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean(1).flatten(1)[:, ::5].sum(1).square()

    assert torch.allclose(heat(Pairs(), "kernel_shap", fill="black", masks=101, **GRID), shapley(Pairs()), atol=1e-8)


def captums(network: nn.Module, explainer: Any, codes: Tensor, **settings: Any) -> Tensor:
    """What captum's regression makes of the same masks: one row of `codes` after another, 1 where a cell is seen."""
    found = []
    for image in IMAGE:
        rows = iter(codes.long())
        explainer.perturb_func = lambda *inputs, rows=rows, **more: next(rows)[None]
        found.append(
            explainer.attribute(
                image[None], baselines=0, feature_mask=CELLS[None, None], n_samples=len(codes), **settings
            )
        )
    return torch.cat(found)[:, 0]


def test_lime_is_captums_on_the_same_masks() -> None:
    network = Curved().requires_grad_(False)
    seen = 1 - Subsets(Segments(3, 3), 50).draw(IMAGE).codes
    codes = torch.cat([torch.ones(1, 9, dtype=torch.float64), seen])
    explainer = captum.attr.Lime(network, interpretable_model=SkLearnRidge(alpha=1.0))
    explainer.similarity_func = lambda inputs, changed, code, **more: torch.exp(
        -((1 - code.double().mean().sqrt()) ** 2) / (2 * 0.25**2)
    )
    expected = captums(network, explainer, codes)
    found = heat(network, "lime", fill="black", masks=50, **GRID)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()  # captum fits in single precision


def test_kernel_shap_is_captums_on_the_same_masks() -> None:
    network = Curved().requires_grad_(False)
    drawn = 1 - Coalitions(Segments(3, 3), 101).draw(IMAGE).codes
    codes = torch.cat([torch.ones(1, 9, dtype=torch.float64), drawn])
    explainer = captum.attr.KernelShap(network)
    explainer.interpretable_model = SkLearnLinearRegression()
    expected = captums(network, explainer, codes)
    found = heat(network, "kernel_shap", fill="black", masks=101, **GRID)
    assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()  # its "infinite" weight is a million


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
def test_superpixel_ablation_is_captums_feature_ablation(kind: str) -> None:
    network = Curved().requires_grad_(False)
    for image in IMAGE:
        segments = Segments(3, 3, kind).of(image[None])
        oracle = captum.attr.FeatureAblation(network).attribute(
            image[None], baselines=0, feature_mask=segments[:, None]
        )
        batch = Batch(ids=("a",), inputs={"image": image[None]})
        found = heat(network, "superpixel_ablation", batch, fill="black", side=3, cut=kind)
        assert torch.allclose(found, oracle[:, 0], atol=1e-7)


def test_rise_is_its_equation_mask_by_mask_up_to_a_number() -> None:
    network = Curved()
    masks = 1 - Windows(3, 50, 0.4, seed=2).draw(IMAGE).covered(slice(0, 50))[:, 0]
    with torch.no_grad():
        scores = torch.stack([network(IMAGE * mask) for mask in masks])
        plain = sum(score[:, None, None] * mask for score, mask in zip(scores, masks, strict=True)) / (0.4 * 50)
        number = scores.mean(0)[:, None, None] * masks.mean(0) / 0.4  # as many times the mean score as a pixel was seen
    found = heat(network, "rise", masks=50, side=3, share=0.4, seed=2, fill="black")
    assert torch.allclose(found, plain - number, atol=1e-9)


def test_rise_on_a_linear_network_is_in_expectation_its_worth_seen_through_windows() -> None:
    network = Linear()
    worth = (network.weight * IMAGE).sum(1).flatten(1).detach()
    masks = 1 - Windows(3, 6_000, 0.5, seed=5).draw(IMAGE).covered(slice(0, 6_000))[:, 0].flatten(1)
    expected = worth @ masks.T.cov() / 0.5  # E[(score - mean) m] / share
    found = heat(network, "rise", masks=6_000, side=3, fill="black").flatten(1)
    assert (found - expected).abs().max() <= 0.1 * expected.abs().max()


def test_the_total_sobol_index_of_a_linear_network_is_each_cells_share_of_the_variance() -> None:
    network = Linear()
    worth = by_cell((network.weight * IMAGE).sum(1).detach()).square()
    share = worth / sum(worth[:, cell == CELLS][:, :1, None] for cell in range(9))
    found = heat(network, "sobol", points=512, side=3, fill="black")
    assert (found - share).abs().max() < 0.05


def test_the_sobol_index_is_jansens_estimate_point_by_point() -> None:
    network = Curved()
    drawn = torch.quasirandom.SobolEngine(18).draw(10)[2:].double()
    a, b = drawn[:, :9], drawn[:, 9:]

    def scores(seen: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([network(IMAGE * each[CELLS]) for each in seen])

    at_a = scores(a)
    exchanged = []
    for cell in range(9):
        mixed = a.clone()
        mixed[:, cell] = b[:, cell]
        exchanged.append(scores(mixed))
    every = torch.cat([at_a, *exchanged])
    expected = torch.stack([(at_a - other).square().mean(0) for other in exchanged]) / (
        2 * every.var(0, unbiased=False)
    )
    assert torch.allclose(heat(network, "sobol", points=8, side=3, fill="black"), expected.T[:, CELLS], atol=1e-9)
    assert Exchanges(Segments(3, 3), 8).draw(IMAGE).codes.shape == (80, 9)


def test_hsic_is_the_trace_of_its_matrices() -> None:
    network = Curved()
    codes = Subsets(Segments(3, 3), 60).draw(IMAGE).codes
    with torch.no_grad():
        scores = torch.stack([network(IMAGE * (1 - code[CELLS])) for code in codes])
    centre = torch.eye(60, dtype=torch.float64) - 1 / 60
    expected = torch.zeros(2, 9, dtype=torch.float64)
    for example, cell in itertools.product(range(2), range(9)):
        apart = scores[:, None, example] - scores[:, example]
        alike = torch.exp(-(apart**2) / (2 * apart.abs().median() ** 2))
        seen = codes[:, cell]
        kernel = 0.5 - (seen[:, None] - seen) ** 2
        expected[example, cell] = torch.trace(kernel @ centre @ alike @ centre) / 60**2
    found = heat(network, "hsic", masks=60, side=3, fill="black")
    assert torch.allclose(found, expected[:, CELLS], atol=1e-10)


@pytest.mark.parametrize("method", ["rise", "lime", "kernel_shap", "sobol", "hsic"])
def test_both_designs_rank_the_cells_of_a_network_alike(method: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 5, stride=2)
    network = nn.Sequential(conv, nn.Softplus(), nn.Flatten(), nn.Linear(6 * 12 * 12, 1), nn.Flatten(0)).double()
    image = torch.rand(1, 3, 28, 28, dtype=torch.float64)
    batch = Batch(ids=("a",), inputs={"input": image})
    own = {"cut": "grid"} if method in ("lime", "kernel_shap") else {"side": 7}
    own, shared = (
        heat(network, method, batch, into="input", fill="black", **settings) for settings in (own, {"design": "shared"})
    )
    assert spearmanr(*(nn.functional.avg_pool2d(map[None], 4).flatten() for map in (own, shared))).statistic > 0.6


def test_the_least_cover_is_what_counts_and_nothing_else() -> None:
    class Square(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, :, 8:16, 16:24].mean((1, 2, 3)) + 0.01 * image.mean((1, 2, 3))

    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(ids=("a", "b"), inputs={"image": image})
    methods = {"it": (shelf.load("explainers", "meaningful_perturbation"), {"fill": "black"})}
    explained = passes.explain(Square(), batch, IT, methods)
    cover = explained.heat["it"]
    assert cover[:, 9:15, 17:23].mean() > 0.9
    assert cover[:, :, :8].max() == 0
    assert cover.mean() < 0.15
    assert 0 < explained.evidence.forwards < explained.passes["it"].forwards  # it stops when nothing moves any more


def test_the_least_cover_gets_better_with_steps_and_ends_where_the_budget_does() -> None:
    methods = {"it": (shelf.load("explainers", "meaningful_perturbation"), {"fill": "black", "steps": 40})}
    explained = passes.explain(Curved(), BATCH, IT, methods, budget="60 forwards")
    assert explained.evidence.spent.total <= 60
    assert explained.evidence.partial
    sketches = [sketch.heat["it"] for sketch in passes.explaining(Curved(), BATCH, IT, methods) if "it" in sketch.heat]
    assert len(sketches) > 1
