"""Are the same images on both sides of the split?

Equal and nearly equal images, as the scan found them: audited images that have a twin among those used for training
or validation (serious from 5 %, moderate from 1 %, else minor), and whether the network is right on them more often;
equal images that carry different labels (critical: one of the labels is wrong); copies within a split (minor). And
what a plain random split would have paid for such twins, told by a nearest neighbour on pixels (moderate from 5
points, else minor).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from seewhy.statistics import differences, intervals
from seewhy.types import Finding, Need, Pillar, Scan, Severity, Tables
from seewhy.wording import counted, listed, percent, quoted

pillar: Pillar = "data"

optional = frozenset({"baseline", "leak"})

#: How many images each side must have for their accuracies to be compared.
LEAST = 10


class Twins:
    """Who is equal or nearly equal to whom, and where each stands."""

    def __init__(self, scan: Scan) -> None:
        columns = {name: scan.files.column(name).to_pylist() for name in ("id", "split", "target")}
        self.scan = scan
        self.split: dict[str, str | None] = dict(zip(columns["id"], columns["split"], strict=True))
        self.target: dict[str, Any] = dict(zip(columns["id"], columns["target"], strict=True))

    @cached_property
    def elsewhere(self) -> dict[str, list[str]]:
        """For each image with a twin in another split, those twins; equal ones first."""
        found: dict[str, list[str]] = defaultdict(list)
        for group in (*self.scan.same, *self.scan.near):
            for id in group:
                here = self.split.get(id)
                others = [twin for twin in group if self.split.get(twin) not in (None, here) and twin not in found[id]]
                found[id] += others if here else []
        return {id: twins for id, twins in found.items() if twins}


def needs(**settings: Any) -> tuple[Need, ...]:
    return Need("scan"), Need("baseline"), Need("leak")


def check(tables: Tables, *, level: float = 0.95, most: int = 12) -> Iterator[Finding]:
    """Findings on twins across the split, on equal images with different labels, on copies, and on a random split."""
    twins = Twins(tables.scan)
    common: dict[str, Any] = {
        "audit": "duplicates",
        "pillar": pillar,
        "seed": tables.seed,
        "settings": {"level": level, "most": most},
    }
    yield _across(tables, twins, level, most, common)
    yield from _easier(tables, twins, level, common)
    yield _labels(twins, most, common)
    yield _copies(twins, most, common)
    yield from _leak(tables, level, common)


def _across(tables: Tables, twins: Twins, level: float, most: int, common: dict[str, Any]) -> Finding:
    audited = [id for id, split in twins.split.items() if split == tables.split]
    images = counted(len(audited), f"{tables.split} image".strip())
    if not audited or set(twins.split.values()) <= {tables.split, None}:
        why = "there are no other images to compare with" if audited else f"the scan holds no {tables.split} images"
        statement = f"Twins across the split were not counted: {why}."
        return Finding(id="duplicates:across", statement=statement, unit="share", n=len(audited), **common)
    shared = [id for id in audited if id in twins.elsewhere]
    low, high = intervals.wilson(len(shared), len(audited), level)
    estimate = intervals.Estimate(len(shared) / len(audited), float(low), float(high), level, len(audited))
    severity: Severity = "serious" if estimate.value >= 0.05 else "moderate" if estimate.value >= 0.01 else "minor"
    verb = "is" if len(shared) <= 1 else "are"
    many = f"{len(shared):,} of {images}" if shared else f"None of {images}"
    items = [
        {"id": id, "caption": f"{tables.split}, like {quoted(twins.elsewhere[id][0])} in {_where(twins, id)}"}
        for id in shared[:most]
    ]
    return Finding(
        id="duplicates:across",
        statement=f"{many} {verb} equal or nearly equal to an image of another split: {estimate}.",
        found=bool(shared),
        unit="share",
        **estimate._asdict(),
        severity=severity if shared else "none",
        examples=tuple(shared[:most]),
        evidence=({"kind": "examples", "title": "Twins across the split", "items": items},) if shared else (),
        doubts=("Twins that were cropped or taken a moment later may be missed.",),
        source="Barz and Denzler 2020 (ciFAIR), https://doi.org/10.3390/jimaging6060041; Wilson 1927",
        mitigation="Let the split keep near-duplicates together (the default), or drop these images from the audit."
        if shared
        else None,
        **common,
    )


def _where(twins: Twins, id: str) -> str:
    return str(twins.split[twins.elsewhere[id][0]])


def _easier(tables: Tables, twins: Twins, level: float, common: dict[str, Any]) -> Iterator[Finding]:
    """Is the network right more often on images that have a twin elsewhere? Only where both sides are large enough."""
    if Need("baseline") not in tables:
        return
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]))
    right = predictions["right"][rows]
    shared = np.array([id in twins.elsewhere for id in predictions["id"][rows]], dtype=bool)
    if min(shared.sum(), (~shared).sum()) < LEAST:
        return
    with_twin, without = right[shared], right[~shared]
    low, high = differences.newcombe(float(with_twin.sum()), len(with_twin), float(without.sum()), len(without), level)
    gap = intervals.Estimate(float(with_twin.mean() - without.mean()), float(low), float(high), level, len(rows))
    found = gap.low > 0
    shares = f"{percent(float(with_twin.mean()))} of {counted(len(with_twin), 'image')} with a twin in another split"
    others = f"{percent(float(without.mean()))} of {counted(len(without), 'image')} without"
    clear = "more often" if found else "not clearly more often"
    yield Finding(
        id="duplicates:easier",
        statement=f"The network is {clear} right where it has seen a twin: {shares}, {others}, "
        f"a difference of {gap.in_points}.",
        found=found,
        unit="difference of shares",
        **gap._asdict(),
        severity="moderate" if found else "none",
        doubts=("Images with a twin may be easier for other reasons.", intervals.INDEPENDENT),
        source="Newcombe 1998, method 10",
        mitigation=f"Quote the accuracy without twins: {intervals.rate(without, level)}." if found else None,
        **common,
    )


def _labels(twins: Twins, most: int, common: dict[str, Any]) -> Finding:
    differing = [group for group in twins.scan.same if len({twins.target.get(id) for id in group} - {None}) > 1]
    ids = [id for group in differing for id in group]
    first = [quoted(name) for name in sorted({str(twins.target.get(id)) for id in differing[0]})] if differing else []
    groups = f"{counted(len(differing), 'group')} of equal images"
    carry = "carries" if len(differing) == 1 else "carry"
    return Finding(
        id="duplicates:labels",
        statement=f"{groups} {carry} different labels, {counted(len(ids), 'image')} in all; the first: {listed(first)}."
        if differing
        else f"No equal images carry different labels, among {counted(len(twins.split), 'image')}.",
        found=bool(differing),
        value=float(len(ids)),
        unit="count",
        n=len(twins.split),
        severity="critical" if differing else "none",
        examples=tuple(ids[:most]),
        evidence=_items("Equal images with different labels", ids[:most], twins),
        source="sha256 of the stored image",
        mitigation="Correct these labels or drop the images: no network can be right on both." if differing else None,
        **common,
    )


def _copies(twins: Twins, most: int, common: dict[str, Any]) -> Finding:
    spare = [
        id
        for group in twins.scan.same
        for place, id in enumerate(group)
        if twins.split.get(id) in {twins.split.get(earlier) for earlier in group[:place]}
    ]
    n = len(twins.split)
    statement = f"No image is a copy of another in the same split, among {counted(n, 'image')}."
    if spare:
        copies = "is a copy" if len(spare) == 1 else "are copies"
        many = f"{len(spare):,} of {counted(n, 'image')}, {percent(len(spare) / n)},"
        statement = f"{many} {copies} of another in the same split."
    return Finding(
        id="duplicates:copies",
        statement=statement,
        found=bool(spare),
        value=float(len(spare)),
        unit="count",
        n=n,
        severity="minor" if spare else "none",
        examples=tuple(spare[:most]),
        evidence=_items("Copies within a split", spare[:most], twins),
        source="sha256 of the stored image",
        **common,
    )


def _items(title: str, ids: list[str], twins: Twins) -> tuple[dict[str, Any], ...]:
    items = []
    for id in ids:
        target = twins.target.get(id)
        label = "without a label" if target is None else f"labelled {quoted(target)}"
        items.append({"id": id, "caption": f"{twins.split.get(id) or 'no split'}, {label}"})
    return ({"kind": "examples", "title": title, "items": items},) if items else ()


def _leak(tables: Tables, level: float, common: dict[str, Any]) -> Iterator[Finding]:
    if Need("leak") not in tables:
        return
    leak: Mapping[str, Any] = tables.leak
    n = int(leak["n"])
    low, high = leak.get("low"), leak.get("high")
    if low is None or high is None:  # as if the two splits had different images, which makes it wide
        low, high = differences.newcombe(leak["random"] * n, n, leak["grouped"] * n, n, level)
    gap = intervals.Estimate(float(leak["random"] - leak["grouped"]), float(low), float(high), level, n)
    found = gap.low > 0
    random, grouped = percent(leak["random"]), percent(leak["grouped"])
    method = str(leak.get("method", "a nearest neighbour on pixels"))
    yield Finding(
        id="duplicates:leak",
        statement=f"A plain random split would {'pay' if found else 'not clearly pay'} for leaked near-duplicates: "
        f"{gap.in_points}; {method} is right on {random} there, on {grouped} where twins are kept together.",
        found=found,
        unit="difference of shares",
        **gap._asdict(),
        severity="none" if not found else "moderate" if gap.value >= 0.05 else "minor",
        doubts=("Another network may gain more or less from twins than a nearest neighbour on pixels does.",),
        source=method,
        mitigation="Keep near-duplicates on one side of the split (the default), and name what belongs together."
        if found
        else None,
        **common,
    )
