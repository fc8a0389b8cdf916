"""What every explainer on the shelf must do; a new file is tested the moment it is there."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy import passes, shelf
from seewhy.types import Batch, Question

NAMES = tuple(shelf.members("explainers"))
SIZE = 16
#: Members that say which networks they are for, and that they may refuse others.
ONLY_FOR_SOME = {name: module.only for name in NAMES if hasattr(module := shelf.load("explainers", name), "only")}
#: A task that suits each of them.
SUITS = {name: "transformer" if "attention" in only else "classifier" for name, only in ONLY_FOR_SOME.items()}
#: Fewer samples and steps where the numbers of the map do not matter.
QUICK = {"masks": 200, "points": 2, "steps": 8}
#: How much of the heat lies in what a network reads, at least, where a map is coarser than that by what it is.
COARSE = {"rise": 0.6, "meaningful_perturbation": 0.65}


def quickly(explainer: ModuleType) -> dict[str, Any]:
    """Those of the quick settings that it has."""
    read = inspect.signature(explainer.heat).parameters
    return {setting: value for setting, value in QUICK.items() if setting in read}


@pytest.mark.parametrize("name", ONLY_FOR_SOME)
def test_an_explainer_for_some_networks_answers_on_those_and_tells_others_why_not(name: str) -> None:
    methods = {name: (shelf.load("explainers", name), {})}
    assert passes.explain(*asked(SUITS[name]), methods).heat[name].any()
    other = "transformer" if SUITS[name] == "classifier" else "classifier"
    with pytest.raises(passes.Unsuitable, match="network"):
        passes.explain(*asked(other), methods)


class Detector(nn.Module):
    """Six boxes an image, each with corners and a logit for each of two classes: what DETR puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.logits, self.corners = nn.Linear(8, 12), nn.Linear(8, 24)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        pooled = self.trunk(image).mean((2, 3))
        return {"corners": self.corners(pooled).view(-1, 6, 4), "logits": self.logits(pooled).view(-1, 6, 2)}


class Captioner(nn.Module):
    """Reads an image and the words so far, and gives each next word logits."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.words, self.reader = nn.Embedding(10, 8), nn.GRU(8, 8, batch_first=True)
        self.next = nn.Linear(8, 10)

    def forward(self, image: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.eye(image).mean((2, 3))
        states, last = self.reader(self.words(words), seen[None])
        return self.next(states), last[0]


def sentence_logodds(output: tuple[Tensor, Tensor], words: Tensor) -> Tensor:
    """log p / (1 - p) of each example's own sentence."""
    logp = output[0].log_softmax(2).gather(2, words[..., None])[..., 0].sum(1)
    return logp - torch.log1p(-logp.exp())


def classifier() -> tuple[nn.Module, dict[str, Tensor], Question]:
    network = nn.Sequential()
    network.add_module("image", nn.Conv2d(3, 8, 3, padding=1))  # a layer may be called as an input is
    network.add_module("act", nn.ReLU(inplace=True))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(8, 3))
    cat, dog = (Question(name, lambda output, at=at: output[:, at]) for at, name in enumerate(("cat", "dog")))
    return ByName(network), {}, cat - dog


def detector() -> tuple[nn.Module, dict[str, Tensor], Question]:
    boxes = torch.tensor([4, 0, 2])
    return Detector(), {}, Question("its surest box", lambda output: output["logits"][torch.arange(3), boxes, 1])


def captioner() -> tuple[nn.Module, dict[str, Tensor], Question]:
    words = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2]])
    said = torch.tensor([[2, 3, 4, 5], [6, 7, 8, 9], [0, 1, 2, 3]])
    return Captioner(), {"words": words}, Question("its sentence", lambda output: sentence_logodds(output, said))


