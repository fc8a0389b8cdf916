"""Does it tie a class to a group more than the labels do?

Of the images it calls by a class, which share belongs to a group; and of the images labelled so? Where labels lean
towards a group and answers lean farther, the network amplifies a bias (Zhao et al. 2017, equation 2). Shares of the
same images are compared, so the difference is paired; its interval is by the delta method, and Holm corrects over all
classes and tags. To which group a class leans is taken from the training images where there are any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from seewhy.statistics import grouping, intervals, significance
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, p_value, percent, points, quoted

pillar: Pillar = "fair"
optional = frozenset({"rows"})

#: Fewer labelled or answered images of a class, or fewer on which label and answer differ, tell nothing.
LEAST, LEAST_CHANGED = 20, 10
SOURCE = "Zhao et al. 2017, https://arxiv.org/abs/1707.09457; Holm 1979"


def needs(**settings: Any) -> tuple[Need, ...]:
    return Need("baseline"), Need("rows")


class Lean(NamedTuple):
    """How far a class leans to the group it leans to in the labels: in labels, in answers, and their difference."""

    tag: str
    name: str
    group: str
    labelled: float
    answered: float
    change: intervals.Estimate
    p: float
    influence: Float[np.ndarray, " rows"]


def check(tables: Tables, *, level: float = 0.95) -> Iterator[Finding]:
    """One Finding a tag with enough data, and one that says there is none."""
    common: dict[str, Any] = {"audit": "bias_amplification", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    predictions = tables.baseline
    leans = {tag: leaning for tag in predictions.tags if (leaning := list(_leans(tables, tag, level)))}
    if not leans:
        why = "no class and group have enough images on which label and answer differ" if predictions.tags else ""
        statement = f"Whether bias is amplified was not asked: {why or 'the images have no tags'}."
        yield Finding("bias_amplification:(none)", statement=statement, n=len(predictions), **common)
        return
    means = {tag: _mean(leaning, level) for tag, leaning in leans.items()}
    tests = [p for tag, leaning in leans.items() for p in (means[tag][1], *(each.p for each in leaning))]
    adjusted = iter(significance.holm(tests).tolist())
    for tag, leaning in leans.items():
        p, *each = (next(adjusted) for _ in range(1 + len(leaning)))
        yield _told(tag, leaning, means[tag][0], p, each, len(tests), level, common)


def _leans(tables: Tables, tag: str, level: float) -> Iterator[Lean]:
    """Each class that has enough images."""
    predictions = tables.baseline
    known = np.flatnonzero([target is not None for target in predictions["target"]])
    groups = grouping.by(predictions, tag, known)
    if groups is None:
        return
    names, place = groups
    target, answer = predictions["target"][known], predictions["answer"][known]
    towards = _towards(tables, tag, names)
    for name in sorted({str(label) for label in target}):
        labelled, answered = target == name, answer == name
        if min(labelled.sum(), answered.sum()) < LEAST or np.sum(labelled != answered) < LEAST_CHANGED:
            continue
        shares = np.bincount(place[labelled], minlength=len(names)) / labelled.sum()
        group = towards.get(name, int(shares.argmax()))
        if shares[group] <= 1 / len(names):
            continue  # leans nowhere: nothing to amplify
        yield _lean(tag, name, names[group], place == group, labelled, answered, level)


def _towards(tables: Tables, tag: str, names: tuple[str, ...]) -> dict[str, int]:
    """The group that each class leans to in the training images; empty where there are none with this tag."""
    if Need("rows") not in tables or f"tag:{tag}" not in tables.rows.column_names:
        return {}
    rows = Predictions(tables.rows)  # its columns are read as those of predictions are
    rows = rows.where(rows["split"] == "train")
    targets, groups = rows["target"], grouping.grouped(rows[f"tag:{tag}"])
    if groups.names != names:  # quarters of other numbers: not the same groups
        return {}
    counts = {
        name: np.bincount(groups.place[targets == name], minlength=len(names))
        for name in {target for target in targets if target is not None}
    }
    return {name: int(count.argmax()) for name, count in counts.items()}


def _lean(
    tag: str,
    name: str,
    group: str,
    member: Bool[np.ndarray, " rows"],
    labelled: Bool[np.ndarray, " rows"],
    answered: Bool[np.ndarray, " rows"],
    level: float,
) -> Lean:
    """share(member | answered) - share(member | labelled), with what each row adds to it (delta method for ratios)."""
    n = len(member)
    before, after = member[labelled].mean(), member[answered].mean()
    influence = answered * (member - after) / answered.mean() - labelled * (member - before) / labelled.mean()
    change = _estimate(float(after - before), influence, level, n)
    return Lean(tag, name, group, float(before), float(after), change, _p(change.value, influence), influence)


def _estimate(value: float, influence: np.ndarray, level: float, n: int) -> intervals.Estimate:
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * float(influence.std(ddof=1)) / np.sqrt(n)
    return intervals.Estimate(value, max(value - half, -1.0), min(value + half, 1.0), level, n)


def _p(value: float, influence: np.ndarray) -> float:
    error = float(influence.std(ddof=1)) / np.sqrt(len(influence))
    return float(2 * special.stdtr(len(influence) - 1, -abs(value) / error)) if error > 0 else 1.0


def _mean(leaning: list[Lean], level: float) -> tuple[intervals.Estimate, float]:
    """The mean over classes, and p that it is zero."""
    influence = np.mean([each.influence for each in leaning], axis=0)
    value = float(np.mean([each.change.value for each in leaning]))
    return _estimate(value, influence, level, len(influence)), _p(value, influence)


def _told(
    tag: str,
    leaning: list[Lean],
    mean: intervals.Estimate,
    p: float,
    each: list[float],
    tests: int,
    level: float,
    common: Mapping[str, Any],
) -> Finding:
    more = [lean for lean, p in zip(leaning, each, strict=True) if p < 1 - level and lean.change.value > 0]
    found = bool(more) or (p < 1 - level and mean.value > 0)
    largest = max(mean.value, *(lean.change.value for lean in more), 0.0) if more else mean.value
    severity: Severity = "serious" if largest >= 0.1 else "moderate" if largest >= 0.03 else "minor"
    verdict = "ties classes to a group more than the labels do" if found else "does not clearly amplify what labels tie"
    said = [
        f"of what it calls {quoted(lean.name)} {percent(lean.answered)} are {quoted(lean.group)}, of what is labelled "
        f"so {percent(lean.labelled)}"
        for lean in more
    ]
    return Finding(
        id=f"bias_amplification:{tag}",
        statement=f"By {quoted(tag)}, the network {verdict}: by {mean.in_points} on average over "
        f"{counted(len(leaning), 'class')}, {p_value(p)} over {counted(tests, 'test')}"
        f"{'; ' if said else ''}{listed(said, most=3)}.",
        found=found,
        unit="difference of shares",
        **mean._asdict(),
        severity=severity if found else "none",
        evidence=(_table(tag, leaning),),
        doubts=(
            "A share may also move because one group is simply harder: compare the errors of the groups.",
            intervals.INDEPENDENT,
        ),
        settings={"level": level, "p": p, "tests": tests},
        mitigation="Balance the groups within each class in training, then audit again." if found else None,
        **common,
    )


def _table(tag: str, leaning: list[Lean]) -> dict[str, Any]:
    rows = [
        [lean.name, lean.group, lean.labelled, lean.answered, points(lean.change.value)]
        for lean in sorted(leaning, key=lambda lean: -lean.change.value)
    ]
    columns = ["class", f"leans to ({tag})", "share in labels", "share in answers", "more"]
    return {"kind": "table", "title": f"How far each class leans by {quoted(tag)}", "columns": columns, "rows": rows}
