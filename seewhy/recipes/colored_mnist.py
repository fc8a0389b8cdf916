"""Does a network decide by colour where colour goes along with the label, and does invariance cure it?

Coloured MNIST: is the digit below five? A quarter of the labels are wrong, and the colour, red or green, tells the
label better than the shape does: it is off for a fifth of the images in one training environment and a tenth in the
other, and for nine tenths in the test. So who goes by colour does well in training and fails in the test; who does not
can be right on 75 % at most. Three networks of three linear layers:

    erm           lowers the mean loss
    irm           adds  lambda * mean over environments of |d loss(w * logits) / d w at w = 1|^2   (IRMv1, eq. 5)
    colour_blind  sees the sum of the two colours

Arjovsky, Bottou, Gulrajani and Lopez-Paz 2019, https://arxiv.org/abs/1907.02893; the numbers in `PUBLISHED` are those
that its code prints over 10 restarts, train and test. Its settings for `irm` were chosen on the test environment: in
the field nobody has one. The effect of colour is measured by setting it: the same digit, once red and once green.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from seewhy import chance, training
from seewhy import data as sources
from seewhy.exports import html
from seewhy.loading import Loader
from seewhy.predicting import predict
from seewhy.statistics import intervals
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Dataset, Finding, Preprocessing, Progress, Report
from seewhy.wording import counted

takes = "about 15 minutes a seed on two cores with MNIST; seconds with `scale=tiny` and digits"

CLASSES = ("five or more", "below five")
WRONG_LABELS = 0.25
#: How often the colour is off in each environment; the last is the test.
OFF = (0.2, 0.1, 0.9)


class Setting(NamedTuple):
    """How one network is trained: width, Adam's rate, weight of the squared weights; for `irm`, from which step on the
    penalty has which weight; and the published accuracies, mean and standard deviation."""

    hidden: int
    learning_rate: float
    decay: float
    steps: int
    penalty: float = 0.0
    from_step: int = 0
    train: tuple[float, float] = (np.nan, np.nan)
    test: tuple[float, float] = (np.nan, np.nan)


NETWORKS = {
    "erm": Setting(256, 1e-3, 1e-3, 501, train=(0.8739, 0.0019), test=(0.1707, 0.0067)),
    "irm": Setting(390, 4.898537e-4, 1.10794568e-3, 501, 91257.18613, 190, (0.7081, 0.0093), (0.6690, 0.0254)),
    "colour_blind": Setting(83, 2.817149e-3, 8.60287e-4, 101, train=(0.7350, 0.0019), test=(0.7301, 0.0047)),
}


class Measured(NamedTuple):
    """What one network of one seed came to: accuracies, and what the colour does to decision and probability."""

    train: float
    test: float
    decision: float
    probability: float


def run(
    data: str = "digits", *, seeds: int = 10, first: int = 0, scale: Literal["full", "tiny"] = "full"
) -> Generator[Progress, None, Report]:
    """`data` are grey digits with their number as class, MNIST's training file as published; `first` is the first of
    `seeds` seeds; tiny trains small networks for few steps, so that it ends in seconds and proves nothing.

    Raises ValueError where the classes are not the numbers 0 to 9.
    """
    digits, numbers = yield from _digits(sources.open(data))
    found: dict[str, list[Measured]] = {name: [] for name in NETWORKS}
    for seed in range(first, first + seeds):
        for name, setting in NETWORKS.items():
            chosen = setting if scale == "full" else setting._replace(hidden=32, steps=60, from_step=30)
            found[name].append((yield from _one(name, chosen, digits, numbers, seed)))
            told = found[name][-1]._asdict()
            yield Progress("lab", seed - first + 1, seeds, told, f"seed {seed}: {name}")
    findings = [
        finding for name, measured in found.items() for finding in _findings(name, measured, first, scale == "full")
    ]
    facts = {"name": f"lab colored-mnist {data}", "settings": {"seeds": seeds, "first": first, "scale": scale}}
    return Report(facts, tuple(findings), render=html.framed)


# --------------------------------------------------------------------------------------------------------- data


def _digits(
    dataset: Dataset,
) -> Generator[Progress, None, tuple[UInt8[np.ndarray, "images side side"], np.ndarray]]:
    """Grey pixels, every second row and column of an image of 28, and the number that each shows."""
    if set(dataset.classes) != set(map(str, range(10))):
        raise ValueError(
            f"{dataset.name} has the classes {', '.join(dataset.classes[:12])}; it must be the digits 0 to 9"
        )
    grey = []
    for row in range(len(dataset)):
        pixels = dataset.pixels(row)[:, :, 0]
        grey.append(pixels[::2, ::2] if len(pixels) > 16 else pixels)
        if row % 2000 == 0:
            yield Progress("decode", row, len(dataset))
    return np.stack(grey), np.array([int(target) for target in dataset.targets])


class Coloured:
    """Digits as a source of images: red or green, a channel each."""

    def __init__(self, digits: UInt8[np.ndarray, "images side side"], red: Bool[np.ndarray, " images"]) -> None:
        self.digits, self.red = digits, red

    def content(self, row: int) -> bytes:
        return self.pixels(row).tobytes()

    def pixels(self, row: int) -> UInt8[np.ndarray, "side side 3"]:
        image = np.zeros((*self.digits.shape[1:], 3), np.uint8)
        image[:, :, 0 if self.red[row] else 1] = self.digits[row]
        return image

    def mask(self, row: int) -> None:
        return None


def _environments(digits: np.ndarray, numbers: np.ndarray, seed: int) -> tuple[Dataset, Dataset]:
    """Training (five sixths, in two environments by turns) and test, shuffled by the seed as the paper's code does."""
    keys = chance.keys([str(row) for row in range(len(digits))])
    order = chance.order(keys, seed=seed, epoch=0).numpy()
    drawn = chance.uniform(keys, seed=seed, stream="colored mnist", draws=2).numpy()
    cut = len(digits) * 5 // 6
    environment = np.where(np.arange(len(digits)) < cut, np.arange(len(digits)) % 2, 2)
    label = (numbers[order] < 5) ^ (drawn[order, 0] < WRONG_LABELS)
    red = label ^ (drawn[order, 1] < np.array(OFF)[environment])
    whole = Dataset(
        name="colored-mnist",
        source=Coloured(digits[order], red),
        ids=tuple(map(str, order)),
        targets=tuple(CLASSES[int(below)] for below in label),
        classes=CLASSES,
        rows=np.arange(len(digits)),
        tags={"environment": tuple(environment.tolist())},
    )
    return whole.subset(range(cut)), whole.subset(range(cut, len(digits)))


