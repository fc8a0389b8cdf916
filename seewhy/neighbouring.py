"""Which training images speak for an answer, and which against it? Two ways to ask, which mean different things.

embedding   By likeness: the cosine between what the last linear layer reads of the image and of a training image. For
            are the nearest that are labelled as the answer, against the nearest that are labelled otherwise.
tracin      By what was learnt: how far a training step on a training image moves the score, to first order, summed
            over moments of the training (TracInCP): Pruthi et al. 2020, https://arxiv.org/abs/2002.08484:

                influence = sum over moments of rate * (d score / d logits) . (y - p) * (<e, e'> + 1)

The score is the log-probability of the answer, so that d score / d logits = y' - p'; of "A - B" it is the difference
of two logits. Only the last linear layer counts, as the paper does for large networks: the gradient of the
cross-entropy there is (p - y) e for the weights and p - y for the bias, whence the 1. So one pass over the training
images a moment is all, and no backward pass. p and e come from the table of predictions, in float16.

Where it fails: influence is larger for images that the network got wrong, whatever is asked (outliers come first),
steps count as those of plain gradient descent without augmentation, and what was learnt in the layers below is left
out. Likeness tells what the network takes for alike and not what it learnt from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional

from seewhy import asking, explaining, hooks, predicting
from seewhy.images import heatmap, imaging
from seewhy.material import opening
from seewhy.model import Model
from seewhy.planner import Planner
from seewhy.settings import Settings
from seewhy.storage import files
from seewhy.storage.cache import Cache
from seewhy.storage.run import Run
from seewhy.types import Answer, Dataset, Example, Need, Predictions, Progress, Question

#: How many are shown for, and how many against.
COUNT = 5
#: Rows of the table that are worked on at once.
ROWS = 4096


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training image, its label, how much it speaks; `same` where its file holds the very bytes asked about."""

    id: str
    target: str
    score: float
    same: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """The training images that speak most for an answer and most against it, the strongest first, in one unit.

    `note` says on what it rests, or why both are empty.
    """

    unit: str
    supporting: tuple[Neighbour, ...] = ()
    opposing: tuple[Neighbour, ...] = ()
    note: str = ""


@dataclass(frozen=True, eq=False)
class Moment:
    """The network at one moment of its training, the training images as it saw them then, and how fast it learnt."""

    model: Model
    seen: Predictions
    rate: float = 1.0
    step: int | None = None


@dataclass(frozen=True, eq=False)
class Learnt:
    """The training images as a model sees them: `now`, and at the moments that its run kept.

    `known` is whether these are known to be the images that it was trained on.
    """

    dataset: Dataset
    hashes: tuple[str, ...]
    now: Moment
    before: tuple[Moment, ...]
    known: bool


