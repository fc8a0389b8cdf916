"""What is wrong with the data itself?

Files that could not be used, and why; images without a label; classes with no or too few images; classes of very
unequal size; images far smaller than the others. All counted over everything that was scanned. Severities: files and
missing labels are serious from 5 % of the images, moderate from 1 %, else minor; a class without training images is
serious, one with fewer than `least` moderate; imbalance is moderate from 10 to 1, minor from 3 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from seewhy.types import Finding, Need, Pillar, Scan, Severity, Tables
from seewhy.wording import counted, listed, percent, quoted

pillar: Pillar = "data"

SOURCE = "counts of the scanned files"
#: Files that a report lists one by one; quarantine.csv in the run's folder lists all.
MOST_FILES = 100


def needs(**settings: Any) -> tuple[Need, ...]:
    return (Need("scan"),)


def check(tables: Tables, *, least: int = 10, most: int = 12) -> Iterator[Finding]:
    """Findings on files, labels, class sizes and image sizes. `least`: images a class should have in each split."""
    scan = tables.scan
    common: dict[str, Any] = {
        "audit": "data_quality",
        "pillar": pillar,
        "seed": tables.seed,
        "settings": {"least": least, "most": most},
        "source": SOURCE,
    }
    yield _problems(scan, most, common)
    yield _unlabelled(scan, most, common)
    yield from _classes(tables, scan, least, common)
    yield _sizes(scan, most, common)


def _problems(scan: Scan, most: int, common: dict[str, Any]) -> Finding:
    codes = Counter(problem.code for problem in scan.problems)
    seen = scan.files.num_rows
    many = len(scan.problems)
    rows = []
    for code, count in codes.most_common():
        of = [problem for problem in scan.problems if problem.code == code]
        rows.append([code, count, listed([problem.where for problem in of], 3), of[0].what])
    statement = f"No problem was found in {counted(seen, 'file')}."
    if many:
        kinds = listed([f"{count:,} {quoted(code)}" for code, count in codes.most_common()])
        first = f"{quoted(scan.problems[0].where)}: {scan.problems[0].what}".rstrip(".")
        were = "was" if many == 1 else "were"
        statement = f"{counted(many, 'problem')} {were} found in the data, {kinds}; the first, {first}."
    table = {"kind": "table", "title": "What was wrong", "columns": ["problem", "times", "where", "what"], "rows": rows}
    left_out = [[problem.where, problem.code, problem.size, problem.what] for problem in scan.quarantine[:MOST_FILES]]
    columns = ["file", "problem", "bytes", "what"]
    quarantine = {"kind": "table", "title": "Files that were left out", "columns": columns, "rows": left_out}
    return Finding(
        id="data_quality:problems",
        statement=statement,
        found=bool(many),
        value=float(many),
        unit="count",
        n=seen,
        severity=_by_share(many, many + seen),
        evidence=((table, quarantine) if left_out else (table,)) if many else (),
        mitigation="Mend or remove the files that are named; none of them was changed or used." if many else None,
        **common,
    )


def _unlabelled(scan: Scan, most: int, common: dict[str, Any]) -> Finding:
    targets = scan.files.column("target").to_pylist()
    ids = [id for id, target in zip(scan.files.column("id").to_pylist(), targets, strict=True) if target is None]
    n = len(targets)
    share = percent(len(ids) / n) if n else ""
    return Finding(
        id="data_quality:labels",
        statement=f"{counted(len(ids), 'image')} of {n:,}, {share}, {'has' if len(ids) == 1 else 'have'} no label."
        if ids
        else f"Of {counted(n, 'image')}, none lacks a label."
        if n
        else "There is no image.",
        found=bool(ids) if n else None,
        value=float(len(ids)),
        unit="count",
        n=n,
        severity=_by_share(len(ids), n),
        examples=tuple(ids[:most]),
        **common,
    )


def _classes(tables: Tables, scan: Scan, least: int, common: dict[str, Any]) -> Iterator[Finding]:
    """Too small ones, and how unequal they are. Nothing where the labels are no classes (boxes, captions)."""
    targets, splits = (scan.files.column(name).to_pylist() for name in ("target", "split"))
    labelled = {target for target in targets if target is not None}
    names = tables.classes
    if not labelled & set(names):
        return
    there: list[str | None] = [name for name in ("train", "val", "test") if name in splits] or [None]
    counts = Counter(zip(targets, splits if there != [None] else [None] * len(targets), strict=True))
    small = [(name, split, counts[name, split]) for split in there for name in names if counts[name, split] < least]
    empty = [name for name, split, n in small if n == 0 and split in ("train", None)]
    columns = ["class", *(split or "images" for split in there)]
    shown = dict.fromkeys(name for name, _, _ in small)
    rows = [[name, *(counts[name, split] for split in there)] for name in shown]
    many, enough = counted(len(names), "class"), counted(least, "image")
    statement = f"Of {many}, none has fewer than {enough} in any split."
    if small:
        name, split, n = min(small, key=lambda each: (each[2], each[0]))
        fewest = f"the fewest are {n:,} of {quoted(name)}" + (f" in {split}" if split else "")
        have = f"{len(shown):,} of {many} {'has' if len(shown) == 1 else 'have'}"
        statement = f"{have} fewer than {enough} in a split, too few to say much of; {fewest}."
    yield Finding(
        id="data_quality:small_classes",
        statement=statement,
        found=bool(small),
        value=float(len(shown)),
        unit="count",
        n=len(names),
        severity="serious" if empty else "moderate" if small else "none",
        evidence=({"kind": "table", "title": "Small classes", "columns": columns, "rows": rows[:100]},)
        if small
        else (),
        doubts=(f"No training image at all: {listed([quoted(name) for name in empty])}.",) if empty else (),
        mitigation="Add images of these classes, or merge them with others." if small else None,
        **common,
    )
    yield from _balance(Counter(target for target in targets if target is not None), names, common)


def _balance(counts: Counter[str], names: tuple[str, ...], common: dict[str, Any]) -> Iterator[Finding]:
    present = sorted((counts[name], name) for name in names if counts[name])
    if len(present) < 2:
        return
    (fewest, rare), (most, frequent) = present[0], present[-1]
    ratio = most / fewest
    severity: Severity = "moderate" if ratio >= 10 else "minor" if ratio >= 3 else "none"
    sizes = f"{counted(most, 'image')} of {quoted(frequent)}, {fewest:,} of {quoted(rare)}"
    bars = [{"name": name, "value": n, "low": None, "high": None, "n": n} for n, name in reversed(present)]
    yield Finding(
        id="data_quality:balance",
        statement=f"The largest class is {ratio:,.1f} times the smallest: {sizes}."
        if ratio > 1
        else f"All {len(present):,} classes have {counted(most, 'image')}.",
        found=severity != "none",
        value=ratio,
        unit="ratio",
        n=sum(n for n, _ in present),
        severity=severity,
        evidence=({"kind": "bars", "title": "Images by class", "unit": "count", "rows": bars[:30], "reference": None},),
        mitigation="Read the balanced accuracy beside the plain one; weights by class may help the rare ones."
        if severity != "none"
        else None,
        **common,
    )


def _sizes(scan: Scan, most: int, common: dict[str, Any]) -> Finding:
    width, height = (
        np.array([value or 0 for value in scan.files.column(name).to_pylist()], dtype=float)
        for name in ("width", "height")
    )
    known = np.flatnonzero(np.minimum(width, height) > 0)
    if not len(known):
        return Finding(
            id="data_quality:sizes",
            statement="Image sizes are not known.",
            unit="count",
            n=scan.files.num_rows,
            **common,
        )
    short = np.minimum(width, height)[known]
    small = known[short < np.median(short) / 4]
    ids = scan.files.column("id").to_pylist()
    ordered = known[np.argsort(width[known] * height[known], kind="stable")]
    least, largest = (f"{width[row]:.0f} x {height[row]:.0f}" for row in (ordered[0], ordered[-1]))
    span = f"all are {least} pixels" if least == largest else f"sizes run from {least} to {largest} pixels"
    of = counted(len(known), "image")
    verb = "is" if len(small) == 1 else "are"
    much = f"{len(small):,} of {of} {verb} less than a quarter as large as is usual here (short side)"
    return Finding(
        id="data_quality:sizes",
        statement=f"{much}; {span}."
        if len(small)
        else f"No image of {len(known):,} is far smaller than the others; {span}.",
        found=bool(len(small)),
        value=float(len(small)),
        unit="count",
        n=len(known),
        severity="minor" if len(small) else "none",
        examples=tuple(ids[row] for row in small[:most]),
        **common,
    )


def _by_share(count: int, of: int) -> Severity:
    if not count:
        return "none"
    share = count / of
    return "serious" if share >= 0.05 else "moderate" if share >= 0.01 else "minor"