def painted(batch: Batch, *, red: bool) -> Batch:
    """do(colour): the same digits, all red or all green."""
    image = batch.inputs["image"]
    digit = image[:, :2].amax(1)  # batch, side, side
    other = torch.zeros_like(digit)
    return batch.with_inputs(image=torch.stack([digit, other, other] if red else [other, digit, other], 1))


# ----------------------------------------------------------------------------------------------------- networks


class Layers(nn.Module):
    """Three linear layers that end in one number, the log-odds of the second class."""

    def __init__(self, side: int, hidden: int, *, blind: bool) -> None:
        super().__init__()
        self.blind = blind
        inputs = side * side * (1 if blind else 2)
        linear = [nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)]
        for layer in linear:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 2"]:
        colours = image[:, :2].sum(1) if self.blind else image[:, :2]
        logodds = self.layers(colours.flatten(1))  # batch, 1
        return torch.cat([-logodds / 2, logodds / 2], 1)


class Invariant(Classify):
    """Classification whose objective is the mean over environments, with IRMv1's penalty and squared weights."""

    def __init__(self, network: Layers, preprocessing: Preprocessing, setting: Setting) -> None:
        super().__init__(CLASSES, preprocessing)
        self.network, self.setting = network, setting
        self.step = 0  # told by whoever trains

    def objective(self, output: Float[Tensor, "batch 2"], batch: Batch) -> Float[Tensor, ""]:
        where = torch.tensor([tag["environment"] for tag in batch.tags])
        here = [(output[where == place], batch.targets[where == place]) for place in (0, 1)]
        loss = torch.stack([functional.cross_entropy(*given) for given in here]).mean()
        loss = loss + self.setting.decay * sum(weight.square().sum() for weight in self.network.parameters())
        if not self.setting.penalty:
            return loss
        weight = self.setting.penalty if self.step >= self.setting.from_step else 1.0
        penalty = torch.stack([_penalty(*given) for given in here]).mean()
        return (loss + weight * penalty) / max(weight, 1.0)


def _penalty(output: Float[Tensor, "batch 2"], targets: Tensor) -> Float[Tensor, ""]:
    """|d loss(w * logits) / d w|^2 at w = 1."""
    scale = output.new_ones(()).requires_grad_()
    (slope,) = torch.autograd.grad(functional.cross_entropy(output * scale, targets), scale, create_graph=True)
    return slope.square()


