"""Where in the image does the network look?

Pictures of heat for right, wrong and doubtful answers, and three numbers about them. Do the methods agree (mean rank
correlation of |heat| between each two methods, on a common 16 x 16 grid)? How much of the heat lies in the border (two
cells of sixteen on each side, 43.75 % of the area, which is what heat spread evenly would give)? And, where somebody
measured it, is the heat faithful? Disagreement and heat in the border are minor: they are reasons to look, no faults.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from seewhy.images.heatmap import GRID, on_grid
from seewhy.statistics import intervals
from seewhy.types import Explanation, Finding, Need, Pillar, Predictions, Tables
from seewhy.wording import counted, listed, percent

pillar: Pillar = "see"

BORDER = 2
#: An answer is doubtful if its rival is within this much probability, or it is less sure than this.
MARGIN, DOUBTFUL = 0.2, 0.5
#: Below this rank correlation methods are said to disagree.
AGREEMENT = 0.5
ASSOCIATION = (
    "Heat shows what the score is associated with, not what causes it: only changing the image on purpose tells that."
)


def needs(
    *, methods: tuple[str, ...] = ("gradient", "grad_cam", "occlusion"), count: int = 12, **settings: Any
) -> tuple[Need, ...]:
    return Need("explanations", methods=tuple(methods), count=count), Need("baseline")


def check(
    tables: Tables,
    *,
    methods: tuple[str, ...] = ("gradient", "grad_cam", "occlusion"),
    count: int = 12,
    level: float = 0.95,
) -> Iterator[Finding]:
    """Agreement with the pictures, heat in the border, and faithfulness if it was measured. `count`: examples shown.

    `methods` are names on the shelf `explainers`.
    """
    methods = tuple(methods)
    explanations: Sequence[Explanation] = tables[Need("explanations", methods=methods, count=count)]
    common: dict[str, Any] = {
        "audit": "where_it_looks",
        "pillar": pillar,
        "seed": tables.seed,
        "settings": {"methods": list(methods), "count": count, "level": level, "grid": GRID},
    }
    by_id: dict[str, dict[str, Float[np.ndarray, "16 16"]]] = defaultdict(dict)
    for each in explanations:
        heat = each.heat.get("image", next(iter(each.heat.values()), None))
        if heat is not None and heat.size and np.isfinite(heat).all() and np.ptp(heat) > 0:
            by_id[each.id][each.method] = on_grid(np.abs(heat))
    groups = _groups(tables.baseline, list(dict.fromkeys(each.id for each in explanations)))
    if not by_id:
        why = "there is no heat to look at" if explanations else f"no {tables.split} image was explained"
        yield Finding(id="where_it_looks:agreement", statement=f"Heat was not compared: {why}.", n=0, **common)
        return
    pictures = tuple(
        {
            "kind": "explanations",
            "title": f"Where it looks: {title}",
            "ids": ids,
            "methods": list(dict.fromkeys(each.method for each in explanations)),
        }
        for title, ids in groups.items()
    )
    yield _agreement(by_id, pictures, groups, level, common)
    yield _border(by_id, level, common)
    yield from _faithfulness(explanations, level, common)


def _groups(predictions: Predictions, ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids by what the network said of them, wrong ones first; kinds without an example are left out."""
    rows = dict(zip(predictions["id"], range(len(predictions)), strict=True))
    found: dict[str, list[str]] = {title: [] for title in ("wrong", "doubtful", "right", "unlabelled")}
    right = predictions["right"]
    for id in ids:
        row = rows.get(id)
        if row is None or np.isnan(right[row]):
            found["unlabelled"].append(id)
        elif right[row] < 0.5:
            found["wrong"].append(id)
        else:
            found["doubtful" if _doubtful(predictions, row) else "right"].append(id)
    return {title: members for title, members in found.items() if members}


def _doubtful(predictions: Predictions, row: int) -> bool:
    top = predictions["top_probabilities"][row]
    if top is not None and len(top) > 1:
        return bool(top[0] - top[1] < MARGIN)
    return bool(predictions["confidence"][row] < DOUBTFUL)


