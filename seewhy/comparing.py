"""Is the second model better than the first, and for whom? Two models, or two tables of predictions, row by row.

Both answer the same images, so every difference is paired: what counts is the images on which one alone is right. Rows
that either of them was trained on are left out. Over all classes, and over all groups, p is corrected by Holm.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.exports import html, json
from seewhy.material import opening
from seewhy.model import Model
from seewhy.planner import Planner
from seewhy.settings import Settings
from seewhy.statistics import differences, grouping, intervals, significance
from seewhy.storage import predicted
from seewhy.storage.cache import Cache
from seewhy.storage.run import Run
from seewhy.training import fitting
from seewhy.types import Finding, Need, Predictions, Progress, Report, Severity
from seewhy.wording import counted, p_value, percent, quoted

#: Fewer rows, or fewer on which one alone is right, are too few to speak of a class or a group.
LEAST_ROWS, LEAST_FLIPS = 10, 10
#: How many examples that changed a finding names.
SHOWN = 12
SOURCE = "McNemar 1947 (exact); Newcombe 1998, paired score interval; Holm 1979"


@dataclass(frozen=True, eq=False)
class Pair:
    """What two of them said of the same rows; `names` are how they are called in sentences."""

    names: tuple[str, str]
    first: Predictions
    second: Predictions

    def __len__(self) -> int:
        return len(self.first)

    @property
    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """How right each is, 0 to 1, a row."""
        return self.first["right"], self.second["right"]


def compare(
    first: str, second: str, settings: Settings, *, out: str | Path | None = None, cache: Cache | None = None
) -> Generator[Progress, None, Report]:
    """Ask both about `settings.data`, or take the tables of predictions that they are, and report what differs.

    With `out` the report is written into that folder as report.html and findings.json. Raises ValueError where the two
    have no labelled row in common that neither was trained on, and for a tag that is not there.
    """
    cache, began = cache or Cache(), time.monotonic()
    before = yield from _predictions(first, settings, cache)
    after = yield from _predictions(second, settings, cache)
    pair = paired((first, second), before, after)
    grouping.check(settings.groups or (), pair.first)
    findings = tuple(judged(pair, settings.groups, seed=settings.seed))
    facts = {
        "name": f"{first} and {second}",
        "settings": settings.as_dict(),
        "versions": fitting.versions(),
        "seed": settings.seed,
        "seconds": round(time.monotonic() - began, 1),
        "counts": {"test": len(pair)},
    }
    report = Report(facts, findings, render=html.framed)
    if out is not None:
        html.write(report, Path(out) / "report.html")
        json.write(report, Path(out) / "findings.json")
    return report


def data_of(reference: str) -> str | None:
    """The data that a run was made from; None where the reference is no run."""
    settings = Run.holding(reference).settings if Path(reference).exists() else None
    return None if settings is None else settings.data


def _predictions(reference: str, settings: Settings, cache: Cache) -> Generator[Progress, None, Predictions]:
    if predicted.is_table(reference):
        return predicted.from_table(reference)
    asked = replace(settings, model=reference)
    model = Model.resolve(reference)
    material = yield from opening.open_material(asked, cache, model=model)
    return (yield from Planner(asked, cache, {}, material, model).make(Need("baseline")))


def paired(names: tuple[str, str], first: Predictions, second: Predictions) -> Pair:
    """The labelled rows that both answered, in the order of the first. Raises ValueError where there is none, and
    where the two were given different labels for one row."""
    places = {id: row for row, id in enumerate(second["id"])}
    rows = [(row, places[id]) for row, id in enumerate(first["id"]) if id in places]
    here, there = first.where([row for row, _ in rows]), second.where([row for _, row in rows])
    known = ~(np.isnan(here["right"]) | np.isnan(there["right"]))
    here, there = here.where(known), there.where(known)
    if not len(here):
        raise ValueError(
            f"{names[0]} and {names[1]} have no labelled row in common that neither was trained on: "
            f"{len(first):,} and {len(second):,} rows, {len(rows):,} with the same id"
        )
    apart = np.flatnonzero(here["target"] != there["target"])
    if len(apart):
        row = int(apart[0])
        labels = " and ".join(quoted(table["target"][row]) for table in (here, there))
        raise ValueError(
            f"{counted(len(apart), 'row')} of {names[0]} and {names[1]} differ in the label, the first "
            f"{quoted(here['id'][row])}: {labels}. Both must be asked about the same labels."
        )
    return Pair(names, here, there)


def judged(pair: Pair, groups: Sequence[str] | None = None, *, seed: int = 0, level: float = 0.95) -> Iterator[Finding]:
    """Overall, by class, by each tag's groups (all tags unless named), and which examples changed."""
    common: dict[str, Any] = {"audit": "compare", "seed": seed, "source": SOURCE}
    yield _overall(pair, level, common)
    yield from _by_class(pair, level, common)
    for tag in pair.first.tags if groups is None else groups:
        cut = grouping.by(pair.first, tag, np.arange(len(pair)))
        if cut is not None:
            cells = {
                f"images with {tag} {quoted(name)}": np.flatnonzero(cut.place == place)
                for place, name in enumerate(cut.names)
            }
            yield from _cells(pair, f"tag {tag}", cells, level, {**common, "pillar": "fair"})


def worse(findings: Sequence[Finding]) -> bool:
    """Whether the second is clearly worse anywhere: what `--fail-on worse` asks."""
    return any(finding.found is True and (finding.value or 0) < 0 for finding in findings)


