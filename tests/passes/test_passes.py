"""Evidence is gathered in the fewest runs, for any structure of output, and nothing is disturbed by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy import hooks, passes
from seewhy.explainers import grad_cam, gradient, occlusion
from seewhy.passes import run
from seewhy.passes.designs import Squares
from seewhy.passes.gradients import InputGradients, LayerGradients
from seewhy.passes.masks import MaskScores
from seewhy.types import Batch, Question

ALL = {"gradient": (gradient, {}), "grad_cam": (grad_cam, {}), "occlusion": (occlusion, {})}
CAT = Question("cat", lambda output: output[:, 1])


class Counting(nn.Module):
    """A small CNN that counts how many examples went through it, and through its trunk with a graph behind them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.late = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(6, 4)
        self.rows: list[int] = []
        self.early_has_graph: list[bool] = []

    def forward(self, image: Tensor) -> Tensor:
        self.rows.append(len(image))
        x = self.early(image)
        self.early_has_graph.append(x.requires_grad)
        return self.head(self.late(x).mean((2, 3)))


def batch(rows: int = 4, size: int = 8, **inputs: Any) -> Batch:
    image = torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(1))
    return Batch(ids=tuple(map(str, range(rows))), inputs={"image": image, **inputs})


def test_one_forward_and_one_backward_pass_serve_every_gradient() -> None:
    network = Counting()
    needs = [InputGradients(), LayerGradients("early"), LayerGradients("late"), InputGradients()]
    evidence = passes.gather(network, batch(), CAT, needs)
    assert network.rows == [4]
    assert (evidence.forwards, evidence.backwards) == (1, 1)
    alone = [passes.gather(network, batch(), CAT, [need])[need].gradient for need in needs]
    for need, gradient_alone in zip(needs, alone, strict=True):
        assert torch.allclose(evidence[need].gradient, gradient_alone, atol=1e-7)


def test_for_a_layer_alone_the_trunk_runs_without_a_graph_and_the_backward_pass_is_the_heads() -> None:
    network = Counting()
    evidence = passes.gather(network, batch(), CAT, [LayerGradients("late")])
    assert (network.rows, network.early_has_graph) == ([4], [False])
    assert evidence.forwards == 1
    first, second, head = 3 * 6 * 9 * 64, 6 * 6 * 9 * 64, 6 * 4
    assert evidence.backwards == pytest.approx(head / (first + second + head))
    both = passes.gather(network, batch(), CAT, [LayerGradients("late"), LayerGradients("early")])
    assert network.early_has_graph[-1]  # the graph begins at the earlier of the two
    assert both.backwards == pytest.approx((second + head) / (first + second + head))


def test_the_default_layer_is_found_in_the_one_pass_that_gives_its_gradient() -> None:
    network = Counting()
    evidence = passes.gather(network, batch(), CAT, [LayerGradients()])
    assert network.rows == [4]
    assert evidence[LayerGradients()].layer.name == "late"
    assert (evidence.forwards, evidence.backwards < 0.1) == (1, True)
    named = passes.gather(network, batch(), CAT, [LayerGradients("late")])
    assert torch.allclose(evidence[LayerGradients()].gradient, named[LayerGradients("late")].gradient, atol=1e-7)


def test_masks_go_through_in_whole_batches_and_the_baseline_is_run_once_for_all() -> None:
    network = Counting()
    need = MaskScores(Squares(patch=4, stride=4))
    evidence = passes.gather(network, batch(), CAT, [need, MaskScores(Squares(patch=8))], chunk=11)
    assert sorted(network.rows) == [4, 4, 8, 8]  # 2 x 2 squares, two batches of 4 at a time; one square; the baseline
    assert evidence.forwards == 6
    assert evidence[need].scores.shape == (4, 4)
    assert torch.equal(evidence[need].masks.covered(slice(4)).sum((1, 2, 3)), torch.full((4,), 16.0))


def test_a_gradient_pass_is_the_masks_baseline_too() -> None:
    network = Counting()
    evidence = passes.gather(network, batch(), CAT, [MaskScores(Squares(patch=8)), InputGradients()])
    assert network.rows == [4, 4]
    assert not evidence.baseline.requires_grad
    assert torch.equal(evidence.baseline, evidence[MaskScores(Squares(patch=8))].baseline)


def test_nothing_asked_for_is_a_baseline() -> None:
    network = Counting()
    evidence = passes.gather(network, batch(), CAT, [])
    with torch.no_grad():
        assert torch.equal(evidence.baseline, network.eval()(batch().inputs["image"])[:, 1])
    assert (evidence.forwards, evidence.backwards) == (1, 0)


