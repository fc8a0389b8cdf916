"""Can a label be told from a tag alone?

Where it can, a network may learn the tag in place of the thing. For each tag: is it independent of the label (Pearson's
chi-square, its p by drawing tables of the same margins, so that rare classes raise no alarm; Holm over the tags), and
how far does it go: Cramer's V without its bias, and how often the most frequent label of a tag's value is right on the
rows of the other half. Pairs of a tag and a label that never occur although chance would bring them are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seewhy import chance
from seewhy.statistics import differences, grouping, intervals, significance
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, listed, p_value, percent, quoted

pillar: Pillar = "data"

#: A pair that chance would bring less often than this is not missed.
EXPECTED = 5.0
ROWS = Need("rows")


def needs(**settings: Any) -> tuple[Need, ...]:
    return (ROWS,)


class Crossed(NamedTuple):
    """How often each value of a tag goes with each label."""

    tag: str
    values: tuple[str, ...]
    labels: tuple[str, ...]
    value: Int[np.ndarray, " rows"]
    label: Int[np.ndarray, " rows"]
    half: Int[np.ndarray, " rows"]
    counts: Int[np.ndarray, "values labels"]


def check(tables: Tables, *, level: float = 0.95, draws: int = 2000) -> Iterator[Finding]:
    """A Finding for each tag that goes with the label, and one that names those which do not."""
    rows = Predictions(tables[ROWS])  # its columns are read as those of predictions are
    common: dict[str, Any] = {"audit": "tags_and_labels", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    crossed = [table for tag in rows.tags if (table := _crossed(rows, tag, tables.seed)) is not None]
    if not crossed:
        why = (
            "the images have no tags"
            if not rows.tags
            else f"no tag has 2 to {grouping.MOST_GROUPS} values among labelled images"
        )
        statement = f"Whether a label can be told from a tag was not asked: {why}."
        yield Finding("tags_and_labels:(none)", statement=statement, n=len(rows), **common)
        return
    random = np.random.default_rng(tables.seed)
    raw = [_p_independent(table.counts, draws, random) for table in crossed]
    adjusted = significance.holm(raw).tolist()
    apart = [table for table, p in zip(crossed, adjusted, strict=True) if p >= 1 - level]
    for table, p in zip(crossed, adjusted, strict=True):
        if p < 1 - level:
            yield _told(table, p, len(crossed), level, common)
    if apart:
        names, count = listed([quoted(table.tag) for table in apart]), counted(len(apart[0].label), "image")
        yield Finding(
            "tags_and_labels:independent",
            statement=f"Labels go with {names} no more than chance may give, on {count}.",
            found=False,
            unit="Cramer's V",
            n=len(apart[0].label),
            settings={"level": level, "draws": draws},
            **common,
        )


SOURCE = "Pearson 1900; Bergsma 2013, https://doi.org/10.1016/j.jkss.2012.10.002; Holm 1979"


def _crossed(rows: Predictions, tag: str, seed: int) -> Crossed | None:
    """The table of counts; None where the tag makes no groups or the labels are one."""
    known = np.flatnonzero([label is not None for label in rows["target"]])
    values = grouping.by(rows, tag, known)
    names, label = np.unique(rows["target"][known].astype(str), return_inverse=True)
    if values is None or len(names) < 2:
        return None
    counts = np.zeros((len(values.names), len(names)), dtype=np.int64)
    np.add.at(counts, (values.place, label), 1)
    drawn = chance.uniform(chance.keys(rows["id"][known].tolist()), seed=seed, stream="half")[:, 0].numpy()
    return Crossed(tag, values.names, tuple(names.tolist()), values.place, label, (drawn < 0.5).astype(int), counts)


def _expected(counts: np.ndarray) -> Float[np.ndarray, "values labels"]:
    return counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()


def _chi_square(counts: np.ndarray) -> float:
    expected = _expected(counts)
    return float(np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-12)))


def _p_independent(counts: np.ndarray, draws: int, random: np.random.Generator) -> float:
    """How often tables of the same margins, filled at random, have as large a chi-square."""
    from scipy.stats import random_table

    drawn = random_table(counts.sum(1), counts.sum(0)).rvs(draws, random_state=random)
    expected = np.maximum(_expected(counts), 1e-12)
    as_large = ((drawn - expected) ** 2 / expected).sum((1, 2)) >= _chi_square(counts) - 1e-9
    return float(1 + as_large.sum()) / (1 + draws)


def cramers_v(counts: Int[np.ndarray, "values labels"]) -> float:
    """How strongly two columns go together, 0 to 1, with the part that chance adds taken off (Bergsma 2013):

    phi~^2 = max(0, chi^2/n - (k-1)(r-1)/(n-1)),  k~ = k - (k-1)^2/(n-1),  V~ = sqrt(phi~^2 / min(k~-1, r~-1))
    """
    n = int(counts.sum())
    k, r = counts.shape
    if n < 2 or min(k, r) < 2:
        return 0.0
    phi = max(0.0, _chi_square(counts) / n - (k - 1) * (r - 1) / (n - 1))
    k, r = (size - (size - 1) ** 2 / (n - 1) for size in (k, r))
    return float(np.sqrt(phi / min(k - 1, r - 1))) if min(k, r) > 1 else 0.0


def _guesses(table: Crossed) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row's label is the most frequent one of its tag's value, and of all: counted on the other half."""
    half = table.half
    by_tag, by_none = np.zeros(len(half)), np.zeros(len(half))
    for each in (0, 1):
        other = half != each
        counts = np.zeros_like(table.counts)
        np.add.at(counts, (table.value[other], table.label[other]), 1)
        overall = int(counts.sum(0).argmax())
        best = np.where(counts.sum(1) > 0, counts.argmax(1), overall)
        by_tag[~other] = best[table.value[~other]] == table.label[~other]
        by_none[~other] = overall == table.label[~other]
    return by_tag, by_none


