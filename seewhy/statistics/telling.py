"""Can a label be told from a number or a word alone, beyond what chance would give?

A small rule is fitted on some rows and judged on others. Every class counts alike in both, so a rule that always says
the most frequent class is worth nothing, whether classes are 50 to 50 or 95 to 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from seewhy.statistics import metrics
from seewhy.statistics.intervals import Estimate


class Told(NamedTuple):
    """Balanced accuracy on the rows that the rule was not fitted on; what guessing would give; and p."""

    accuracy: Estimate
    guessing: float
    p: float


def told(
    values: Shaped[np.ndarray, "rows numbers"],
    labels: Int[np.ndarray, " rows"],
    fitted: Int[np.ndarray, " some"],
    judged: Int[np.ndarray, " others"],
    *,
    seed: int,
    draws: int = 4000,
    level: float = 0.95,
) -> Told:
    """How well a rule does that was fitted on some rows and is judged on others.

    p = (1 + draws with a balanced accuracy >= the observed) / (1 + draws), where tables of labels and answers of the
    same margins are drawn at random: the labels of the judged rows dealt out anew (exact, whatever the rule and however
    unequal the classes). Words are told apart by value; numbers by `discriminant` or `neighbours`, whichever does
    better on the rows that fit it.
    """
    rule = _by_value if values.dtype.kind in "OUS" else _by_number
    answers = rule(values[fitted], labels[fitted], values[judged])
    truth = labels[judged]
    names = np.unique(truth)
    counts = np.zeros((len(names), int(max(labels.max(), answers.max(initial=0))) + 1), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(names, truth), answers), 1)
    accuracy = metrics.balanced_accuracy(truth, (answers == truth).astype(float), level)
    if len(names) < 2 or (counts.sum(0) > 0).sum() < 2:
        return Told(accuracy, 1 / max(len(names), 1), 1.0)
    from scipy.stats import random_table

    drawn = random_table(counts.sum(1), counts.sum(0)).rvs(draws, random_state=np.random.default_rng(seed))
    hits = drawn[:, np.arange(len(names)), names] / counts.sum(1)
    as_good = hits.mean(1) >= accuracy.value - 1e-9
    return Told(accuracy, 1 / len(names), float(1 + as_good.sum()) / (1 + draws))


def _by_number(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> Int[np.ndarray, " judged"]:
    """What the better of the two rules says; which one that is the judged rows have no part in."""
    code = np.unique(labels, return_inverse=True)[1]
    scores = []
    for rule, own in ((discriminant, discriminant(known, labels, known)), (neighbours, neighbours(known, labels))):
        recalls = np.bincount(code, weights=own == labels) / np.bincount(code)
        scores.append((float(recalls.mean()), rule))
    best = max(scores, key=lambda each: each[0])[1]
    return best(known, labels, asked)


def neighbours(
    known: Float[np.ndarray, "fitted numbers"],
    labels: Int[np.ndarray, " fitted"],
    asked: Float[np.ndarray, "judged numbers"] | None = None,
    nearest: int = 15,
) -> Int[np.ndarray, " judged"]:
    """The class with most of its rows among the nearest (Fix and Hodges 1951); None asks of each known row the others.

    It finds what lies in clumps, as a tint does that comes on top of one of several backgrounds.
    """
    scale = known.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    points, places = known / scale, (known if asked is None else asked) / scale
    distance = (places**2).sum(1)[:, None] - 2 * places @ points.T + (points**2).sum(1)
    if asked is None:
        np.fill_diagonal(distance, np.inf)
    near = np.argpartition(distance, min(nearest, len(known) - 1) - 1, axis=1)[:, :nearest]
    names, code = np.unique(labels, return_inverse=True)
    votes = (code[near][:, :, None] == np.arange(len(names))).sum(1) / np.bincount(code)
    return names[votes.argmax(1)]


def discriminant(
    known: Float[np.ndarray, "fitted numbers"],
    labels: Int[np.ndarray, " fitted"],
    asked: Float[np.ndarray, "judged numbers"],
) -> Int[np.ndarray, " judged"]:
    """The likeliest class of each row if all classes were as frequent and equally spread normal (Fisher 1936).

    One number goes in with its square, so that a class may also lie between, or on both sides of, the others.
    """
    middle, scale = known.mean(0), known.std(0)
    known, asked = ((part - middle) / np.where(scale > 1e-12, scale, 1.0) for part in (known, asked))
    if known.shape[1] == 1:
        known, asked = (np.hstack([part, part**2]) for part in (known, asked))
    names, code = np.unique(labels, return_inverse=True)
    means = np.stack([known[code == each].mean(0) for each in range(len(names))])
    left = known - means[code]
    spread = left.T @ left / len(known)
    whitened = np.linalg.solve(spread + 1e-7 * np.eye(len(spread)), means.T)  # numbers, classes
    scores = asked @ whitened - 0.5 * np.sum(means.T * whitened, axis=0)
    return names[scores.argmax(1)]


def _by_value(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> Int[np.ndarray, " judged"]:
    """The class in which a value is most frequent; a value that was never seen says nothing, so the first class."""
    names, code = np.unique(labels, return_inverse=True)
    words = {word: place for place, word in enumerate(dict.fromkeys(map(str, known[:, 0])))}
    counts = np.zeros((len(names), len(words) + 1))
    np.add.at(counts, (code, np.array([words[str(word)] for word in known[:, 0]])), 1)
    shares = (counts + 0.5) / (counts.sum(1, keepdims=True) + 0.5 * counts.shape[1])
    return names[shares.argmax(0)[[words.get(str(word), len(words)) for word in asked[:, 0]]]]