def test_the_chunk_changes_no_score() -> None:
    network, need = Counting(), MaskScores(Squares())
    whole, single = (passes.gather(network, batch(), CAT, [need], chunk=chunk)[need] for chunk in (None, 1))
    assert torch.allclose(whole.scores, single.scores, atol=1e-6)


def test_large_images_go_through_few_at_a_time_by_default() -> None:
    network = Counting()
    passes.gather(network, batch(rows=1, size=256), CAT, [MaskScores(Squares(patch=64, stride=32))])
    assert max(network.rows) * 3 * 256 * 256 <= run.VALUES_AT_ONCE
    passes.gather(network, batch(rows=3), CAT, [MaskScores(Squares(patch=1, stride=1))])
    assert max(network.rows) == 64 * 3  # all 64 squares at once


@pytest.mark.parametrize(
    "needs",
    [
        [],
        [InputGradients()],
        [LayerGradients()],
        [LayerGradients("late"), MaskScores(Squares())],
        [MaskScores(Squares()), MaskScores(Squares(patch=3, stride=2)), InputGradients(), LayerGradients()],
    ],
    ids=str,
)
def test_the_forecast_is_exact_in_forward_passes_and_an_upper_bound_in_backward_ones(needs: list[Any]) -> None:
    forecast = passes.forecast(Counting(), batch(), CAT, needs).passes
    evidence = passes.gather(Counting(), batch(), CAT, needs)
    assert forecast.forwards == pytest.approx(evidence.forwards)
    assert evidence.backwards <= forecast.backwards <= evidence.backwards + 2
    assert forecast.total == forecast.forwards + forecast.backwards


# --------------------------------------------------------------------------------- outputs of any structure


class Outputs(nn.Module):
    """Puts out whatever is made of a (batch, 2) tensor of scores."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wrap, self.convolution = wrap, nn.Conv2d(3, 2, 3)

    def forward(self, image: Tensor) -> Any:
        return self.wrap(self.convolution(image).mean((2, 3)))


STRUCTURES = {
    "tensor": (lambda x: x, lambda o: o[:, 0]),
    "tuple": (lambda x: (x, torch.ones(3)), lambda o: o[0][:, 0]),
    "list of levels": (lambda x: [x, x * 2, x * 3, x * 4], lambda o: o[3][:, 0]),
    "dict": (lambda x: {"a": {"b": x}, "anchors": torch.ones(7, 2)}, lambda o: o["a"]["b"][:, 0] * len(o["anchors"])),
    "a dict an example": (
        lambda x: [{"boxes": row.expand(place + 1, 2)} for place, row in enumerate(x)],
        lambda o: torch.stack([found["boxes"][0, 0] for found in o]),
    ),
    "lists in a dict": (
        lambda x: {"found": [{"b": row} for row in x]},
        lambda o: torch.stack([found["b"][0] for found in o["found"]]),
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_output_of_any_structure_is_cut_into_whole_batches(name: str) -> None:
    wrap, score = STRUCTURES[name]
    needs = [MaskScores(Squares()), LayerGradients(), InputGradients()]
    plain = passes.gather(Outputs(lambda x: x), batch(), Question("0", lambda o: o[:, 0]), needs)
    found = passes.gather(Outputs(wrap), batch(), Question("0", score), needs)
    factor = {"list of levels": 4, "dict": 7}.get(name, 1)
    assert torch.allclose(found[needs[0]].scores, factor * plain[needs[0]].scores, atol=1e-5)
    assert torch.allclose(found[needs[1]].gradient, factor * plain[needs[1]].gradient, atol=1e-5)


def test_a_question_with_one_answer_an_example_is_asked_row_by_row() -> None:
    network, answers = Counting(), torch.tensor([3, 0, 2, 1])
    own = Question("its own", lambda output: output.gather(1, answers[:, None])[:, 0])
    found = passes.explain(network, batch(), own, ALL).heat
    for row, answer in enumerate(answers):
        alone = passes.explain(network, batch().rows([row]), Question("", lambda o, at=answer: o[:, at]), ALL).heat
        for method in ALL:
            assert torch.allclose(found[method][row], alone[method][0], atol=1e-5), method


def test_a_question_at_a_layer_is_scored_on_its_activation() -> None:
    network = Counting()
    neuron = Question("channel 2 in the middle", lambda x: x[:, 2, 4, 4], at="early.0")
    found = passes.explain(network, batch(), neuron, {**ALL, "grad_cam": (grad_cam, {"layer": "early.0"})})
    reach = found.heat["gradient"] > 0
    assert reach[:, 3:6, 3:6].all()
    reach[:, 3:6, 3:6] = False
    assert not reach.any()
    with hooks.frozen(network), torch.no_grad():
        assert torch.allclose(found.evidence.baseline, network.early[0](batch().inputs["image"])[:, 2, 4, 4])


def test_a_layer_behind_the_one_that_is_asked_about_has_nothing_to_say_and_takes_nothing_along() -> None:
    neuron = Question("a neuron", lambda x: x[:, 2, 4, 4], at="early.0")
    found = passes.gather(Counting(), batch(), neuron, [LayerGradients("late"), InputGradients()])
    assert found[InputGradients()].gradient.any()
    with pytest.raises(passes.Unsuitable, match="The score of 'a neuron' .* the layer 'late'"):
        found[LayerGradients("late")]


# ---------------------------------------------------------------------------------------- errors and tidiness


class Branching(Counting):
    """With a layer that never runs, one that counts, and an input of words."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)
        self.chosen = nn.Identity()

    def forward(self, image: Tensor, words: Tensor | None = None) -> Tensor:
        output = super().forward(image)
        self.chosen(output.argmax(1))
        return output