def _told(table: Crossed, p: float, tests: int, level: float, common: Mapping[str, Any]) -> Finding:
    by_tag, by_none = _guesses(table)
    gain, _ = differences.paired(by_tag, by_none, level)
    strength = cramers_v(table.counts)
    never = [
        f"{quoted(table.labels[column])} with {quoted(table.values[row])}"
        for row, column in np.argwhere((table.counts == 0) & (_expected(table.counts) >= EXPECTED))
    ]
    guessed = f"{percent(float(by_tag.mean()))} against {percent(float(by_none.mean()))}"
    gone = f" Never together, though chance would bring them: {listed(never)}." if never else ""
    severity: Severity = "serious" if strength >= 0.5 else "moderate" if strength >= 0.2 else "minor"
    chances = f"{p_value(p)} over {counted(tests, 'tag')}" if tests > 1 else p_value(p)
    return Finding(
        id=f"tags_and_labels:{table.tag}",
        statement=f"Knowing {quoted(table.tag)} alone, the label is guessed right on {guessed} of "
        f"{counted(len(by_tag), 'image')}, a gain of {gain.in_points} (Cramer's V {strength:.2f}, {chances}).{gone}",
        found=True,
        unit="difference of shares",
        **gain._asdict(),
        severity=severity,
        evidence=(
            {
                "kind": "matrix",
                "title": f"How often each {quoted(table.tag)} goes with each label",
                "rows": list(table.values),
                "columns": list(table.labels),
                "counts": table.counts.tolist(),
                "row_label": table.tag,
                "column_label": "label",
            },
        ),
        doubts=(
            "That the data tie the tag to the label does not mean that the network uses it.",
            intervals.INDEPENDENT,
        ),
        settings={"level": level, "p": p, "cramers_v": strength, "tests": tests},
        mitigation=f"Gather images in which {quoted(table.tag)} and the label do not go together, or weigh those up.",
        **common,
    )
