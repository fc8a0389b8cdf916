"""How is a number, or a user's own word, said in a sentence?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def percent(share: float) -> str:
    """ "94.2 %", with more decimals only where 0 % or 100 % would be said of what is not."""
    if not math.isfinite(share):
        return "unknown %"
    edge = 100 * min(share, 1 - share)
    decimals = 0 if edge <= 0 else min(max(math.ceil(-math.log10(edge)), 1), 9)
    return f"{100 * share:.{decimals}f} %"


def points(difference: float) -> str:
    """ "2.1 points": a difference of two shares, in percentage points."""
    if not math.isfinite(difference):
        return "unknown points"
    return f"{round(100 * difference, 1) + 0.0:.1f} points"  # + 0.0: never "-0.0"


def p_value(p: float) -> str:
    """ "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def counted(n: int, noun: str) -> str:
    """ "1 image", "1,234 images"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def quoted(name: Any, longest: int = 60) -> str:
    """A user's own word in quotes, on one line, its middle left out where it is very long; "nothing" for None."""
    if name is None:
        return "nothing"
    text = "".join(sign if sign.isprintable() else " " for sign in str(name))
    return f"'{text}'" if len(text) <= longest else f"'{text[: longest - 12]}…{text[-11:]}'"


def named(names: Sequence[str], most: int = 12) -> str:
    """ "'cat', 'dog'", or "'cat', 'dog' and 4 more": names of a user's own as they are spelt."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def listed(items: Sequence[str], most: int = 5) -> str:
    """ "a, b and c", or "a, b, c, d, e and 4 more"."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most:,} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
