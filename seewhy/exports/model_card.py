"""What would a model card say, as far as the run knows?

Markdown under the headings of Mitchell et al. 2019, Model cards for model reporting, https://arxiv.org/abs/1810.03993.
What the run measured is filled in with its intervals and doubts; what only people know stands there as a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seewhy.exports import _facts, _words
from seewhy.exports._markdown import said, table, text, to_fill_in
from seewhy.storage import files
from seewhy.types import Finding, Pillar, Report

#: What the file is called unless someone says otherwise.
FILE = "model_card.md"


def write(report: Report, path: str | Path) -> Path:
    """Write the card, all of it or none."""
    files.write_text(path, "\n\n".join(_sections(report)) + "\n")
    return Path(path)


def _sections(report: Report) -> Iterator[str]:
    facts = report.facts
    yield f"# Model card: {text(facts.get('network') or facts.get('name') or 'unnamed')}"
    yield f"{text(_words.verdict(report))}."

    yield "## Model details"
    rows = [(name, " ".join((value, remark)).strip()) for name, value, remark in _facts.first(facts)]
    rows += [(name, facts[key]) for key, name in _facts.PRINTS.items() if facts.get(key)]
    rows += _facts.flat(dict(facts.get("training") or {}))
    yield table(("Fact", "Value"), rows)
    yield to_fill_in("Who made it, and whom to ask?", "Version, licence, and how to cite it?")

    yield "## Intended use"
    yield to_fill_in("What is it for, and for whom?", "What is it not for?")

    yield "## Factors"
    groups = [finding for finding in report.findings if finding.audit in ("groups", "per_class")]
    names = sorted({finding.id.partition(":")[2] for finding in groups if finding.found is not None})
    yield f"Looked at by class and by: {text(', '.join(names) or 'no tag')}."
    yield to_fill_in("Which groups, instruments or surroundings matter that no tag names?")

    yield "## Metrics and quantitative analyses"
    measured = [finding for finding in _of(report, "performance", "fair", "mistakes") if finding.value is not None]
    yield table(
        ("What", "Value", "Interval", "Images"),
        ((finding.id, *_numbers(finding)) for finding in measured),
    )
    yield said(_of(report, "performance"), "Nothing was measured.")
    yield "### By group"
    yield said(_of(report, "fair"), "No groups were compared.")

    yield "## Evaluation data"
    counts = facts.get("counts") or {}
    yield f"{text(facts.get('name', 'unknown'))}: {text(_words.plain(counts.get('test')))} test images."
    yield said(_of(report, "data"), "The data were not looked at.")

    yield "## Training data"
    train, val = (text(_words.plain(counts.get(split))) for split in ("train", "val"))
    yield f"{train} images to train, {val} to choose."
    yield to_fill_in("Where do they come from? A datasheet says more.")

    yield "## Ethical considerations"
    yield to_fill_in("Whom could a wrong answer harm, and how?", "Were people in the pictures asked?")

    yield "## Caveats and recommendations"
    yield said(_of(report, "cause", "see", "mistakes"), "Nothing further was found.")
    mends = dict.fromkeys(finding.mitigation for finding in report.findings if finding.mitigation)
    yield "\n".join(f"- {text(mend)}" for mend in mends) or "No mend is suggested."


def _of(report: Report, *pillars: Pillar) -> list[Finding]:
    """The findings of these pillars that were looked for."""
    return [finding for finding in report.findings if finding.pillar in pillars and _words.mark(finding) != "unasked"]


def _numbers(finding: Finding) -> tuple[str, str, str]:
    return (
        _words.quantity(finding.value, finding.unit),
        _words.bounds(finding.low, finding.high, finding.unit),
        _words.number(finding.n),
    )
