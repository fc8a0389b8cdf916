"""Tables of predictions with something planted in them, as an audit is handed them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seewhy.images.imaging import encode_png
from seewhy.types import PREDICTION_COLUMNS, Need, Predictions, Tables


def predicted(
    target: Sequence[str | None],
    answer: Sequence[str | None],
    confidence: Iterable[float | None] | None = None,
    *,
    classes: tuple[str, ...] | None = None,
    logs: np.ndarray | None = None,
    parts: pa.Table | None = None,
    ids: Sequence[str] | None = None,
    **more: Any,
) -> Predictions:
    """What a network said of images i0, i1, ... or of those named; further columns, or tags, by name."""
    n = len(target)
    columns: dict[str, Any] = {name: [None] * n for name in PREDICTION_COLUMNS.names}
    columns |= {
        "id": [f"i{row}" for row in range(n)] if ids is None else ids,
        "condition": [""] * n,
        "target": target,
        "answer": answer,
    }
    columns["right"] = [None if t is None else float(a == t) for a, t in zip(answer, target, strict=True)]
    columns["confidence"] = [None] * n if confidence is None else list(confidence)
    columns |= {name: values for name, values in more.items() if name in columns}
    table = pa.table(columns, schema=PREDICTION_COLUMNS)
    for name, values in more.items():
        if name not in columns:
            table = table.append_column(f"tag:{name}", pa.array(values, from_pandas=True))
    names = {name for name in (*target, *answer) if name is not None}
    return Predictions(table, tuple(sorted(names)) if classes is None else classes, parts, logs)


def tables(baseline: Predictions, **others: Any) -> Tables:
    """The baseline and further tables, by name."""
    made = {Need("baseline"): baseline} | {Need(name): value for name, value in others.items()}
    return Tables(made, baseline.classes, "test", 0)


def exchanged(
    ids: Sequence[str],
    *,
    effect: float,
    share: float,
    random: float,
    interaction: float = 0.0,
    spread: float = 0.1,
    ways: Sequence[tuple[str, float]] = (("block1.add", 0.7), ("block2.add", 0.2)),
) -> pa.Table:
    """A table of `units` in which the change moves the log-odds by `effect`, of which the chosen units carry a share
    and as many at random another; each image by its own factor."""
    factor = 1 + spread * np.random.default_rng(0).standard_normal(len(ids))
    rows: list[dict[str, Any]] = []

    def add(what: str, layer: str, units: Sequence[int], part: float) -> None:
        for id, own in zip(ids, factor * effect, strict=True):
            moved = {"moved_after": True, "moved_held": part < 0.5, "moved_carried": part > 0.5}
            held, carried = own * (1 - part), own * part - interaction
            corners = {"before": 1.0, "after": 1 + own, "held": 1 + held, "carried": 1 + carried}
            rows.append({"id": id, "what": what, "layer": layer, "units": list(units), **corners, **moved})

    add("total", "", (), 0.0)
    if effect:
        for name, part in ways:
            add("layer", name, (), part)
        add("layer", "last", (), 1.0)
        for unit in (7, 2):
            add("unit", "last", (unit,), share / 2)
        add("units", "last", (7, 2), share)
        add("random", "last", (1, 5), random)
    told = {"change": "grey", "changes": "the colours", "layer": "last", "channels": 64, "screened": 32, "passes": 99.0}
    return pa.Table.from_pylist(rows).replace_schema_metadata({"told": json.dumps(told)})


def edited(
    ids: Sequence[str],
    answers: Sequence[str | None],
    *,
    found: Sequence[bool] | None = None,
    cells: Sequence[int] | None = None,
    peers: int = 0,
    followed: Sequence[int] | None = None,
    stranger: float = 0.5,
) -> pa.Table:
    """A table of `counterfactuals`: each image becomes "dog" by so many cells, or a twentieth of its pixels."""
    there = [True] * len(ids) if found is None else found
    picture = encode_png(np.zeros((8, 8, 3), np.uint8))
    rows = [
        {
            "id": id,
            "how": how,
            "condition": f"counterfactual {how}",
            "answer": answer or "cat",
            "target": "dog",
            "found": there[row],
            "logodds": 1.0,
            "pixels": 0.05,
            "l2": 1.5,
            "cells": list(range((cells or [2] * len(ids))[row])) if how == "swap" else [],
            "away": 1.0,
            "stranger": stranger,
            "asked": peers,
            "followed": 0 if followed is None else followed[row],
            "donor": "i0",
            "picture": picture,
        }
        for how in ("edit", "swap")
        for row, (id, answer) in enumerate(zip(ids, answers, strict=True))
    ]
    told = {"cells": 6, "peers": [f"peer{k}" for k in range(peers)], "pool": 100, "passes": 500.0}
    return pa.Table.from_pylist(rows).replace_schema_metadata({"told": json.dumps(told)})


def patients(
    random: np.random.Generator, units: int, each: int, share: float, sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Units whose own share varies around `share` (on the scale of log-odds), and their rows."""
    own = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + sd * random.standard_normal(units))))
    unit = np.repeat(np.arange(units), each)
    return (random.random(len(unit)) < own[unit]).astype(float), unit


