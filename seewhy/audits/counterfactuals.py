"""What would have changed its mind?

For a few images that the network is right on, the smallest change that makes it answer the class it held next
likeliest: cells swapped for those of a look-alike of that class, as few as a greedy search needs, and a free edit,
smooth and small in area (`seewhy/tables/_editing.py`). Both are upper bounds, found on the network itself, so three checks
stand beside them: the edited image is rounded to 256 levels before it counts; other networks, taught the same, are
asked about it, for what they do not follow is an adversarial example and no reason; and an alarm tells when it lies
farther from all training images than nearly every real test image does, so that no such image may exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from seewhy.statistics import intervals
from seewhy.types import Finding, Need, Pillar, Tables
from seewhy.wording import counted, listed, percent, quoted

pillar: Pillar = "cause"

SOURCE = {
    "swap": "Goyal and others 2019, https://arxiv.org/abs/1904.07451",
    "edit": "Wachter and others 2017, https://arxiv.org/abs/1711.00399; Fong and Vedaldi 2017",
}
#: An edited image is strange if fewer real test images than this lie as far from the training images.
STRANGE = 0.05
UPPER = "A smaller change may exist that the search did not find."
SEAMS = "A swap leaves seams, to which a network may answer as well."
UNCHECKED = (
    "Not checked on peers: a change that other networks, taught the same, do not follow is an adversarial example and "
    "no reason. Name some with the setting `peers`, or have some trained with `train`."
)


def needs(
    *,
    images: int = 8,
    cells: int = 6,
    steps: int = 100,
    peers: tuple[str, ...] = (),
    train: int = 0,
    **settings: Any,
) -> tuple[Need, ...]:
    return (_need(images, cells, steps, peers, train), Need("baseline"))


def _need(images: int, cells: int, steps: int, peers: tuple[str, ...], train: int) -> Need:
    return Need("counterfactuals", images=images, cells=cells, steps=steps, peers=tuple(peers), train=train)


def check(
    tables: Tables,
    *,
    images: int = 8,
    cells: int = 6,
    steps: int = 100,
    peers: tuple[str, ...] = (),
    train: int = 0,
    level: float = 0.95,
) -> Iterator[Finding]:
    """A Finding for swaps of `cells` x `cells` cells and one for free edits of so many `steps`. `peers`: models as
    `--model` names them; `train`: how many more are trained from other seeds, each for as long as the network was."""
    table: pa.Table = tables[_need(images, cells, steps, peers, train)]
    told = json.loads(table.schema.metadata[b"told"])
    settings = {"images": images, "cells": cells, "steps": steps, "peers": told["peers"], "level": level}
    common: dict[str, Any] = {
        "audit": "counterfactuals",
        "pillar": pillar,
        "seed": tables.seed,
        "settings": {**settings, "passes": told["passes"]},
    }
    for how in ("swap", "edit"):
        rows = [row for row in table.drop_columns("picture").to_pylist() if row["how"] == how]
        yield _finding(how, rows, told, level, tables.split, common)


def _finding(
    how: str, rows: list[dict[str, Any]], told: dict[str, Any], level: float, split: str, common: dict[str, Any]
) -> Finding:
    found = [row for row in rows if row["found"]]
    asked = f"{len(found)} of {counted(len(rows), f'{split} image')}"
    what = "A swap of cells with a look-alike of the other class" if how == "swap" else "A smooth edit"
    common = {**common, "id": f"counterfactuals:{how}", "source": SOURCE[how]}
    if not found:
        none = f"{what} changed the answer of {asked}: what would have changed its mind was not found this way."
        return Finding(statement=none, found=False, unit="count", value=0.0, n=len(rows), **common)
    sizes = np.array([len(row["cells"]) if how == "swap" else row["pixels"] for row in found], float)
    size = intervals.median(sizes, level)
    doubts = [UPPER, SEAMS, *_strange(found)] if how == "swap" else [UPPER, *_strange(found)]
    ends: dict[str, Any] = {"low": size.low, "high": size.high} if np.isfinite(size.low) else {}
    followed = _followed(found, told["peers"], level)
    return Finding(
        statement=f"{what} changed the answer of {asked}, {_extent(how, size, told['cells'])}. {followed}",
        found=True,
        value=size.value,
        n=size.n,
        unit=f"of {told['cells'] ** 2} cells" if how == "swap" else "share of pixels",
        confidence_level=level if ends else None,
        examples=tuple(row["id"] for row in found),
        evidence=(_pictures(how, found), _table(how, rows, told)),
        doubts=(*doubts, *(() if told["peers"] else (UNCHECKED,))),
        **ends,
        **common,
    )


def _extent(how: str, size: intervals.Estimate, cells: int) -> str:
    """How large the changes are, as a clause."""
    level = f"{100 * size.confidence_level:.4g} %"
    if how == "swap":
        known = f" ({level} interval {size.low:g} to {size.high:g})" if np.isfinite(size.low) else ""
        return f"by a median of {size.value:g} of {cells**2} cells{known}"
    known = f" ({level} interval {percent(size.low)[:-2]} to {percent(size.high)})" if np.isfinite(size.low) else ""
    return f"by a median of {percent(size.value)} of the pixels{known}"


def _followed(found: list[dict[str, Any]], peers: list[str], level: float) -> str:
    """Whether peers follow, as a sentence. A peer counts where it said of the image as it is what the network said."""
    if not peers:
        return "Not checked on peers."
    asked, followed = ([row[name] for row in found] for name in ("asked", "followed"))
    if not sum(asked):
        return f"Not checked on the {counted(len(peers), 'peer')}: of these images they say something else anyway."
    unit = np.repeat(np.arange(len(found)), asked)
    says = np.concatenate([np.arange(n) < k for n, k in zip(asked, followed, strict=True)]).astype(float)
    share = intervals.rate(says, level, unit)
    verdict = (
        "so they move others too, not this network alone"
        if share.low > 0.5
        else "so most are adversarial examples and no reasons: they move this network alone"
        if share.high < 0.5
        else "which does not tell reasons from adversarial examples"
    )
    answers = counted(sum(asked), "answer")
    return f"Peers that agreed before follow in {sum(followed)} of {answers}: {share}, {verdict}."


def _strange(found: list[dict[str, Any]]) -> list[str]:
    """The alarm, where it rings."""
    strange = sum(row["stranger"] < STRANGE for row in found)
    if not strange:
        return []
    return [
        f"In {strange} of {counted(len(found), 'case')} the edited image lies farther from all training images, in the "
        f"network's own embedding, than {percent(1 - STRANGE)} of real test images do: no such image may exist."
    ]


def _pictures(how: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    items = []
    for row in found:
        cells, share = counted(len(row["cells"]), "cell"), percent(row["pixels"])
        size = f"{cells}, {share} of the pixels" if how == "swap" else f"{share} of the pixels"
        peers = f"; {row['followed']} of {counted(row['asked'], 'peer')} would follow" if row["asked"] else ""
        items.append(
            {"id": row["id"], "caption": f"{quoted(row['answer'])} becomes {quoted(row['target'])}: {size}{peers}"}
        )
    title = {"swap": "Cells swapped with a look-alike", "edit": "Smooth edits"}[how]
    return {"kind": "changed", "title": title, "condition": found[0]["condition"], "items": items}


def _table(how: str, rows: list[dict[str, Any]], told: dict[str, Any]) -> dict[str, Any]:
    """One line an image."""
    columns = ["image", "answer", "becomes", "share of pixels", "distance", "share of test images as strange"]
    columns += ["cells (row, column)", "look-alike"] if how == "swap" else []
    columns += ["peers asked", "follow"] if told["peers"] else []
    lines = []
    for row in rows:
        line = [row["id"], row["answer"], row["target"] if row["found"] else "not found"]
        line += [row["pixels"], row["l2"], row["stranger"]] if row["found"] else [None] * 3
        if how == "swap":
            line += [listed([str(divmod(cell, told["cells"])) for cell in row["cells"]], 36), row["donor"]]
        line += [row["asked"], row["followed"]] if told["peers"] else []
        lines.append(line)
    return {"kind": "table", "title": "The smallest changes found", "columns": columns, "rows": lines}
