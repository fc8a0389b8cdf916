"""How a number, a hostile name and the verdict of a report are put into words, the same in every export."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from seewhy import wording
from seewhy.types import SEVERITIES, Finding, Pillar, Report

#: What each pillar asks.
QUESTIONS: dict[Pillar, str] = {
    "performance": "Is it right?",
    "see": "What does it look at?",
    "cause": "Because of what does it decide?",
    "fair": "Whom does it fail?",
    "mistakes": "Where is it wrong, and sure of it?",
    "data": "Can the data be trusted?",
}

#: Controls, the characters that turn the direction of the text around them, and what is no character at all: a name
#: must do none of it.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def visible(text: str) -> str:
    """The text with control characters shown (an escape as \u241b) instead of obeyed; line breaks and tabs stay."""
    return _UNSEEN.sub(lambda match: _picture(match[0]), text)


def on_one_line(text: str) -> str:
    """As `visible`, with line breaks and tabs shown too: for a terminal."""
    return visible(text).replace("\n", "\u240a").replace("\t", "\u2409")


def shortened(text: str, longest: int = 40) -> str:
    """A long name without its middle."""
    return text if len(text) <= longest else f"{text[: longest - 12]}\u2026{text[-11:]}"


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # the picture that Unicode has of each control
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


# ------------------------------------------------------------------------------------------------- numbers


def is_share(unit: str) -> bool:
    """Whether values of the unit lie in 0 to 1 and are read as per cent: a share, or a share of something."""
    return unit == "probability" or unit.partition(" of ")[0] == "share"


def holds_shares(column: str) -> bool:
    """Whether a table's column holds shares: its name begins so."""
    return column.partition(" ")[0].rstrip(",:") == "share"


def is_difference(unit: str) -> bool:
    """Whether values of the unit are differences of shares, which are read as percentage points."""
    return unit == "difference of shares"


def number(value: float | None) -> str:
    """A number as one would say it: three significant digits, or the whole of an integer."""
    if value is None:
        return "\u2013"
    if float(value).is_integer() and abs(value) < 1e15:
        return with_minus(f"{value:,.0f}")
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return with_minus(f"{value:,.{decimals}f}" if decimals <= 6 else f"{value:.2e}")


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: "98.3 %", "\u22122.1 points", "12", "0.031 nats"."""
    if value is None:
        return "\u2013"
    if is_share(unit):
        return with_minus(wording.percent(value))
    if is_difference(unit):
        return with_minus(wording.points(value))
    return number(value) if unit in ("", "count") else f"{number(value)} {unit}"


def bounds(low: float | None, high: float | None, unit: str) -> str:
    """An interval: "96.4 to 99.2 %"; empty where there is none."""
    if low is None or high is None:
        return ""
    ends = [quantity(end, unit if is_share(unit) or is_difference(unit) else "") for end in (low, high)]
    return f"{ends[0].removesuffix(' %').removesuffix(' points')} to {ends[1]}"


def with_minus(text: str) -> str:
    """A number's text with a minus sign instead of a hyphen."""
    return text.replace("-", "\u2212")


def duration(seconds: float) -> str:
    """ "41 s", "6 min 12 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{number(round(seconds, 1))} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def plain(value: Any) -> str:
    """Anything recorded about a run as one text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(entry)}" for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(entry) for entry in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "\u2013"}[value]
    if isinstance(value, (int, float)):
        return number(value) if float(value).is_integer() else with_minus(f"{value:,.4g}")
    return str(value)


# ------------------------------------------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Verdict:
    """What a report says before anything else. `interval` and `further` may be empty."""

    headline: str
    interval: str
    further: tuple[str, ...]

    def __str__(self) -> str:
        interval = f" [{self.interval}]" if self.interval else ""
        return "; ".join((self.headline + interval, *self.further))


def attention(report: Report) -> list[Finding]:
    """The findings a reader must not miss: moderate and worse."""
    return [finding for finding in report.findings if SEVERITIES.index(finding.severity) >= 2]


def gravest(report: Report, most: int) -> tuple[list[Finding], list[Finding]]:
    """What to say first of what needs attention, one finding an audit, and all the rest of it."""
    needing = attention(report)
    of_audit: dict[str, Finding] = {}
    for finding in needing:
        of_audit.setdefault(finding.audit, finding)
    first = list(of_audit.values())[:most]
    return first, [finding for finding in needing if finding not in first]


def verdict(report: Report) -> Verdict:
    """The verdict, by rule: how often right, whether a linear model would do, and how much needs attention."""
    head, further = headline_finding(report), tuple(_further(report))
    if head is not None and head.value is not None:
        split = head.id.partition(":")[2]
        which = f"{split} image" if split in ("train", "val", "test") else "image"
        of = f"{which}s" if head.n is None else wording.counted(head.n, which)
        right = f"Right on {quantity(head.value, head.unit)} of {of}"
        partly = f"Rightness {number(head.value)} of 1, on average over {of}"
        return Verdict(right if is_share(head.unit) else partly, bounds(head.low, head.high, head.unit), further)
    checked = sum(mark(finding) != "unasked" for finding in report.findings)
    if checked:
        return Verdict(f"{wording.counted(checked, 'thing')} checked", "", further)
    return Verdict("Nothing could be checked" if report.findings else "Nothing was asked, so nothing was found", "", ())


def headline_finding(report: Report) -> Finding | None:
    """The accuracy that the report opens with: on the test images, or else the first there is."""
    if "accuracy:test" in report:
        return report["accuracy:test"]
    return next(
        (finding for finding in report.findings if finding.audit == "accuracy" and is_share(finding.unit)), None
    )


def _further(report: Report) -> list[str]:
    points = []
    if "worth_it:linear" in report:
        worth = {True: "not clearly better than a linear model", False: "worth it over a linear model", None: ""}
        points.append(worth[report["worth_it:linear"].found])
    grave = len(attention(report))
    unasked = sum(mark(finding) == "unasked" for finding in report.findings)
    if grave:
        points.append(f"{grave:,} {'thing needs' if grave == 1 else 'things need'} attention")
    elif unasked < len(report.findings):
        points.append("nothing that was checked needs attention")
    if unasked:
        points.append(f"{wording.counted(unasked, 'thing')} could not be checked")
    return [point for point in points if point]


def severity_word(finding: Finding) -> str:
    """The word on a finding's badge."""
    if finding.severity != "none":
        return finding.severity
    return "not checked" if finding.found is None else "no concern"


def mark(finding: Finding) -> str:
    """Which symbol stands for the finding: its severity, or "unasked" where it could not be checked."""
    return "unasked" if finding.found is None and finding.severity == "none" else finding.severity