@pytest.mark.parametrize(
    ("needs", "score", "error", "words"),
    [
        ([InputGradients("imag")], None, KeyError, r"No input 'imag'. Did you mean 'image'\? There are: image, words"),
        ([InputGradients("words")], None, ValueError, "The input 'words' holds torch.int64 and has no gradient"),
        (
            [MaskScores(Squares(), into="words")],
            None,
            ValueError,
            r"'words' is torch.int64 \(4, 5\); squares can be cov",
        ),
        ([MaskScores(Squares(patch=9))], None, ValueError, "A patch of 9 pixels does not fit an image of 8 x 8"),
        ([MaskScores(Squares(patch=0))], None, ValueError, "A patch of 0 pixels does not fit"),
        (
            [MaskScores(Squares(patch=2, stride=3))],
            None,
            ValueError,
            "A stride of 3 pixels leaves gaps between patches of 2",
        ),
        (
            [MaskScores(Squares(), fill="blurr")],
            None,
            ValueError,
            r"No filling 'blurr'. Did you mean 'blur'\? There are: mean, b",
        ),
        ([LayerGradients("lat")], None, KeyError, r"No layer 'lat'. Did you mean 'late'\?"),
        ([LayerGradients("unused")], None, ValueError, "The layer 'unused' did not run for these inputs"),
        ([LayerGradients("chosen")], None, ValueError, "'chosen' puts out torch.int64, which has no gradient"),
        ([LayerGradients("head")], None, ValueError, r"'head' \(Linear\) puts out \(4, 4\), .* such as 'late'"),
        ([], lambda o: o, ValueError, r"'cat' scored torch.float32 \(4, 4\); it must give one .* example, here 4"),
        ([], lambda o: o.argmax(1), ValueError, r"'cat' scored torch.int64 \(4,\); it must give one floating-point"),
        ([], lambda o: 3.0, ValueError, "'cat' scored float; it must give one"),
        ([InputGradients()], lambda o: o[:, 0].detach(), ValueError, "'cat' has no gradient: .* from the input"),
    ],
)
def test_what_cannot_be_had_is_an_error_in_words_that_leaves_the_network_alone(
    needs: list[Any], score: Any, error: type[Exception], words: str
) -> None:
    network = Branching()
    network.early.eval()
    network.head.weight.grad = torch.ones_like(network.head.weight)
    network.early[0].weight.requires_grad_(False)
    before = state(network)
    asked = batch(words=torch.ones(4, 5, dtype=torch.int64))
    with pytest.raises(error, match=words):
        passes.gather(network, asked, Question("cat", score or CAT.score), needs)
    assert same(before, state(network))


def test_an_empty_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="There are no examples to explain"):
        passes.gather(Counting(), Batch(ids=(), inputs={"image": torch.rand(0, 3, 8, 8)}), CAT, [InputGradients()])


def test_evidence_that_was_not_asked_for_is_named() -> None:
    evidence = passes.gather(Counting(), batch(), CAT, [InputGradients()])
    with pytest.raises(KeyError, match=r"MaskScores\(.*\) was not asked for in `needs`; there are: InputGradients\("):
        evidence[MaskScores(Squares())]


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_evidence_is_the_same_in_every_gradient_mode(outer: Any) -> None:
    network = Counting()
    expected = passes.explain(network, batch(), CAT, ALL).heat
    with outer():
        found = passes.explain(network, batch(), CAT, ALL).heat
    assert all(torch.equal(found[name], expected[name]) for name in ALL)


