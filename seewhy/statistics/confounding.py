"""What is left of a difference between groups once other things are held alike?

An effect read off data that nobody intervened on rests on a graph of what may act on what, which data cannot prove.
From the graph follows what must be held alike (the back-door criterion, Pearl 2009, section 3.3); from that, a doubly
robust estimate: right if either the model of who is in the group or the model of the outcome is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import networkx
import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import special

from seewhy.statistics import intervals

#: Probabilities of being in the group are cut off here, so that no row counts more than a hundred times.
OVERLAP = 0.01
FOLDS = 5


def read_graph(text: str) -> networkx.DiGraph:
    """ "age -> label; site -> scanner -> label" as a graph. Raises ValueError for what is no arrow and for a circle."""
    graph = networkx.DiGraph()
    for part in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        names = [name.strip() for name in part.split("->")]
        if len(names) < 2 or not all(names):
            raise ValueError(f"The graph has {part!r}; it must be arrows between names, as age -> label; site -> label")
        networkx.add_path(graph, names)
    try:
        circle = networkx.find_cycle(graph)
    except networkx.NetworkXNoCycle:
        return graph
    raise ValueError(f"The graph goes in a circle: {' -> '.join([edge[0] for edge in circle] + [circle[0][0]])}")


def back_door(graph: networkx.DiGraph, cause: str, outcome: str, observed: Iterable[str]) -> frozenset[str] | None:
    """The fewest observed names that, held alike, leave only what `cause` itself does to `outcome`; None if none can.

    None of them follows from `cause`, and they block every path between the two that begins with an arrow into it.
    """
    if cause not in graph or outcome not in graph:
        raise ValueError(f"The graph has no {cause if cause not in graph else outcome!r}")
    backwards = graph.copy()
    backwards.remove_edges_from(list(graph.out_edges(cause)))
    allowed = set(observed) & (set(graph) - networkx.descendants(graph, cause) - {cause, outcome})
    found = networkx.find_minimal_d_separator(backwards, cause, outcome, restricted=allowed)
    return None if found is None else frozenset(found)


class Adjusted(NamedTuple):
    """Risk in the group and elsewhere with all else alike, their difference and ratio, each with its interval.

    `overlap` is the share of rows that might have been on either side: their probability of being in the group lies
    within OVERLAP of neither end.
    """

    inside: float
    outside: float
    difference: intervals.Estimate
    ratio: intervals.Estimate
    overlap: float


def doubly_robust(
    outcome: Num[np.ndarray, " rows"],
    inside: Bool[np.ndarray, " rows"],
    others: Float[np.ndarray, "rows columns"],
    fold: Int[np.ndarray, " rows"],
    *,
    level: float = 0.95,
    unit: Int[np.ndarray, " rows"] | None = None,
) -> Adjusted:
    """The mean outcome were all in the group less were none, with `others` held alike.

        mean of  m1(x) - m0(x) + t (y - m1(x)) / e(x) - (1 - t) (y - m0(x)) / (1 - e(x))

    Robins, Rotnitzky and Zhao 1994, https://doi.org/10.1080/01621459.1994.10476818. e is a logistic, m are ridge
    regressions, each fitted on the other folds (Chernozhukov and others 2018, https://doi.org/10.1111/ectj.12097). The
    interval is Student's over rows or units; that of the ratio is on its logarithm, by the delta method.
    """
    chance_in = _fitted(others, inside.astype(float), fold, np.ones(len(inside), bool), logistic=True)
    alike = (chance_in > OVERLAP) & (chance_in < 1 - OVERLAP)
    chance_in = chance_in.clip(OVERLAP, 1 - OVERLAP)
    if_in = _fitted(others, outcome, fold, inside)
    if_out = _fitted(others, outcome, fold, ~inside)
    rows_in = if_in + np.where(inside, (outcome - if_in) / chance_in, 0.0)
    rows_out = if_out + np.where(inside, 0.0, (outcome - if_out) / (1 - chance_in))
    gap = rows_in - rows_out
    n = len(outcome) if unit is None else len(np.unique(unit))
    low, high = intervals.mean_interval(gap, level, unit)
    difference = intervals.Estimate(float(gap.mean()), low, high, level, n)
    first, second = float(rows_in.mean()), float(rows_out.mean())
    ratio = intervals.Estimate(math.nan, math.nan, math.nan, level, n)
    if first > 0 and second > 0:
        log = math.log(first / second)
        low, high = intervals.mean_interval(rows_in / first - rows_out / second, level, unit)
        ratio = intervals.Estimate(math.exp(log), math.exp(log + low), math.exp(log + high), level, n)
    return Adjusted(first, second, difference, ratio, float(alike.mean()))


def _fitted(
    others: Float[np.ndarray, "rows columns"],
    outcome: Num[np.ndarray, " rows"],
    fold: Int[np.ndarray, " rows"],
    learnt: Bool[np.ndarray, " rows"],
    *,
    logistic: bool = False,
) -> Float[np.ndarray, " rows"]:
    """What a regression of the outcome on the others says of each row, fitted on the `learnt` rows of other folds."""
    from sklearn.linear_model import LogisticRegression, Ridge

    said = np.empty(len(outcome))
    for here in np.unique(fold):
        asked, known = fold == here, learnt & (fold != here)
        values = outcome[known]
        if not len(values) or np.ptp(values) == 0 or not others.shape[1]:
            said[asked] = values.mean() if len(values) else outcome[learnt].mean()
        elif logistic:
            model = LogisticRegression(C=10.0, max_iter=500).fit(others[known], values > 0.5)
            said[asked] = model.predict_proba(others[asked])[:, 1]
        else:
            said[asked] = Ridge(alpha=1.0).fit(others[known], values).predict(others[asked])
    return said


def e_value(ratio: float) -> float:
    """How strongly, as a risk ratio, something unmeasured would have to go along with both the group and the outcome to
    explain a risk ratio away:  E = R + sqrt(R (R - 1)),  R the ratio or its inverse, whichever is above 1.

    VanderWeele and Ding 2017, https://doi.org/10.7326/M16-2607. NaN of what is no ratio.
    """
    if not ratio > 0 or not math.isfinite(ratio):
        return math.nan
    risen = max(ratio, 1 / ratio)
    return risen + math.sqrt(risen * (risen - 1))


def columns(values: Sequence[np.ndarray]) -> Float[np.ndarray, "rows columns"]:
    """Tags as numbers for a regression: a number standardised, with its square; a word as one column a value. What is
    missing is a value of its own."""
    found: list[np.ndarray] = []
    for value in values:
        if value.dtype != object:
            missing = np.isnan(value)
            filled = np.where(missing, np.nanmean(value) if not missing.all() else 0.0, value)
            scaled = (filled - filled.mean()) / (filled.std() or 1.0)
            found += [scaled, scaled**2 - 1, *([missing.astype(float)] if missing.any() else [])]
        else:
            words = np.array(["" if word is None else str(word) for word in value])
            found += [(words == word).astype(float) for word in np.unique(words)[1:]]
    rows = len(values[0]) if len(values) else 0
    return np.stack(found, 1) if found else np.zeros((rows, 0))


def two_sided(estimate: intervals.Estimate) -> float:
    """p that a number is zero, from its interval."""
    half = (estimate.high - estimate.low) / 2
    if not half > 0:
        return 1.0
    error = half / float(special.stdtrit(max(estimate.n - 1, 1), (1 + estimate.confidence_level) / 2))
    return float(2 * special.stdtr(max(estimate.n - 1, 1), -abs(estimate.value) / error))
