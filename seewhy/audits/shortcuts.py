"""Does a mark, a corner or the surroundings carry a class along, where the object is not?

Regions of training images are put into images of other classes (the table `transplants`), and from images of the same
class as the placebo. A region whose content speaks for the class it comes from carries it. That a part of the object
does so is no shortcut; so a region is named only if it is

    a mark           a patch that repeats, pixel for pixel, in one class and not in others, off the middle of the image
    off the object   a cell of the grid that the images' own masks say is hardly ever on the object
    the surroundings the frame along the border, unless objects reach it, as masks say or as is guessed

All regions of all classes are tested together, by drawing the signs of the pairs' differences (`sign_flip_test`). Not
found are marks that move about or are in fewer than two fifths of their class's images, and whatever lies before the
object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seewhy.audits import _changed
from seewhy.statistics import differences, intervals, significance
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "cause"

#: With fewer pairs nothing is said of a region.
LEAST = 8
#: A cell that lies on the object with no more than this share of it is off the object.
OFF = 0.005
#: A frame that objects cover to more than this share is not the surroundings.
REACHED = 0.05
#: What moves the log-odds by less than this is no shortcut, however sure it is.
ZONE = 0.1
#: How many decisions must turn, beyond the placebo's, for a finding to be so grave.
GRAVE: tuple[tuple[float, Severity], ...] = ((0.4, "critical"), (0.1, "serious"), (0.03, "moderate"))
SOURCE = (
    "Transplants with a placebo; sign flips, Westfall and Young 1993; Student 1908; Newcombe 1998 (paired), method 10"
)
TABLE = Need("transplants")


class Carried(NamedTuple):
    """What a region does to a class: the rows of the trials, log-odds beyond the placebo, decisions, and p."""

    label: str
    region: Mapping[str, Any]
    rows: Int[np.ndarray, " rows"]
    difference: Float[np.ndarray, " rows"]
    logodds: Estimate
    turned: Estimate
    shares: tuple[float, float]
    p: float = 1.0


def needs(**settings: Any) -> tuple[Need, ...]:
    return (TABLE,)


def check(tables: Tables, *, level: float = 0.95, draws: int = 4000) -> Iterator[Finding]:
    """A Finding for each mark, place off the object and class whose surroundings carry it; or one that none does."""
    table = tables[TABLE]
    settings = {"level": level, "draws": draws, "cells": table["cells"]}
    common: dict[str, Any] = {"audit": "shortcuts", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    carried = _carried(table, tables.seed, level, draws)
    pairs = len(set(table["trials"]["image"]))
    if not carried:
        statement = (
            f"Whether a part of the image carries a class along was not asked: {counted(pairs, 'pair')} of images of "
            f"two classes {'is' if pairs == 1 else 'are'} too few; it takes {LEAST} a class."
        )
        yield Finding("shortcuts:(none)", statement=statement, n=pairs, settings=settings, **common)
        return
    named = list(_named(carried, 1 - level))
    for each, why in named:
        yield _shortcut(each, why, carried, table, settings, common)
    if not named:
        yield _nothing(carried, pairs, table, settings, common)


# ------------------------------------------------------------------------------------------------------ arithmetic


def _carried(table: Mapping[str, Any], seed: int, level: float, draws: int) -> list[Carried]:
    """Each region of each class that has enough pairs; p for all of them together."""
    trials, regions = table["trials"], table["regions"]
    region, label = np.array(trials["region"], dtype=int), np.array(trials["class"], dtype=object)
    difference = np.array(trials["effect"], dtype=float) - np.array(trials["placebo"], dtype=float)
    turned, at_rest = (np.array(trials[name], dtype=float) for name in ("turned", "placebo_turned"))
    # A row of the test is a pair, so that signs are drawn a pair: a mark has pairs of its own.
    marks = np.array([each["kind"] == "mark" for each in regions])[region] if len(region) else np.zeros(0, bool)
    names = [
        f"{image} {place if alone else ''}" for image, place, alone in zip(trials["image"], region, marks, strict=True)
    ]
    pair = np.unique(names, return_inverse=True)[1]
    found: list[Carried] = []
    for name in table["classes"]:
        for place, each in enumerate(regions):
            rows = np.flatnonzero((region == place) & (label == name) & np.isfinite(difference))
            if len(rows) < LEAST or (each["kind"] == "mark" and each["label"] != name):
                continue
            d = difference[rows]
            low, high = intervals.mean_interval(d, level, unseen=intervals.UNSEEN_LOGODDS)
            logodds = Estimate(float(d.mean()), low, high, level, len(rows))
            decisions, _ = differences.paired(turned[rows], at_rest[rows], level)
            shares = float(turned[rows].mean()), float(at_rest[rows].mean())
            found.append(Carried(name, each, rows, d, logodds, decisions, shares))
    if not found:
        return []
    values = np.full((int(pair.max()) + 1, len(found)), np.nan)
    for column, each in enumerate(found):
        values[pair[each.rows], column] = each.difference
    p = significance.sign_flip_test(values, seed=seed, draws=draws)
    return [each._replace(p=float(value)) for each, value in zip(found, p, strict=True)]


def _named(carried: Sequence[Carried], alpha: float) -> Iterator[tuple[Carried, str]]:
    """Those that are shortcuts, and as what: "mark", "cell" or "frame"."""
    sure = [each for each in carried if each.p < alpha and (each.logodds.value >= ZONE or each.turned.low > 0)]
    marks = [each for each in sure if each.region["kind"] == "mark"]
    yield from ((each, "mark") for each in marks)
    # In an image of two classes what speaks against one speaks for the other: a place is named once, for a mark first.
    frames = [each for each in sure if each.region["kind"] == "frame"]
    frames = [each for each in frames if each.region["guessed"] <= REACHED]
    strongest = max(frames, key=lambda each: each.logodds.value, default=None)
    if strongest is not None:
        yield strongest, "frame"
    cells = [each for each in sure if each.region["kind"] == "cell" and _off_the_object(each.region)]
    cells = [each for each in cells if not any(_overlap(each.region, mark.region) for mark in marks)]
    cells = [each for each in cells if each.logodds.value >= _border(carried, each.label) / 2]
    if cells and strongest is None:
        yield max(cells, key=lambda each: each.logodds.value), "cell"


def _border(carried: Sequence[Carried], label: str) -> float:
    """What the frame does for a class, however unsure it is: a cell that does far less is but a part of that."""
    return max(
        (each.logodds.value for each in carried if (each.region["kind"], each.label) == ("frame", label)), default=0
    )


def _off_the_object(region: Mapping[str, Any]) -> bool:
    return region["covered"] is not None and region["covered"] <= OFF


def _overlap(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    down = min(first["bottom"], second["bottom"]) > max(first["top"], second["top"])
    return down and min(first["right"], second["right"]) > max(first["left"], second["left"])


# ----------------------------------------------------------------------------------------------------------- words


def place_of(region: Mapping[str, Any], size: Sequence[int]) -> str:
    """Where a region lies: "the upper left corner", "the lower edge", "the middle"."""
    height, width = size
    down = (region["top"] + region["bottom"]) / 2 / height
    across = (region["left"] + region["right"]) / 2 / width
    rows = "upper" if down < 0.3 else "lower" if down > 0.7 else ""
    columns = "left" if across < 0.3 else "right" if across > 0.7 else ""
    if rows and columns:
        return f"the {rows} {columns} corner"
    return f"the {rows or columns} edge" if rows or columns else "the middle"


def _subject(each: Carried, why: str, size: Sequence[int]) -> str:
    region = each.region
    extent = f"{region['right'] - region['left']} x {region['bottom'] - region['top']} pixels"
    if why == "frame":
        return "What lies along the border of the image"
    what = "A mark in" if why == "mark" else "What lies in"
    return f"{what} {place_of(region, size)} ({extent})"


def _shortcut(
    each: Carried,
    why: str,
    carried: Sequence[Carried],
    table: Mapping[str, Any],
    settings: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Finding:
    name, region = quoted(each.label), each.region
    spot = {"frame": "surroundings", "cell": "off_object"}.get(why, "mark")
    return Finding(
        id=f"shortcuts:{spot}:{each.label}",
        statement=_statement(each, why, table["size"]),
        found=True,
        unit="difference of shares",
        **each.turned._asdict(),
        severity=_severity(each, why),
        examples=_donors(each, table)[:6],
        evidence=tuple(_evidence(each, why, carried, table)),
        doubts=tuple(_doubts(each, why)),
        settings={
            **settings,
            "p": each.p,
            "tests": len(carried),
            "logodds": each.logodds.value,
            "class": each.label,
            "kind": why,
            "place": place_of(region, table["size"]) if why != "frame" else "the border",
            "box": [region[side] for side in ("top", "left", "bottom", "right")],
        },
        mitigation={
            "mark": f"Take the mark out of the images of {name}, or cover the place in all images, and train again.",
            "cell": f"Cover the place in all images, or gather images of {name} without it, and train again.",
            "frame": f"Crop or exchange what surrounds the object, or gather {name} in other surroundings.",
        }[why],
        **common,
    )


def _statement(each: Carried, why: str, size: Sequence[int]) -> str:
    """What the region does to answers; to the log-odds where answers do not show it."""
    name, log = quoted(each.label), each.logodds
    begin = f"{_subject(each, why, size)} stands in for {name}: put into {counted(len(each.rows), 'image')} of other "
    if each.turned.low > 0:
        return (
            f"{begin}classes it turns {percent(each.shares[0])} of the answers to {name}, from an image of their own "
            f"class {percent(each.shares[1])}, a difference of {each.turned.in_points}."
        )
    level = f"{100 * log.confidence_level:.4g} %"
    return (
        f"{begin}classes it raises the log-odds of {name} by {log.value:.2f} ({level} interval {log.low:.2f} to "
        f"{log.high:.2f}) beyond the placebo, though not clearly the answers: {each.turned.in_points}."
    )


def _severity(each: Carried, why: str) -> Severity:
    """By the decisions that turn; the surroundings may be part of the object, so they are never critical unmasked."""
    gravest: Severity = next((severity for least, severity in GRAVE if each.turned.value >= least), "minor")
    if why == "frame" and not _off_the_object(each.region):
        return "serious" if gravest == "critical" else "minor" if gravest == "minor" else "moderate"
    return gravest


def _doubts(each: Carried, why: str) -> Iterator[str]:
    if why == "frame":
        yield "Background, tint and light all lie along the border; the audit of properties tells them apart."
        if not _off_the_object(each.region):
            yield "Where objects reach the border, this may be the object itself."
    if why == "mark":
        yield (
            f"The mark is the same in {percent(each.region['share'])} of the training images of {quoted(each.label)} "
            f"and in {percent(each.region['elsewhere'])} of all others."
        )
        yield "A mark is known by its repeating off the middle; a part that every object has there would repeat too."
    yield "A transplanted region has seams; the placebo has them too."


def _donors(each: Carried, table: Mapping[str, Any]) -> tuple[str, ...]:
    """The images whose region speaks loudest for their class."""
    order = each.rows[np.argsort(-each.difference, kind="stable")]
    return tuple(dict.fromkeys(table["trials"]["donor"][row] for row in order))


def _evidence(
    each: Carried, why: str, carried: Sequence[Carried], table: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    yield _donated(each, why, table)
    moved = (("share of answers", each.turned), (f"log-odds of {quoted(each.label)}", each.logodds))
    yield _changed.moves("What moves beyond the placebo", moved)
    yield from _map(each.label, carried, table)


def _donated(each: Carried, why: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The images whose region speaks loudest for their class, with a box around the region."""
    best = each.rows[np.argsort(-each.difference, kind="stable")][:6]
    trials, name, (height, width) = table["trials"], quoted(each.label), table["size"]
    top, left, bottom, right = (each.region[side] for side in ("top", "left", "bottom", "right"))
    box = {} if why == "frame" else {"box": [top / height, left / width, bottom / height, right / width]}
    items = [
        {"id": trials["donor"][row], "caption": f"{name} by {trials['effect'][row]:+.1f} in log-odds", **box}
        for row in best
    ]
    taken = "whose border was taken" if why == "frame" else "from which the framed part was taken"
    items = list({item["id"]: item for item in items}.values())
    return {"kind": "examples", "title": f"Images of {name} {taken}", "items": items}