def test_a_network_that_changes_its_input_in_place_neither_spoils_the_batch_nor_the_scores() -> None:
    class Careless(Counting):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image.sub_(0.5).mul_(2))

    class Careful(Counting):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward((image - 0.5) * 2)

    given, before = batch(), batch().inputs["image"].clone()
    careless, careful = (passes.explain(kind(), given, CAT, ALL).heat for kind in (Careless, Careful))
    assert torch.equal(given.inputs["image"], before)
    assert all(torch.allclose(careless[name], careful[name], atol=1e-6) for name in ALL)


def test_a_gradient_is_an_examples_own_whatever_stands_beside_it() -> None:
    network = Counting()
    both = passes.gather(network, batch(), CAT, [InputGradients()])[InputGradients()].gradient
    alone = passes.gather(network, batch().rows([2]), CAT, [InputGradients()])[InputGradients()].gradient
    assert torch.allclose(both[2], alone[0], atol=1e-7)


# -------------------------------------------------------------------------------------------------- explain


def test_explaining_by_all_methods_runs_the_network_no_more_than_the_dearest_needs() -> None:
    network = Counting()
    explained = passes.explain(network, batch(), CAT, ALL)
    squares = 49
    assert sum(network.rows) == 4 * (squares + 1)  # the squares, and one pass for all gradients
    assert explained.evidence.forwards == squares + 1
    assert {name: cost.total for name, cost in explained.passes.items()} == {
        "gradient": 2,
        "grad_cam": 3,
        "occlusion": squares + 1,
    }
    assert all(heat.shape == (4, 8, 8) for heat in explained.heat.values())


def test_one_explainer_may_be_asked_twice_with_different_settings() -> None:
    methods = {layer: (grad_cam, {"layer": layer, "relu": False}) for layer in ("early", "late")}
    network = Counting()
    explained = passes.explain(network, batch(), CAT, methods)
    assert network.rows == [4]
    assert not torch.equal(explained.heat["early"], explained.heat["late"])


def test_coarse_heat_is_enlarged_smoothly_to_the_size_of_the_image() -> None:
    class Coarse:
        @staticmethod
        def needs() -> tuple[passes.Need, ...]:
            return ()

        @staticmethod
        def heat(evidence: passes.Evidence, question: Question) -> Tensor:
            return torch.tensor([[[0.0, 1.0]]]).expand(4, -1, -1)

    heat = passes.explain(Counting(), batch(), CAT, {"coarse": (Coarse, {})}).heat["coarse"]
    assert torch.allclose(heat[0, 0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


def test_an_explainer_that_gives_no_map_is_named_with_what_was_expected() -> None:
    class Flat:
        needs = staticmethod(lambda: ())
        heat = staticmethod(lambda evidence, question: torch.zeros(4, 3))

    with pytest.raises(ValueError, match=r"'flat' gave heat of \(4, 3\) for 4 images; expected batch, height, width"):
        passes.explain(Counting(), batch(), CAT, {"flat": (Flat, {})})


def test_a_need_that_cannot_be_gathered_is_named_with_those_that_can() -> None:
    class Wishful:
        needs = staticmethod(lambda: ("gradients",))
        heat = staticmethod(lambda evidence, question: torch.zeros(4, 8, 8))

    with pytest.raises(TypeError, match="names 'gradients', which cannot be gathered; there are: .*InputGradients"):
        passes.explain(Counting(), batch(), CAT, {"wishful": (Wishful, {})})


def test_a_second_image_is_explained_by_its_name() -> None:
    class Two(Counting):
        def forward(self, image: Tensor, depth: Tensor) -> Tensor:
            return super().forward(image) + depth.mean((1, 2, 3))[:, None]

    asked = batch(depth=torch.rand(4, 1, 4, 6))
    methods = {"gradient": (gradient, {"into": "depth"}), "occlusion": (occlusion, {"into": "depth", "fill": "black"})}
    found = passes.explain(Two(), asked, CAT, methods).heat
    assert torch.allclose(found["gradient"], torch.full((4, 4, 6), 1 / 24))
    assert (found["occlusion"] > 0).all()


def test_double_precision_stays_double() -> None:
    asked = batch()
    found = passes.explain(Counting().double(), asked.with_inputs(image=asked.inputs["image"].double()), CAT, ALL).heat
    assert {heat.dtype for heat in found.values()} == {torch.float64}


def state(network: nn.Module) -> dict[str, Any]:
    """Everything that gathering might disturb."""
    return {
        "weights": {name: value.clone() for name, value in network.state_dict().items()},
        "modes": [module.training for module in network.modules()],
        "learning": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [(x.grad is None, 0 if x.grad is None else x.grad.sum().item()) for x in network.parameters()],
        "hooks": [len(getattr(x, kind)) for x in network.modules() for kind in vars(x) if "hooks" in kind],
        "generator": torch.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return torch.equal(left, right) if isinstance(left, Tensor) else left == right
