"""What every measure on the shelf must do; a new file is tested the moment it is there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seewhy import measures, passes, shelf
from seewhy.types import Batch, Question

NAMES = tuple(shelf.members("measures"))
METHODS = {name: (shelf.load("explainers", name), {}) for name in ("gradient", "occlusion")}
#: A map that reads the corner should do better than noise on all but these, which know nothing of what is true.
BLIND = ("complexity", "sensitivity", "parameter_randomisation", "efficient_randomisation", "random_logit")


class Corner(nn.Module):
    """One answer is the brightness of the top left corner, the other that of the rest, through a ReLU and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.full((1, 1, 12, 12), 0.0)
        weight[..., :4, :4] = 1.0
        self.where = nn.Parameter(torch.cat([weight, 0.2 * (1 - weight)]).expand(2, 3, 12, 12).clone())
        self.norm = nn.BatchNorm1d(2)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm((image[:, None] * self.where).sum((2, 3, 4)).relu())


def planted(rows: int = 3) -> tuple[nn.Module, Batch, Question, Question]:
    random = torch.Generator().manual_seed(1)
    masks = torch.zeros(rows, 12, 12, dtype=torch.bool)
    masks[:, :4, :4] = True
    images = torch.rand(rows, 3, 12, 12, generator=random) * 0.5
    images[:, :, :4, :4] += 0.5
    batch = Batch(tuple(f"i{row}" for row in range(rows)), {"image": images}, masks=masks)
    corner, rest = (Question(name, lambda output, at=at: output[:, at]) for at, name in enumerate(("corner", "rest")))
    return Corner(), batch, corner, rest


def measured(names=NAMES, *, heat=None, methods=METHODS, chunk=None, rows=3):
    network, batch, question, rival = planted(rows)
    asked = {name: {} for name in names}
    return ended(measures.measure(network, batch, question, methods, asked, heat=heat, rival=rival, chunk=chunk)).values


def ended(work):
    """What the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def maps() -> dict[str, Tensor]:
    """The truth, noise, and the truth turned round."""
    image = planted()[1].inputs["image"].mean(1)
    truth = torch.zeros_like(image)
    truth[:, :4, :4] = image[:, :4, :4]
    noise = torch.rand(12, 12, generator=torch.Generator().manual_seed(3)).expand_as(truth)
    return {"truth": truth, "noise": noise, "wrong": truth.max() - truth}


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_opens_with_a_question_and_says_which_way_is_better(name: str) -> None:
    assert shelf.members("measures")[name].question.endswith("?")
    assert shelf.load("measures", name).better in ("higher", "lower")


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_gives_a_number_a_map_and_example_and_the_same_one_again(name: str) -> None:
    first, second = measured([name])[name], measured([name])[name]
    assert set(first) == set(METHODS)
    for method, values in first.items():
        assert values.shape == (3,)
        assert values.isfinite().any()
        torch.testing.assert_close(values, second[method], equal_nan=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BLIND])
def test_the_true_map_does_better_than_noise_and_the_reverse_does_worse(name: str) -> None:
    found = measured([name], heat=maps(), methods=dict.fromkeys(maps(), METHODS["gradient"]))[name]
    sign = 1 if shelf.load("measures", name).better == "higher" else -1
    values = {method: sign * float(each.nanmean()) for method, each in found.items()}
    assert values["truth"] > values["noise"] + 0.02
    if name != "infidelity":  # which knows no sign: the scale that suits a reversed map best is negative
        assert values["truth"] > values["wrong"] + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_does_not_depend_on_how_many_go_through_the_network_at_once(name: str) -> None:
    whole, pieces = measured([name])[name], measured([name], chunk=5)[name]
    for method in METHODS:
        torch.testing.assert_close(whole[method], pieces[method], equal_nan=True, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_what_it_was(name: str) -> None:
    network, batch, question, rival = planted()
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    for _ in measures.measure(network, batch, question, METHODS, {name: {}}, rival=rival):
        pass
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training
    assert network.norm.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not network._forward_hooks
    assert torch.equal(torch.get_rng_state(), state)


def test_controls_stand_beside_methods_and_never_ask_the_network() -> None:
    network, batch, question, _ = planted()
    found = passes.explain(network, batch, question, measures.CONTROLS)
    assert set(found.heat) == set(measures.CONTROLS) == {"control: edges", "control: centre", "control: random"}
    assert found.evidence.spent.total == 1  # the run for the baseline
    assert all(heat.shape == (3, 12, 12) for heat in found.heat.values())


def test_a_measure_that_lacks_what_it_needs_is_left_out_and_says_why() -> None:
    network, batch, question, _ = planted()
    bare = Batch(batch.ids, batch.inputs)
    asked = {name: {} for name in ("pointing", "random_logit", "complexity")}
    found = ended(measures.measure(network, bare, question, METHODS, asked))
    assert set(found.values) == {"complexity"}
    assert found.unsuitable == {
        "pointing": "The images have no masks of their objects",
        "random_logit": "There is no rival answer to explain",
    }


def test_two_measures_that_read_the_same_masks_run_them_once() -> None:
    network, batch, question, _ = planted()
    trial = measures.Trial(network, batch, question, METHODS)
    with trial.looking():
        shelf.load("measures", "mu_fidelity").measure(trial)
        spent = trial.run.forwards
        shelf.load("measures", "infidelity").measure(trial)
    assert trial.run.forwards == spent == 129
