"""What would a datasheet of the data say, as far as the run knows?

Markdown under the headings of Gebru et al. 2021, Datasheets for datasets, https://arxiv.org/abs/1803.09010. What was
counted or found is filled in; what only people know stands there as a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seewhy.exports import _words
from seewhy.exports._markdown import said, table, text, to_fill_in
from seewhy.storage import files
from seewhy.types import Report

#: What the file is called unless someone says otherwise.
FILE = "datasheet.md"


def write(report: Report, path: str | Path) -> Path:
    """Write the sheet, all of it or none."""
    files.write_text(path, "\n\n".join(_sections(report)) + "\n")
    return Path(path)


def _sections(report: Report) -> Iterator[str]:
    facts = report.facts
    yield f"# Datasheet: {text(facts.get('name') or 'unnamed')}"

    yield "## Motivation"
    yield to_fill_in("For what were the images gathered, by whom, and who paid for it?")

    yield "## Composition"
    counts = dict(facts.get("counts") or {})
    rows = [("Images", _words.number(sum(counts.values())))] if counts else []
    rows += [(f"of these in {name}", _words.number(count)) for name, count in counts.items()]
    classes = list(facts.get("classes") or ())
    rows += [("Classes", f"{len(classes):,}: {', '.join(map(str, classes[:50]))}")] if classes else []
    rows += [("SHA-256 of content, labels, tags and split", facts["data_sha256"])] if facts.get("data_sha256") else []
    yield table(("Fact", "Value"), rows)
    found = [finding for finding in report.findings if finding.pillar == "data"]
    yield said(
        [finding for finding in found if _words.mark(finding) != "unasked"], "The data themselves were not looked at."
    )
    yield to_fill_in(
        "What does one image show, and how was its label decided?",
        "Are people in the pictures? Could they be told who they are? Is anything about them confidential?",
    )

    yield "## Collection process"
    yield to_fill_in("How, when, and by whom were the images taken or chosen?", "Did the people shown agree?")

    yield "## Preprocessing, cleaning, labelling"
    yield text(
        "Images are read as RGB, upright, and fitted to the network's size when they are used. Files that cannot be "
        "read are left out and named above; the files themselves are never changed."
    )
    yield to_fill_in("What was done to them before they came here, and are the originals kept?", "Who labelled them?")

    yield "## Uses"
    said_of = [finding for finding in report.findings if finding.audit == "accuracy" and finding.found is not None]
    yield said(said_of, "No network was tried on them.")
    yield to_fill_in("For what should they not be used?")

    yield "## Distribution"
    yield to_fill_in("Under which licence, and by whom, are they given on?")

    yield "## Maintenance"
    yield to_fill_in("Who keeps them, and whom can one tell of a mistake?")