def learn(
    model: Model, settings: Settings, cache: Cache | None = None, *, data: Any = None
) -> Generator[Progress, None, Learnt]:
    """Run the network once over its training images, and once more for each moment that was kept; what the cache
    remembers is not run again. `settings` name the data and the model, whose run tells which images it was trained on.

    Raises ValueError for a network that has no linear layer to read embeddings from.
    """
    cache, model = cache or Cache(), model if model.views == "none" else model.seeing("none")
    material, known = yield from opening.open_learnt(settings, cache, model, data=data)
    moments = [Moment(model, (yield from Planner(settings, cache, {}, material, model).make(TRAINED)))]
    if moments[0].seen.embeddings is None:
        raise ValueError(f"{model.name} has no linear layer that reads an image as one row of numbers")
    kept = Run.holding(settings.model).kept_weights() if settings.model is not None and model.mapping is None else ()
    for weights, step, rate in kept:
        then = model.holding(weights)
        seen = yield from Planner(settings, cache, {}, material, then).make(TRAINED)
        moments.append(Moment(then, seen, rate, step))
    dataset = material.dataset.split("train")
    table = material.scan.files
    hashes = dict(zip(table["id"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    return Learnt(dataset, tuple(hashes[id] for id in dataset.ids), moments[0], tuple(moments[1:]), known)


#: The table that holds all it takes of a moment.
TRAINED = Need("baseline", split="train")


def settings_for(model: str | None, data: str, **others: Any) -> Settings:
    """As the run of the model was asked about its data, with these data; the usual ones where there is no run."""
    before = None if model is None else Run.holding(model).settings
    if before is None:
        return Settings(data=data, model=model, **others)
    return replace(before, data=data, model=model, test=None, **others)


def near(
    learnt: Learnt, example: Example, target: str, *, count: int = COUNT, content: bytes | None = None
) -> dict[str, Ranking]:
    """By "embedding" and by "tracin": what speaks for and against the answer `target`, a class or "A - B".

    `content` is the file asked about, to tell which training image it is. Raises KeyError for a class that there is
    not, ValueError for a question at a layer.
    """
    model = learnt.now.model
    question = asking.question(model.task, model.network, target)
    if question.at is not None:
        raise ValueError(f"Training images speak for or against a class, not {question.text!r}; name a class or A - B")
    asked = _asked(model, example, question)
    hash = None if content is None else hashlib.sha256(content).hexdigest()
    return {
        "embedding": _nearest(learnt, asked, count, hash),
        "tracin": _traced(learnt, example, question, asked, count, hash),
    }


# ------------------------------------------------------------------------------------------- the image asked about


@dataclass(frozen=True, eq=False)
class _Asked:
    """One image through a network: what its last linear layer read, the logits, and how the score moves with these.

    `positive` and `negative` are the classes that the question asks for, and those that it asks against; `contrast`
    says that it names both. `closed` is whether nothing stands behind the layer.
    """

    reads: Float[Tensor, " width"]
    slope: Float[Tensor, " classes"]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    contrast: bool
    closed: bool
    bias: bool


def _asked(model: Model, example: Example, question: Question) -> _Asked:
    network, linear = model.network, predicting.last_linear(model.network)
    assert linear is not None  # there are embeddings
    batch = model.task.collate([example]).to(network.mean.device)
    with hooks.frozen(network), torch.no_grad(), predicting.embedding(network) as seen:
        logits = network(**batch.inputs)
        closed = _is_last(linear, seen[-1], logits)
    leaf = logits.detach().double().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(question.score(leaf).sum(), leaf)
    classes = model.classes
    positive = tuple(name for name, value in zip(classes, slope[0].tolist(), strict=True) if value > 0)
    negative = tuple(name for name, value in zip(classes, slope[0].tolist(), strict=True) if value < 0)
    contrast = bool(negative)
    if not contrast:  # a class alone: its log-probability
        slope = slope - leaf.detach().softmax(1)
        negative = tuple(name for name in classes if name not in positive)
    reads, bias = seen[-1][0].double().cpu(), linear.bias is not None
    return _Asked(reads, slope[0].cpu(), positive, negative, contrast, closed, bias)


def _is_last(linear: nn.Linear, reads: Tensor, logits: Tensor) -> bool:
    """Whether the logits are what this layer gives, so that nothing stands behind it."""
    given = functional.linear(reads, linear.weight, linear.bias)
    return given.shape == logits.shape and torch.allclose(given, logits, rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------------------------------- rankings


def _nearest(learnt: Learnt, asked: _Asked, count: int, hash: str | None) -> Ranking:
    """By the cosine of embeddings."""
    embeddings = learnt.now.seen.embeddings
    assert embeddings is not None
    cosine = np.concatenate([_cosine(part, asked.reads.numpy()) for part in _parts(embeddings)])
    targets = np.array(learnt.dataset.targets, dtype=object)
    supporting, opposing = (
        _strongest(learnt, np.where(np.isin(targets, list(names)), cosine, -np.inf), cosine, count, hash)
        for names in (asked.positive, asked.negative)
    )
    return Ranking("cosine", supporting, opposing, _whose(learnt))


def _traced(
    learnt: Learnt, example: Example, question: Question, asked: _Asked, count: int, hash: str | None
) -> Ranking:
    """By influence."""
    moments = learnt.before or (learnt.now,)
    unit = "logits" if asked.contrast else "nats"
    if not asked.closed:
        why = "The answer is not what the last linear layer gives, so influence has no closed form here"
        return Ranking(unit, note=why)
    total = np.zeros(len(learnt.dataset))
    for moment in moments:
        then = asked if moment is learnt.now else _asked(moment.model, example, question)
        targets = _places(learnt.dataset.targets, moment.model.classes)
        seen = moment.seen
        assert seen.embeddings is not None
        assert seen.log_probabilities is not None
        total += moment.rate * influence(
            seen.log_probabilities, seen.embeddings, targets, then.slope.numpy(), then.reads.numpy(), bias=then.bias
        )
    if learnt.before:
        steps = ", ".join(f"{moment.step:,}" for moment in learnt.before)
        note = f"over the weights after steps {steps}, each at its learning rate"
    else:
        unit += " a unit of learning rate"
        note = "over the final weights alone: the run kept none on the way (seewhy train --keep-checkpoints)"
    supporting = _strongest(learnt, np.where(total > 0, total, -np.inf), total, count, hash)
    opposing = _strongest(learnt, np.where(total < 0, -total, -np.inf), total, count, hash)
    return Ranking(unit, supporting, opposing, "; ".join(filter(None, (note, _whose(learnt)))))


def influence(
    log_probabilities: Float[np.ndarray, "rows classes"],
    embeddings: Float[np.ndarray, "rows width"],
    targets: Int[np.ndarray, " rows"],
    slope: Float[np.ndarray, " classes"],
    reads: Float[np.ndarray, " width"],
    *,
    bias: bool,
) -> Float[np.ndarray, " rows"]:
    """What a step of plain gradient descent on each row alone, at a learning rate of 1, adds to a score through the
    last linear layer, to first order; `slope` is d score / d logits and `reads` the embedding of the image asked about.
    A row whose target is -1 adds nothing."""
    found = []
    for logs, rows, labels in zip(_parts(log_probabilities), _parts(embeddings), _parts(targets), strict=True):
        error = -np.exp(logs)  # y - p
        places = np.flatnonzero(labels >= 0)
        # Of the label itself 1 - p, from the logarithm: of a sure answer more is left than of the difference.
        error[places, labels[places]] = -np.expm1(logs[places, labels[places]])
        found.append(np.where(labels >= 0, error @ slope, 0) * (rows @ reads + float(bias)))
    return np.concatenate(found)


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """A few rows at a time, in float64 where they are numbers of less."""
    for start in range(0, len(values), ROWS):
        part = values[start : start + ROWS]
        yield part.astype(np.float64) if part.dtype.kind == "f" else part


def _cosine(rows: np.ndarray, reads: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(reads)
    return rows @ reads / np.where(lengths > 0, lengths, np.inf)


def _strongest(
    learnt: Learnt, order: np.ndarray, scores: np.ndarray, count: int, hash: str | None
) -> tuple[Neighbour, ...]:
    """The first few by `order`; of equals those that come first in the data. What is -inf is out."""
    best = [int(row) for row in np.argsort(-order, kind="stable")[:count] if np.isfinite(order[row])]
    ids, targets = learnt.dataset.ids, learnt.dataset.targets
    return tuple(Neighbour(ids[row], str(targets[row]), float(scores[row]), learnt.hashes[row] == hash) for row in best)


def _places(targets: Sequence[Any], classes: Sequence[str]) -> Int[np.ndarray, " rows"]:
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(target, -1) for target in targets])


def _whose(learnt: Learnt) -> str:
    return "" if learnt.known else "it is not known that the model was trained on these images"


# ----------------------------------------------------------------------------------------------------- on disk

#: Of the picture, in pixels: a side of each image, the frame that says for or against, and the height of a line.
SIDE, FRAME, LINE = 112, 4, 16


def write(learnt: Learnt, path: Path, answer: Answer, *, out: Path, target: str | None = None) -> dict[str, Any]:
    """Rank the training images for the image at `path`, of which the model said `answer`; write a picture of them into
    `out`. Returns what a JSON file tells: the rankings, the picture, and among how many images was looked."""
    model, content = learnt.now.model, path.read_bytes()
    found = near(learnt, model.example(path), answer.value if target is None else target, content=content)
    file = out / f"{explaining.file_name(path)}-neighbours.png"
    files.write_bytes(file, imaging.encode_png(drawn(learnt, model.example(path), found)))
    return {
        "data": learnt.dataset.name,
        "n": len(learnt.dataset),
        "trained_on_these": learnt.known,
        "picture": str(file),
        "by": {name: asdict(ranking) for name, ranking in found.items()},
    }


def drawn(learnt: Learnt, example: Example, rankings: Mapping[str, Ranking]) -> UInt8[np.ndarray, "height width 3"]:
    """The image, and beside it those that speak for the answer (orange) and against it (blue); a row a ranking."""
    rows = {name: ranking for name, ranking in rankings.items() if ranking.supporting or ranking.opposing}
    most = [max((len(getattr(row, side)) for row in rows.values()), default=0) for side in ("supporting", "opposing")]
    cell, high = SIDE + 2 * FRAME + 4, SIDE + 2 * FRAME + 3 * LINE
    sheet = Image.new("RGB", ((1 + sum(most)) * cell + 3 * FRAME, max(1, len(rows)) * high), "white")
    asked = (example.inputs["image"].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    ids = {id: row for row, id in enumerate(learnt.dataset.ids)}
    for line, (name, ranking) in enumerate(rows.items()):
        _say(sheet, f"{name} ({ranking.unit}); orange speaks for the answer, blue against", 4, line * high, sheet.width)
        _paste(sheet, asked, None, 0, line * high + LINE)
        for side, start, sign in ((ranking.supporting, 1, 1.0), (ranking.opposing, 1 + most[0], -1.0)):
            colour = tuple((heatmap.colours(np.array(sign), signed=True) * 255).astype(int).tolist())
            for place, each in enumerate(side):
                left, top = (start + place) * cell + FRAME, line * high + LINE
                _paste(sheet, learnt.dataset.pixels(ids[each.id]), colour, left, top)
                _say(sheet, each.target, left, top + SIDE + 2 * FRAME, cell)
                note = " same file" if each.same else ""
                _say(sheet, f"{each.score:.3g}{note}", left, top + SIDE + 2 * FRAME + LINE - 2, cell)
    return np.asarray(sheet)


def _paste(
    sheet: Image.Image, pixels: UInt8[np.ndarray, "height width 3"], colour: tuple[int, ...] | None, left: int, top: int
) -> None:
    """A picture in the middle of its square, with a frame around it."""
    small = Image.fromarray(heatmap.fitted(pixels, SIDE))
    edge = ((SIDE - small.width) // 2, (SIDE - small.height) // 2)
    if colour is not None:
        box = (left, top, left + SIDE + 2 * FRAME - 1, top + SIDE + 2 * FRAME - 1)
        ImageDraw.Draw(sheet).rectangle(box, outline=colour, width=FRAME)
    sheet.paste(small, (left + FRAME + edge[0], top + FRAME + edge[1]))


def _say(sheet: Image.Image, text: str, left: int, top: int, width: int) -> None:
    """A line of text, cut to its room; a letter that the font lacks is a question mark."""
    font, plain = ImageFont.load_default(12), "".join(letter for letter in text if letter.isprintable())
    plain = plain.encode("latin-1", "replace").decode("latin-1")
    draw = ImageDraw.Draw(sheet)
    while plain and draw.textlength(plain, font) > width - 2:
        plain = plain[:-1]
    draw.text((left, top), plain, fill="black", font=font)