def transplanted(
    pairs: int,
    *,
    classes: Sequence[str] = ("cat", "dog"),
    effects: Mapping[tuple[str, int], float] | None = None,
    covered: float | None = None,
    reached: float = 0.0,
    ids: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The table `transplants` of 4 x 4 cells, a frame and a mark in the lower right corner of the first class.

    `pairs` are those of a class; `effects` moves the log-odds of a (class, region) by so much, and turns the answer
    where they end above 2. Regions 0 to 15 are cells, 16 is the frame, 17 the mark.
    """
    random = np.random.default_rng(seed)
    cells = [("cell", row * 8, column * 8, row * 8 + 8, column * 8 + 8) for row in range(4) for column in range(4)]
    shapes = [*cells, ("frame", 0, 0, 32, 32), ("mark", 26, 25, 30, 31)]
    sides = ("kind", "top", "left", "bottom", "right")
    regions = [dict(zip(sides, shape, strict=True)) for shape in shapes]
    regions = [
        {**region, "label": "", "share": 1.0, "elsewhere": 1.0, "covered": covered, "guessed": reached}
        for region in regions
    ]
    regions[-1] |= {"label": classes[0], "share": 0.9, "elsewhere": 0.04}
    names = ("region", "image", "donor", "own", "class", "effect", "placebo", "turned", "placebo_turned")
    trials: dict[str, list[Any]] = {name: [] for name in names}
    for place, name in enumerate(classes):
        for pair in range(pairs):
            whole = random.standard_normal()  # what a pair has in common over all regions
            for region in range(len(regions)):
                if regions[region]["label"] not in ("", name):
                    continue
                effect, placebo = whole + random.standard_normal(2)
                effect += (effects or {}).get((name, region), 0.0)
                image = place * pairs + pair
                known = (lambda number: f"i{number}") if ids is None else (lambda number: ids[number % len(ids)])
                row = (region, known(image), known(image + 1), classes[place - 1], name, effect, placebo)
                for column, value in zip(names, (*row, effect > 2, placebo > 2), strict=True):
                    trials[column].append(value)
    return {"regions": regions, "trials": trials, "size": [32, 32], "cells": 4, "classes": list(classes)}


def properties(
    told: Mapping[str, float], asked: Mapping[str, float], *, rows: int = 200, ids: Sequence[str] | None = None
) -> dict[str, Any]:
    """The table `properties`: `told` has the balanced accuracy of each property, of which .5 is guessing; `asked` by how
    much the true class loses in log-odds where the property alone is changed."""
    random = np.random.default_rng(0)
    entries = []
    for name, value in told.items():
        suspect = value > 0.6
        bounds = {"low": max(value - 0.05, 0.0), "high": min(value + 0.05, 1.0), "confidence_level": 0.95, "n": 100}
        entries.append(
            {
                "name": name,
                "value": value,
                **bounds,
                "guessing": 0.5,
                "p": 0.001 if suspect else 0.6,
                "suspect": suspect,
            }
        )
    found = {}
    for name, loss in asked.items():
        rested = 2 + random.standard_normal(rows)
        after = rested + 0.2 * random.standard_normal(rows) - loss
        named = [f"i{row}" if ids is None else ids[row % len(ids)] for row in range(rows)]
        columns = {
            "right": after > 0,
            "placebo_right": rested > 0,
            "logodds_true": after,
            "placebo_logodds_true": rested,
        }
        found[name] = {
            "id": named,
            "condition": "matched",
            "change": {"intervention": "matched", "settings": {"what": "colour"}},
        }
        found[name] |= {column: values.astype(float).tolist() for column, values in columns.items()}
    return {"told": entries, "asked": found, "judged": 100, "split": "training", "guessed": 0.0}
