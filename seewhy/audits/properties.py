"""Can the label be told from brightness, colour, size or the like alone, and does the network go by it?

First the data: a small rule that knows one property and nothing else, fitted on half of the training images and judged
on the other half, by balanced accuracy, so that under 95/5 classes it is worth nothing unless it tells the rare one
(Holm over all properties). That alone proves nothing of the network. So each property that tells the label is changed
alone, to that of an image of another class, beside the same change to that of an image of its own class: a property is
a shortcut where the first moves the answer further than the second. What cannot be changed alone is named as untested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seewhy.audits import _changed
from seewhy.statistics import differences, intervals, significance
from seewhy.statistics.intervals import Estimate
from seewhy.types import Finding, Need, Pillar, Severity, Tables
from seewhy.wording import counted, listed, p_value, percent

pillar: Pillar = "cause"

#: How many more answers must be wrong, beyond the placebo's, for a finding to be so grave.
GRAVE: tuple[tuple[float, Severity], ...] = ((0.4, "critical"), (0.1, "serious"), (0.03, "moderate"))
#: What moves the log-odds by less than this is no shortcut, however sure it is.
ZONE = 0.1
#: Fewer images than this do not show whether the network goes by a property.
LEAST = 10
SOURCE = (
    "Fisher 1936; labels dealt out anew, Holm 1979; matched edits with a placebo, sign flips (Westfall and Young 1993)"
)
ABOUT = "Where that is what the classes are about, it is no shortcut."
TABLE = Need("properties")


class Asked(NamedTuple):
    """What changing one property does beyond its placebo: log-odds that the true class loses, answers gone wrong, and
    the share of wrong answers with that of another class and with that of the same one."""

    logodds: Estimate
    wrong: Estimate
    shares: tuple[float, float]
    difference: Float[np.ndarray, " rows"]
    ids: tuple[str, ...]
    condition: str
    change: Mapping[str, Any]
    p: float = 1.0

    @property
    def used(self) -> bool:
        """Whether the network goes by it; chance is judged by p, this by size."""
        return self.logodds.value >= ZONE or self.wrong.low > 0


def needs(**settings: Any) -> tuple[Need, ...]:
    return (TABLE,)


def check(tables: Tables, *, level: float = 0.95, draws: int = 4000) -> Iterator[Finding]:
    """A Finding a property that tells the label, and one over those that do not."""
    table = tables[TABLE]
    settings = {"level": level, "draws": draws}
    common: dict[str, Any] = {"audit": "properties", "pillar": pillar, "seed": tables.seed, "source": SOURCE}
    told = {each["name"]: each for each in table["told"]}
    suspects = [name for name, each in told.items() if each["suspect"]]
    enough = {name: columns for name, columns in table["asked"].items() if len(columns["id"]) >= LEAST}
    asked = _asked(enough, tables.seed, level, draws)
    for name in suspects:
        yield _finding(name, told, asked.get(name), table, settings, common)
    silent = [name for name, each in told.items() if each["p"] >= 1 - level]
    if silent or not told:
        yield _silent(silent, told, table, settings, common)


def _asked(found: Mapping[str, Any], seed: int, level: float, draws: int) -> dict[str, Asked]:
    """What each change does; p for all of them together, with one sign an image."""
    asked: dict[str, Asked] = {}
    for name, columns in found.items():
        after, placebo = (np.array(columns[each], dtype=float) for each in ("logodds_true", "placebo_logodds_true"))
        right, rested = (np.array(columns[each], dtype=float) for each in ("right", "placebo_right"))
        d = placebo - after
        low, high = intervals.mean_interval(d, level, unseen=intervals.UNSEEN_LOGODDS)
        logodds = Estimate(float(d.mean()) if len(d) else float("nan"), low, high, level, len(d))
        wrong, _ = differences.paired(rested, right, level)
        asked[name] = Asked(
            logodds,
            wrong,
            (float(1 - right.mean()), float(1 - rested.mean())),
            d,
            tuple(columns["id"]),
            columns["condition"],
            columns["change"],
        )
    if not asked:
        return {}
    values = np.stack([each.difference for each in asked.values()], 1)  # all were asked of the same images
    p = significance.sign_flip_test(values, seed=seed, draws=draws)
    return {name: each._replace(p=float(value)) for (name, each), value in zip(asked.items(), p, strict=True)}


def _finding(
    name: str,
    told: Mapping[str, Mapping[str, Any]],
    asked: Asked | None,
    table: Mapping[str, Any],
    settings: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Finding:
    """One property that tells the label: used, not used, or not to be tested."""
    each = told[name]
    accuracy = Estimate(*(each[field] for field in Estimate._fields))
    chances = {
        "balanced_accuracy": accuracy.value,
        "guessing": each["guessing"],
        "p_told": each["p"],
        "properties": len(told),
    }
    subject = f"properties:{name.removeprefix('the ').replace(' ', '_')}"
    evidence = (_bars(told),)
    if asked is None:
        why = f"it takes {LEAST} labelled test images" if name in table["asked"] else "no edit changes it alone"
        return Finding(
            id=subject,
            statement=f"{_capital(name)} alone tells the label, with a balanced accuracy of {accuracy} on "
            f"{_images(accuracy.n, table)} where guessing gives {percent(each['guessing'])}; whether the network goes "
            f"by it could not be tested, for {why}.",
            found=True,
            unit="balanced accuracy",
            **accuracy._asdict(),
            severity="minor",
            evidence=evidence,
            doubts=("That the data tie it to the label does not mean that the network uses it.",),
            settings={**settings, **chances},
            mitigation=f"Gather images in which {name} and the label do not go together.",
            **common,
        )
    used = asked.p < 1 - settings["level"] and asked.used
    grave: Severity = next((severity for least, severity in GRAVE if asked.wrong.value >= least), "minor")
    if name == "the colour of the object" and grave in ("serious", "critical"):
        grave = "moderate"  # it may be what the class is about
    worst = np.argsort(-asked.difference, kind="stable")[:6]
    changed = {
        "kind": "changed",
        "title": f"Before and after: {name} alone becomes that of another class",
        "condition": asked.condition,
        "change": dict(asked.change),
        "items": [
            {
                "id": asked.ids[row],
                "caption": f"the true class loses {asked.difference[row]:.1f} in log-odds beyond the placebo",
            }
            for row in worst
        ],
    }
    return Finding(
        id=subject,
        statement=_statement(name, asked, used),
        found=used,
        unit="difference of shares",
        **asked.wrong._asdict(),
        severity=grave if used else "none",
        examples=tuple(asked.ids[row] for row in worst) if used else (),
        evidence=(changed, _moves(asked), *evidence) if used else (_moves(asked), *evidence),
        doubts=(*((ABOUT,) if used else ()), *_doubts(name, table)),
        settings={**settings, **chances, "p": asked.p, "logodds": asked.logodds.value},
        mitigation=f"Vary {name} at random in training, or gather images in which it and the label do not go together."
        if used
        else None,
        **common,
    )


def _statement(name: str, asked: Asked, used: bool) -> str:
    """Whether the network goes by a property that tells the label; by its log-odds where answers do not show it."""
    other, same = (percent(share) for share in asked.shares)
    shown = (
        f"with that of another class it is wrong for {other} of {counted(asked.wrong.n, 'image')}, with that of the "
        f"same class for {same}, a difference of {asked.wrong.in_points}"
    )
    if not used:
        return f"{_capital(name)} tells the label, but the network does not go by it as far as can be told: {shown}."
    unclear = "" if asked.wrong.low > 0 else f"; it shows in the log-odds ({p_value(asked.p)}) more than in the answers"
    return f"The network goes by {name}: {shown}{unclear}."


def _moves(asked: Asked) -> dict[str, Any]:
    """What changing the property does beyond its placebo, on both scales."""
    lost = asked.logodds
    moved = lost._replace(value=-lost.value, low=-lost.high, high=-lost.low)
    asked_of = (("share of wrong answers", asked.wrong), ("log-odds of the true class", moved))
    return _changed.moves("What moves beyond the placebo", asked_of)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _doubts(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield "The change is an edit of the pixels: values are cut off at black and white."
    if ("object" in name or "background" in name) and table["guessed"] > 0:
        yield f"Where the object is was guessed for {percent(table['guessed'])} of the images."


def _silent(
    silent: list[str],
    told: Mapping[str, Mapping[str, Any]],
    table: Mapping[str, Any],
    settings: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Finding:
    """The properties that do not tell the label."""
    n = table["judged"]
    if not silent:
        statement = "No property was asked whether it tells the label: none differs between images."
        return Finding("properties:none", statement=statement, n=n, settings=settings, **common)
    best = max(silent, key=lambda name: told[name]["value"] - told[name]["guessing"])
    of_best = Estimate(*(told[best][field] for field in Estimate._fields))
    return Finding(
        id="properties:none",
        statement=f"The label cannot be told from {listed(silent, 3)} alone: at best with a balanced accuracy of "
        f"{of_best} on {_images(n, table)}, by {best}, where guessing gives {percent(told[best]['guessing'])}.",
        found=False,
        unit="balanced accuracy",
        **of_best._asdict(),
        evidence=(_bars(told),),
        settings=settings,
        **common,
    )


def _images(n: int, table: Mapping[str, Any]) -> str:
    return counted(n, f"{table['split']} image")


def _bars(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = [
        {"name": name.removeprefix("the "), **{field: each[field] for field in ("value", "low", "high", "n")}}
        for name, each in told.items()
    ]
    guessing = next(iter(told.values()))["guessing"] if told else None
    return {
        "kind": "bars",
        "title": "How well the label is told from one property alone",
        "unit": "share",
        "rows": rows,
        "reference": {"name": "guessing", "value": guessing},
    }