def _one(
    name: str, setting: Setting, digits: np.ndarray, numbers: np.ndarray, seed: int
) -> Generator[Progress, None, Measured]:
    """Train one network on all images at once, and ask it."""
    learnt, asked = _environments(digits, numbers, seed)
    side = digits.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Layers(side, setting.hidden, blind=name == "colour_blind")
    fitted = Preprocessing((side, side), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    task = Invariant(network, fitted, setting)
    how = training.Settings(
        steps=setting.steps,
        batch=len(learnt),
        learning_rate=setting.learning_rate,
        schedule="constant",
        warm_up=0.0,
        weight_decay=0.0,
        clip=1e9,
        precision="fp32",
        seed=seed,
    )
    loop = training.Training(network, task, Loader(learnt, task), None, how)
    for group in loop.optimizer.param_groups:
        group["betas"] = (0.9, 0.999)  # as published; ours forget sooner
    for progress in loop:
        task.step = loop.step
        if progress.stage != "train" or progress.done % 50 == 0:
            yield progress
    test = Loader(asked, task)
    train = yield from predict(network, Loader(learnt, task), batch=4096)
    plain = yield from predict(network, test, batch=4096)
    tables = []
    for red in (True, False):
        change = lambda batch, red=red: painted(batch, red=red)  # noqa: E731
        condition = f"colour={'red' if red else 'green'}"
        tables.append((yield from predict(network, test, batch=4096, condition=condition, change=change)))
    chosen, sure = zip(*((_below(table), _probability(table)) for table in tables), strict=True)
    return Measured(
        float(train["right"].mean()),
        float(plain["right"].mean()),
        float(np.mean(chosen[0]) - np.mean(chosen[1])),
        float(np.mean(sure[0]) - np.mean(sure[1])),
    )


def _below(table: Any) -> np.ndarray:
    return np.array([answer == CLASSES[1] for answer in table["answer"]])


def _probability(table: Any) -> np.ndarray:
    """Of "below five"."""
    return np.where(_below(table), table["confidence"], 1 - table["confidence"])


# ----------------------------------------------------------------------------------------------------- findings


def _findings(name: str, measured: Sequence[Measured], first: int, full: bool) -> list[Finding]:
    """Accuracy beside the published one, and the effect of colour, each with its interval over seeds."""
    setting = NETWORKS[name]
    common: dict[str, Any] = {"audit": "lab", "seed": first, "found": True}
    table = {
        "kind": "table",
        "title": f"{name}, seed by seed",
        "columns": ["seed", "share right in training", "share right in the test", "effect, decision", "probability"],
        "rows": [[first + place, *each] for place, each in enumerate(measured)],
    }
    found = []
    for split in ("train", "test"):
        estimate, over = _over_seeds([getattr(each, split) for each in measured], (0.0, 1.0))
        mean, spread = getattr(setting, split)
        within = "within" if abs(estimate["value"] - mean) <= 2 * spread else "not within"
        said = f"published are {mean:.4f} with a standard deviation of {spread:.4f}; ours lies {within} two of those"
        said = said if full else "this run is too small to lay beside the published number"
        found.append(
            Finding(
                id=f"lab:{name}:{split}",
                pillar="performance",
                statement=f"{name} is right on {estimate['value']:.4f} of the {split} images ({over}); {said}.",
                unit="share",
                source="Arjovsky and others 2019; Student 1908",
                evidence=(table,) if split == "train" else (),
                **estimate,
                **common,
            )
        )
    estimate, over = _over_seeds([each.decision for each in measured], (-1.0, 1.0))
    sure = float(np.mean([each.probability for each in measured]))
    found.append(
        Finding(
            id=f"lab:{name}:colour",
            pillar="cause",
            statement=f"When the colour alone is set from green to red, the decision of {name} moves by "
            f"{estimate['value']:.3f} ({over}) and its probability by {sure:.3f}.",
            unit="difference of shares",
            source="Pearl 2009; Student 1908",
            doubts=("Its settings were chosen on the test environment, by the paper's authors.",)
            if name == "irm"
            else (),
            **estimate,
            **common,
        )
    )
    return found


def _over_seeds(values: Sequence[float], within: tuple[float, float]) -> tuple[dict[str, Any], str]:
    """The mean with its interval, as a Finding has it and in words; one seed has no interval."""
    estimate, runs = intervals.mean(np.array(values), within=within), counted(len(values), "seed")
    if len(values) < 2:
        return {"value": estimate.value, "n": len(values)}, f"{runs}, so no interval"
    return estimate._asdict(), f"95 % interval over {runs} {estimate.low:.4f} to {estimate.high:.4f}"