def _map(label: str, carried: Sequence[Carried], table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The grid: how far each cell moves the log-odds of the class beyond the placebo."""
    cells = [each.logodds.value for each in carried if each.label == label and each.region["kind"] == "cell"]
    side = table["cells"]
    if len(cells) == side**2:
        yield {
            "kind": "matrix",
            "title": f"By how much each cell carries {quoted(label)} along, in log-odds beyond the placebo",
            "rows": [f"row {place + 1}" for place in range(side)],
            "columns": [f"column {place + 1}" for place in range(side)],
            "counts": np.round(np.reshape(cells, (side, side)), 2).tolist(),
            "row_label": "from the top",
            "column_label": "from the left",
        }


def _nothing(
    carried: Sequence[Carried],
    pairs: int,
    table: Mapping[str, Any],
    settings: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Finding:
    frames = [each for each in carried if each.region["kind"] == "frame"]
    strongest = max(frames or carried, key=lambda each: each.logodds.value)
    known = any(each.region["covered"] is not None for each in carried)
    off = "no cell off the object" if known else "no patch that repeats off the middle of the image"
    return Finding(
        id="shortcuts:none",
        statement=f"In {counted(pairs, 'pair')} of images {off} and no border stands in for a class; at most the "
        f"border moves the log-odds of {quoted(strongest.label)} by {strongest.logodds.value:.2f} "
        f"({100 * settings['level']:.4g} % interval {strongest.logodds.low:.2f} to {strongest.logodds.high:.2f}).",
        found=False,
        unit="log-odds",
        **strongest.logodds._asdict(),
        evidence=tuple(_map(strongest.label, carried, table)),
        doubts=(
            "Not found this way: marks that move about, that few images of a class have, or that lie on the object.",
        ),
        settings=settings,
        **common,
    )