def _agreement(
    by_id: Mapping[str, Mapping[str, np.ndarray]],
    pictures: tuple[dict[str, Any], ...],
    groups: Mapping[str, Sequence[str]],
    level: float,
    common: dict[str, Any],
) -> Finding:
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    means = []
    for heats in by_id.values():
        each = {
            pair: _rank_correlation(heats[pair[0]], heats[pair[1]]) for pair in itertools.combinations(sorted(heats), 2)
        }
        for pair, value in each.items():
            pairs[pair].append(value)
        if each:
            means.append(float(np.mean(list(each.values()))))
    shown = listed([f"{len(ids):,} {title}" for title, ids in groups.items()])
    finding: dict[str, Any] = {
        "id": "where_it_looks:agreement",
        "unit": "rank correlation",
        "evidence": pictures,
        "examples": tuple(id for ids in groups.values() for id in ids),
        "doubts": (ASSOCIATION,),
        "source": "Spearman 1904, https://doi.org/10.2307/1412159",
        **common,
    }
    if len(means) < 2:
        why = "two methods" if not means else "two images"
        statement = (
            f"Whether methods agree about where the network looks was not asked: it takes {why}; pictures: {shown}."
        )
        return Finding(statement=statement, n=len(means), **finding)
    estimate = intervals.mean(np.array(means), level, within=(-1.0, 1.0))
    disagree, agree = estimate.high < AGREEMENT, estimate.low >= AGREEMENT
    verdict = "disagree" if disagree else "agree" if agree else "do not clearly agree"
    names = listed(sorted({name for pair in pairs for name in pair}))
    table = {
        "kind": "table",
        "title": "Agreement of methods",
        "columns": ["method", "method ", "mean rank correlation", "images"],
        "rows": [[*pair, float(np.mean(values)), len(values)] for pair, values in sorted(pairs.items())],
    }
    finding["evidence"] = (*pictures, table)
    return Finding(
        statement=f"{names} {verdict} about where the network looks: mean rank correlation {estimate.value:.2f} "
        f"({100 * level:.4g} % interval {estimate.low:.2f} to {estimate.high:.2f}) on {len(means):,} images, {shown}.",
        found=disagree,
        **estimate._asdict(),
        severity="minor" if disagree else "none",
        mitigation="Rest no decision on one method's picture; cover or change the place in question and look again."
        if disagree
        else None,
        **finding,
    )


def _border(by_id: Mapping[str, Mapping[str, np.ndarray]], level: float, common: dict[str, Any]) -> Finding:
    inside = np.zeros((GRID, GRID), dtype=bool)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    even = 1 - float(inside.mean())
    by_method: dict[str, list[float]] = defaultdict(list)
    means = []
    for heats in by_id.values():
        each = {method: float(heat[~inside].sum() / heat.sum()) for method, heat in heats.items()}
        for method, value in each.items():
            by_method[method].append(value)
        means.append(float(np.mean(list(each.values()))))
    if len(means) < 2:
        statement = "Whether heat gathers in the border was not asked: it takes two images."
        return Finding(id="where_it_looks:border", statement=statement, n=len(means), **common)
    estimate = intervals.mean(np.array(means), level)
    found = estimate.low > even
    rows = []
    for method, values in sorted(by_method.items()):
        of = intervals.mean(np.array(values), level)
        rows.append({"name": method, "value": of.value, "low": of.low, "high": of.high, "n": of.n})
    more = (
        "More heat lies in the border than if it were spread evenly" if found else "The border gets no surplus of heat"
    )
    return Finding(
        id="where_it_looks:border",
        statement=f"{more}: {estimate} of it on {counted(estimate.n, 'image')}; even heat would give {percent(even)}.",
        found=found,
        unit="share of heat",
        **estimate._asdict(),
        severity="minor" if found else "none",
        examples=tuple(by_id) if found else (),
        evidence=(
            {
                "kind": "bars",
                "title": "Heat in the border",
                "unit": "share",
                "rows": rows,
                "reference": {"name": "spread evenly", "value": even},
            },
        ),
        doubts=(ASSOCIATION, "Objects need not be in the middle, and padding makes heat at edges by itself."),
        source="Student 1908",
        mitigation="Cut away or blur the border and audit again: what needs it may rest on a frame, a mark or text."
        if found
        else None,
        **common,
    )


def _faithfulness(explanations: Sequence[Explanation], level: float, common: dict[str, Any]) -> Iterator[Finding]:
    """The mean of each measure of faithfulness by method; a measure that everything lacks yields nothing."""
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in explanations:
        for measure, value in (each.faithfulness or {}).items():
            if np.isfinite(value):
                measured[measure][each.method].append(float(value))
    for measure, methods in sorted(measured.items()):
        means = {method: float(np.mean(values)) for method, values in sorted(methods.items())}
        rows = [[method, value, len(methods[method])] for method, value in means.items()]
        said = listed([f"{value:.3f} for {method}" for method, value in means.items()])
        yield Finding(
            id=f"where_it_looks:faithfulness:{measure}",
            statement=f"Faithfulness of the heat, measured as {measure}, is {said} on average.",
            found=True,
            unit=measure,
            n=max(len(values) for values in methods.values()),
            evidence=(
                {
                    "kind": "table",
                    "title": f"Faithfulness: {measure}",
                    "columns": ["method", measure, "images"],
                    "rows": rows,
                },
            ),
            doubts=("One measure cannot choose a method: measures of faithfulness contradict each other.",),
            source="measured by the planner",
            **common,
        )


def _rank_correlation(first: Float[np.ndarray, "16 16"], second: Float[np.ndarray, "16 16"]) -> float:
    """Spearman's, ties by mean rank; a map that is even on the grid agrees with none."""
    a, b = stats.rankdata(first.ravel()), stats.rankdata(second.ravel())
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
