"""Where a number lies between round ticks, so that whoever draws it needs no arithmetic.

Places along an axis are fractions of its length: what is drawn scales with the page, and its text does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from seewhy.exports import _words
from seewhy.types import Finding


@dataclass(frozen=True)
class Tick:
    place: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` with ticks at round numbers."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    def place(self, value: float | None) -> float | None:
        """Where a value lies, 0 at the low end to 1 at the high end; what lies outside is drawn at the end."""
        if value is None:
            return None
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis(low: float, high: float, unit: str = "", *, steps: int = 4) -> Axis:
    """The smallest axis between round numbers that holds both ends; shares stay between 0 and 100 % where they are."""
    if high <= low:
        margin = abs(low) * 0.1 or 0.5
        low, high = low - margin, high + margin
    step = _round_step((high - low) / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    values = [round(place * step, 12) for place in range(first, last + 1)]
    if _words.is_share(unit) and low >= 0 and high <= 1:
        values = [value for value in values if 0 <= value <= 1]
    ends = values[0], values[-1]
    ticks = tuple(Tick((value - ends[0]) / (ends[1] - ends[0]), _tick_label(value, step, unit)) for value in values)
    return Axis(*ends, ticks)


def _round_step(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if step <= factor * power * (1 + 1e-9))


def _tick_label(value: float, step: float, unit: str) -> str:
    scale = 100 if _words.is_share(unit) or _words.is_difference(unit) else 1
    if max(abs(value), step) * scale >= 1e7 or step * scale < 1e-4:
        return f"{value * scale:.3g}".replace("-", "\u2212")
    digits = next(digits for digits in range(7) if math.isclose(round(step * scale, digits), step * scale))
    return f"{value * scale:,.{digits}f}".replace("-", "\u2212")


@dataclass(frozen=True)
class Interval:
    """One value with its bounds on an axis; `zero` is where "no difference" lies, if that is within."""

    axis: Axis
    sign: str  # what the last tick of the axis ends with
    value: float | None
    low: float | None
    high: float | None
    zero: float | None


def interval(finding: Finding) -> Interval | None:
    """The finding's value and bounds, or None where it has no bounds. Shares are shown on all of 0 to 100 %."""
    if finding.value is None or finding.low is None or finding.high is None:
        return None
    ends = [0.0, finding.value, finding.low, finding.high]
    if not all(map(math.isfinite, ends)):
        return None
    if _words.is_share(finding.unit) and min(ends) >= 0 and max(ends) <= 1:
        ends.append(1.0)
    scale = axis(min(ends), max(ends), finding.unit, steps=2)
    zero = scale.place(0.0) if scale.low < 0 < scale.high else None
    sign = " %" if _words.is_share(finding.unit) else ""
    return Interval(scale, sign, scale.place(finding.value), scale.place(finding.low), scale.place(finding.high), zero)
