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
    "tables": "What was made, and at what cost",
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


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows: "training.epochs", 30."""
    if isinstance(value, Mapping):
        return [row for key, entry in value.items() for row in flat(entry, f"{name}.{key}" if name else str(key))]
    return [(name, _words.plain(value))]
