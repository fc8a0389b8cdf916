"""What a reader wants to know of a run: first a few facts in words, then everything that was recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from seewhy import wording
from seewhy.exports import _words

#: Fingerprints, and tables of further facts, by the name a reader sees.
PRINTS = {"weights_sha256": "Weights", "data_sha256": "Data"}
TABLES = {
    "settings": "Settings",
    "training": "Training",
    "versions": "Versions",
}


def first(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, value and remark of the facts a reader wants first."""
    counts = facts.get("counts") or {}
    if counts:
        uses = {"train": "to train", "val": "to choose", "test": "to test"}
        parts = [f"{_words.number(count)} {uses.get(name, name)}" for name, count in counts.items()]
        yield "Images", _words.number(sum(counts.values())), ", ".join(parts)
    classes = [_words.shortened(str(name)) for name in facts.get("classes") or ()]
    if classes:
        more = f" and {len(classes) - 12:,} more" if len(classes) > 12 else ""
        yield "Classes", _words.number(len(classes)), ", ".join(classes[:12]) + more
    if facts.get("network"):
        yield "Network", _words.plain(facts["network"]), str(facts.get("network_reason") or "")
    if facts.get("seconds") is not None:
        threads = facts.get("threads")
        memory = facts.get("peak_memory_mb")
        cost = [
            f"on {facts['device']}" if facts.get("device") else "",
            wording.counted(threads, "thread") if threads else "",
            f"{_words.number(memory)} MB of memory at most" if memory else "",
            f"{_words.plain(facts['passes'])} images through the network" if facts.get("passes") else "",
        ]
        yield "Time", _words.duration(facts["seconds"]), ", ".join(part for part in cost if part)
    if facts.get("seed") is not None:
        yield "Seed", str(facts["seed"]), ""
    if facts.get("started"):
        yield (
            "Started",
            re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*(Z|\+00:00)$", r"\1 \2 UTC", str(facts["started"])),
            "",
        )


#: What tables are called by whoever has not read the code; others go by their own names.
CALLED = {
    "baseline": "Answers to the images as they are",
    "rows": "Labels, splits and tags",
    "scan": "Reading of all files",
    "explanations": "Maps of where it looks",
    "linear_baseline": "Linear model on the pixels",
    "intervention": "Images changed on purpose",
    "transplants": "Parts put into other images",
    "properties": "Brightness, colour, size and the like",
    "units": "Activations exchanged",
    "counterfactuals": "Smallest changes that turn an answer",
    "strangers": "Images of no class",
    "peers": "Other networks",
    "train_targets": "Labels of the training images",
    "log": "Log of the training",
}


def costs(tables: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What was made, how many images it took and how long, changes of one kind together; a total at the end.

    A table goes by its name and settings, as "intervention(count=200, intervention=fog, strength=1.0)".
    """
    rows: dict[str, tuple[int, float, int, int]] = {}
    for table, cost in tables.items():
        name, _, settings = str(table).partition("(")
        change = re.search(r"\bintervention=(\w+)", settings)
        called = CALLED.get(name, name.replace("_", " "))
        called = f"{called}: {change[1].replace('_', ' ')}" if change else called
        spent = re.fullmatch(r"([\d,]+) images seen, ([\d.]+) s", str(cost))
        images, seconds, made, remembered = rows.get(called, (0, 0.0, 0, 0))
        if spent:
            rows[called] = (images + int(spent[1].replace(",", "")), seconds + float(spent[2]), made + 1, remembered)
        else:
            rows[called] = (images, seconds, made, remembered + 1)
    told = [(name, *_spent(*row)) for name, row in rows.items()]
    total = [("All", *_spent(*(sum(column) for column in zip(*rows.values(), strict=True))))] if len(rows) > 1 else []
    return told + total


def _spent(images: int, seconds: float, made: int, remembered: int) -> tuple[str, str]:
    if not made:
        return "\u2013", "remembered"
    return _words.number(images), _words.duration(seconds) + (", some remembered" if remembered else "")


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows: "training.epochs", 30."""
    if isinstance(value, Mapping):
        return [row for key, entry in value.items() for row in flat(entry, f"{name}.{key}" if name else str(key))]
    return [(name, _words.plain(value))]