class Transformer(nn.Module):
    """Four patches of a side, a class token, two blocks of attention over all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, image: Tensor) -> Tensor:
        patches = self.cut(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(image), -1, -1), patches], 1)
        return self.head(self.blocks(tokens)[:, 0])


def transformer() -> tuple[nn.Module, dict[str, Tensor], Question]:
    return Transformer(), {}, Question("cat", lambda output: output[:, 0])


class ByName(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


TASKS = {"classifier": classifier, "detector": detector, "captioner": captioner, "transformer": transformer}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def explainer(name: str) -> ModuleType:
    return shelf.load("explainers", name)


def asked(task: str) -> tuple[nn.Module, Batch, Question]:
    """A network in training with one part in evaluation, a frozen weight and an old gradient; three examples."""
    torch.manual_seed(0)
    network, inputs, question = TASKS[task]()
    *_, last = network.modules()
    last.eval()
    first, *_ = network.parameters()
    first.requires_grad_(False).grad = torch.ones_like(first)
    image = torch.rand(3, 3, SIZE, SIZE + 4)
    return network, Batch(ids=("a", "b", "c"), inputs={"image": image, **inputs}), question


def state(network: nn.Module) -> list[Any]:
    """Everything that explaining might disturb, as plain values."""
    return [
        {name: value.tolist() for name, value in network.state_dict().items()},
        [module.training for module in network.modules()],
        [(parameter.requires_grad, parameter.grad is None) for parameter in network.parameters()],
        [parameter.grad.tolist() for parameter in network.parameters() if parameter.grad is not None],
        [len(getattr(module, kind)) for module in network.modules() for kind in vars(module) if "hooks" in kind],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    ]


@pytest.mark.parametrize("task", TASKS)
def test_every_explainer_answers_on_every_task_and_leaves_the_network_alone(
    explainer: ModuleType, name: str, task: str
) -> None:
    network, batch, question = asked(task)
    before, images = state(network), batch.inputs["image"].clone()
    # With signs: a network of random weights may have nothing that speaks for its answer, and an empty map then is right.
    settings = {"relu": False} if "relu" in inspect.signature(explainer.heat).parameters else {}
    settings |= quickly(explainer)
    explained = passes.explain(network, batch, question, {name: (explainer, settings)}, leave_out=True)
    assert state(network) == before
    if explained.unsuitable:
        assert name in ONLY_FOR_SOME
        assert explained.unsuitable[name].strip()
        return
    heat = explained.heat[name]
    assert heat.shape == (3, SIZE, SIZE + 4)
    assert heat.isfinite().all()
    assert heat.any()
    assert not heat.requires_grad
    assert state(network) == before
    assert torch.equal(batch.inputs["image"], images)


@pytest.mark.parametrize("task", TASKS)
def test_every_explainer_leaves_the_network_alone_when_the_score_fails(
    explainer: ModuleType, name: str, task: str
) -> None:
    network, batch, _ = asked(task)
    before = state(network)
    with pytest.raises(ZeroDivisionError):
        passes.explain(network, batch, Question("impossible", lambda output: 1 / 0), {name: (explainer, {})})
    assert state(network) == before


@pytest.mark.parametrize("broken", ["trunk", "corners"])
def test_every_explainer_leaves_the_network_alone_when_the_network_fails(
    explainer: ModuleType, name: str, broken: str
) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError

    network, batch, question = asked("detector")
    setattr(network, broken, Broken())
    before = state(network)
    with pytest.raises(ZeroDivisionError):
        passes.explain(network, batch, question, {name: (explainer, {})})
    assert state(network) == before


class Corner(nn.Module):
    """Sees the upper left corner and nothing else: whoever asks where it looks must be told so."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Linear(4, 2)
        nn.init.uniform_(self.trunk[0].weight, 0.1, 1)
        nn.init.uniform_(self.head.weight, 0.5, 1)

    def forward(self, image: Tensor) -> Tensor:
        corner = torch.zeros_like(image)
        corner[..., : SIZE // 4, : SIZE // 4] = 1
        return self.head(self.trunk(image * corner).square().mean((2, 3)))  # curved: its gradient is nowhere constant


def test_every_explainer_finds_the_corner_that_a_network_reads(explainer: ModuleType, name: str) -> None:
    if name in ONLY_FOR_SOME:
        pytest.skip(f"it is for {ONLY_FOR_SOME[name]}")
    torch.manual_seed(0)
    image = torch.rand(2, 3, SIZE, SIZE) / 2
    image[..., : SIZE // 4, : SIZE // 4] += 0.5  # brighter than whatever it is covered with
    batch = Batch(ids=("a", "b"), inputs={"image": image})
    question = Question("yes", lambda output: output[:, 1])
    heat = passes.explain(Corner(), batch, question, {name: (explainer, {})}).heat[name]
    inside = heat[:, : SIZE // 4 + 1, : SIZE // 4 + 1].abs().sum((1, 2))  # the convolution reaches one pixel further
    assert (inside >= COARSE.get(name, 0.9) * heat.abs().sum((1, 2))).all()
    by_chance = "masks" in inspect.signature(explainer.heat).parameters  # an estimate from random masks
    most = 0.06 if by_chance else 1e-5  # rounding
    assert heat[:, SIZE // 2 :, SIZE // 2 :].abs().max() <= most * heat.abs().max()
    assert (heat.flatten(1).max(1).values > 0).all()


def test_every_explainer_explains_an_example_alike_in_any_company(explainer: ModuleType, name: str) -> None:
    network, batch, question = asked(SUITS.get(name, "classifier"))
    methods = {name: (explainer, quickly(explainer))}
    together = passes.explain(network, batch, question, methods).heat[name]
    turned = passes.explain(network, batch.rows([2, 0]), question, methods).heat[name]
    assert torch.allclose(turned, together[[2, 0]], atol=1e-5)


def test_every_explainer_says_beforehand_what_it_will_cost(explainer: ModuleType, name: str) -> None:
    network, batch, question = asked(SUITS.get(name, "classifier"))
    explained = passes.explain(network, batch, question, {name: (explainer, quickly(explainer))})
    assert explained.evidence.spent.forwards <= explained.passes[name].forwards + 1e-9
    assert explained.evidence.spent.backwards <= explained.passes[name].backwards


def test_all_explainers_together_cost_less_than_one_by_one() -> None:
    network, batch, question = asked("classifier")
    methods = {name: (explainer := shelf.load("explainers", name), quickly(explainer)) for name in NAMES}
    explained = passes.explain(network, batch, question, methods, leave_out=True)
    assert explained.heat.keys() | explained.unsuitable.keys() == set(NAMES)
    alone = {name: passes.explain(network, batch, question, {name: methods[name]}) for name in explained.heat}
    assert explained.evidence.spent.total < sum(found.evidence.spent.total for found in alone.values())
    for name in explained.heat:
        assert torch.allclose(explained.heat[name], alone[name].heat[name], atol=1e-6), name


def test_every_explainer_opens_with_its_question_and_names_its_source(name: str) -> None:
    member = shelf.members("explainers")[name]
    assert member.question.endswith("?")
    assert "https://" in member.about


def test_the_settings_of_every_explainer_are_keywords_with_types_and_defaults(explainer: ModuleType) -> None:
    heat, needs = (inspect.signature(verb).parameters for verb in (explainer.heat, explainer.needs))
    assert list(heat)[:2] == ["evidence", "question"]
    for setting in (*list(heat.values())[2:], *needs.values()):
        assert setting.kind is setting.KEYWORD_ONLY
        assert setting.default is not setting.empty
        assert setting.annotation is not setting.empty
    for setting in needs.values():
        assert setting == heat[setting.name]