def _overall(pair: Pair, level: float, common: Mapping[str, Any]) -> Finding:
    first, second = pair.right
    gain, p = differences.paired(second, first, level)
    broken, fixed = np.flatnonzero(second < first), np.flatnonzero(second > first)
    a, b = map(quoted, pair.names)
    shares = f"{percent(float(second.mean()))} against {percent(float(first.mean()))} of {counted(len(pair), 'image')}"
    clear = p < 1 - level
    verdict = f"is {'better' if gain.value > 0 else 'worse'} than" if clear else "does not clearly differ from"
    changed = f"{counted(len(fixed), 'image')} mended, {counted(len(broken), 'image')} broken"
    few = [f"Only {counted(len(fixed) + len(broken), 'image')} tell the two apart."] * (
        len(fixed) + len(broken) < LEAST_FLIPS
    )
    return Finding(
        id="compare:overall",
        pillar="performance",
        statement=f"{b} {verdict} {a}: right on {shares}, a difference of {gain.in_points}, {p_value(p)}; {changed}.",
        found=clear,
        unit="difference of shares",
        **gain._asdict(),
        severity=_severity(gain.value) if clear else "none",
        examples=tuple(pair.first["id"][np.concatenate([broken, fixed])][:SHOWN]),
        evidence=tuple(_changed(pair, rows, title) for rows, title in ((broken, "Broken"), (fixed, "Mended"))),
        doubts=(intervals.INDEPENDENT, *few),
        settings={"level": level, "p": p, "mended": len(fixed), "broken": len(broken)},
        **common,
    )


def _changed(pair: Pair, rows: np.ndarray, title: str) -> dict[str, Any]:
    """The rows on which the second differs, as a table."""
    columns = [pair.first["id"], pair.first["target"], pair.first["answer"], pair.second["answer"]]
    shown = [[str(column[row]) for column in columns] for row in rows[:100]]
    more = f", the first 100 of {len(rows):,}" if len(rows) > 100 else ""
    return {
        "kind": "table",
        "title": f"{title} ({len(rows):,}{more})",
        "columns": ["image", "label", f"{pair.names[0]} says", f"{pair.names[1]} says"],
        "rows": shown,
    }


def _by_class(pair: Pair, level: float, common: Mapping[str, Any]) -> Iterator[Finding]:
    cells = {f"images of {quoted(name)}": rows for name, rows in pair.first.by("target").items()}
    yield from _cells(pair, "class", cells, level, {**common, "pillar": "performance"})


def _cells(
    pair: Pair, what: str, cells: Mapping[str, np.ndarray], level: float, common: Mapping[str, Any]
) -> Iterator[Finding]:
    """A Finding for each part of the images in which the two clearly differ; or one that says there is none."""
    first, second = pair.right
    asked = {
        name: rows
        for name, rows in cells.items()
        if len(rows) >= LEAST_ROWS and np.sum(first[rows] != second[rows]) >= LEAST_FLIPS
    }
    tests = {name: differences.paired(second[rows], first[rows], level) for name, rows in asked.items()}
    adjusted = dict(zip(tests, significance.holm([p for _, p in tests.values()]).tolist(), strict=True))
    bars = _bars(pair, what, cells, level)
    clear = [name for name in asked if adjusted[name] < 1 - level]
    for name in clear:
        gain, rows = tests[name][0], asked[name]
        yield Finding(
            id=f"compare:{what}:{name}",
            statement=f"On {name} {quoted(pair.names[1])} is {'better' if gain.value > 0 else 'worse'}: right on "
            f"{percent(float(second[rows].mean()))} against {percent(float(first[rows].mean()))} of "
            f"{counted(len(rows), 'image')}, a difference of {gain.in_points}, "
            f"{p_value(adjusted[name])} over {counted(len(asked), 'test')}.",
            found=True,
            unit="difference of shares",
            **gain._asdict(),
            severity=_severity(gain.value),
            examples=tuple(pair.first["id"][rows[first[rows] != second[rows]]][:SHOWN]),
            evidence=(bars,),
            doubts=(intervals.INDEPENDENT,),
            settings={"level": level, "p": adjusted[name], "tests": len(asked)},
            **common,
        )
    if not clear:
        few = len(cells) - len(asked)
        left = f"; {few:,} had too few images or changes to tell" if few and asked else ""
        why = f"among {len(asked):,} tested{left}" if asked else "for too few answers changed to tell"
        yield Finding(
            id=f"compare:{what}",
            statement=f"By {what}, the two are nowhere clearly apart, {why}.",
            found=False if asked else None,
            unit="difference of shares",
            n=len(pair),
            evidence=(bars,),
            settings={"level": level, "tests": len(asked)},
            **common,
        )


def _bars(pair: Pair, what: str, cells: Mapping[str, np.ndarray], level: float) -> dict[str, Any]:
    first, second = pair.right
    rows = []
    for name, index in cells.items():
        gain, _ = differences.paired(second[index], first[index], level)
        rows.append({"name": name, "value": gain.value, "low": gain.low, "high": gain.high, "n": gain.n})
    return {
        "kind": "bars",
        "title": f"How much more often the second is right, by {what}",
        "unit": "difference of shares",
        "rows": rows,
        "reference": {"name": "no difference", "value": 0.0},
    }


def _severity(gain: float) -> Severity:
    """What a clear loss of so many shares is; a gain is no concern."""
    return "none" if gain > 0 else "serious" if gain <= -0.1 else "moderate" if gain <= -0.02 else "minor"
