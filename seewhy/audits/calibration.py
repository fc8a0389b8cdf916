"""Can its confidence be believed?

How far confidence is from how often the network is right: the expected calibration error in bins of equal mass,
without the part that chance adds, and a test whether a perfectly calibrated network would show as much. It is serious
from 10 points, moderate from 5, minor below that, and "found" only if the test says so. Where the validation images'
log-probabilities are at hand, the temperature that mends it is fitted there and tried on the audited images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seewhy import wording
from seewhy.statistics import calibration, intervals, metrics
from seewhy.types import Finding, Need, Pillar, Predictions, Severity, Tables
from seewhy.wording import counted, percent, points

pillar: Pillar = "performance"

optional = frozenset({"baseline"})  # the validation images' one; nothing is audited without the audited images' own

LEAST = 20
VALIDATION = Need("baseline", split="val")
SOURCE = "Bröcker and Smith 2007; Kumar, Liang and Ma 2019; Guo et al. 2017"


class Mended(NamedTuple):
    """A temperature, how many images it was fitted on, and what it makes of the audited confidences."""

    temperature: float
    fitted_on: int
    confidence: np.ndarray
    error: float


def needs(**settings: Any) -> tuple[Need, ...]:
    return Need("baseline"), VALIDATION


def check(tables: Tables, *, level: float = 0.95, bins: int = 15, draws: int = 1000) -> Finding:
    """One Finding. `draws`: how often chance is tried."""
    common: dict[str, Any] = {
        "id": "calibration:error",
        "audit": "calibration",
        "pillar": pillar,
        "unit": "share",
        "seed": tables.seed,
        "source": SOURCE,
    }
    settings: dict[str, Any] = {"level": level, "bins": bins, "draws": draws}
    if Need("baseline") not in tables:
        reason = tables.absent.get(Need("baseline"), "there are no predictions")
        return Finding(statement=f"Calibration was not measured: {reason}.", settings=settings, **common)
    predictions = tables.baseline
    rows = np.flatnonzero(~np.isnan(predictions["right"]) & ~np.isnan(predictions["confidence"]))
    right, confidence = predictions["right"][rows], predictions["confidence"][rows]
    why = _why_not(predictions, right)
    if why:
        return Finding(statement=f"Calibration was not measured: {why}.", n=len(rows), settings=settings, **common)

    estimate = calibration.ece(confidence, right, bins=bins, level=level, seed=tables.seed, draws=draws)
    p = calibration.consistency_test(confidence, right, seed=tables.seed, bins=bins, draws=draws)
    found = p < 1 - level
    if not found:
        estimate = estimate._replace(low=0.0)  # where the test is exact, it decides
    mended = _mended(tables, predictions, rows, right, bins, level, draws)
    if mended:
        settings |= {"temperature": mended.temperature, "error_with_temperature": mended.error}
    severity: Severity = "serious" if estimate.value >= 0.1 else "moderate" if estimate.value >= 0.05 else "minor"
    return Finding(
        statement=_statement(tables, estimate, p, found, confidence, right),
        found=found,
        **estimate._asdict(),
        severity=severity if found else "none",
        evidence=_evidence(confidence, right, mended, bins, level),
        doubts=(
            f"It sees only the confidence of the answer given, in at most {bins} bins: in one class or group it may be "
            "off more.",
            intervals.INDEPENDENT,
        ),
        settings={**settings, "p": p},
        mitigation=_mitigation(tables, estimate, mended) if found else None,
        **common,
    )


def _why_not(predictions: Predictions, right: np.ndarray) -> str | None:
    if not predictions.has("confidence"):
        return "the table has no confidence"
    if not intervals.is_binary(right) or predictions.parts is not None:
        return "answers can be partly right, and a confidence does not say how right"
    if len(right) < LEAST:
        return f"not enough data, with {counted(len(right), 'labelled image')} of at least {LEAST}"
    return None


def _statement(
    tables: Tables, estimate: intervals.Estimate, p: float, found: bool, confidence: np.ndarray, right: np.ndarray
) -> str:
    says, does = float(confidence.mean()), float(right.mean())
    images = counted(len(right), f"{tables.split} image".strip())
    chance = wording.p_value(p)
    overall = f"it says {percent(says)} on average and is right on {percent(does)} of {images}"
    if not found:
        agrees = f"Its confidence agrees with how often it is right, as far as {images} can tell"
        return f"{agrees}: off by {estimate.in_points}, which chance alone may give ({chance})."
    if abs(says - does) < estimate.value / 2:
        direction = "too sure in places and not sure enough in others"
    else:
        direction = "too sure of itself" if says > does else "not sure enough of itself"
    return f"Its confidence is off by {estimate.in_points}, {chance}; the network is {direction}: {overall}."


def _mended(
    tables: Tables, predictions: Predictions, rows: np.ndarray, right: np.ndarray, bins: int, level: float, draws: int
) -> Mended | None:
    """The temperature fitted on validation images and tried on these; None where there are no log-probabilities."""
    if VALIDATION not in tables or predictions.log_probabilities is None:
        return None
    validation = tables[VALIDATION]
    if validation.log_probabilities is None:
        return None
    target = metrics.codes(validation["target"], validation.classes)
    if np.sum(target >= 0) < LEAST or validation.log_probabilities.shape[1] != len(validation.classes):
        return None
    best = calibration.temperature(validation.log_probabilities, target)
    if np.isnan(best):
        return None
    confidence = calibration.tempered(predictions.log_probabilities[rows], best)
    after = calibration.ece(confidence, right, bins=bins, level=level, seed=tables.seed, draws=draws)
    return Mended(best, int(np.sum(target >= 0)), confidence, after.value)


def _mitigation(tables: Tables, estimate: intervals.Estimate, mended: Mended | None) -> str:
    if mended is None:
        return "Fit a temperature on validation images: divide the logits by it before the softmax."
    fitted = f"temperature {mended.temperature:.2f}, fitted on {counted(mended.fitted_on, 'validation image')}"
    change = f"from {points(estimate.value)} to {points(mended.error)} on the {f'{tables.split} image'.strip()}s"
    if mended.error < estimate.value:
        return f"Dividing the logits by {fitted}, takes the error {change}."
    helps_not = f"Dividing the logits by {fitted}, does not help: the error goes {change}."
    return f"{helps_not} Validation images that are more like these may."


def _evidence(
    confidence: np.ndarray, right: np.ndarray, mended: Mended | None, bins: int, level: float
) -> tuple[dict[str, Any], ...]:
    series = [_series("as it is", confidence, right, bins, level)]
    if mended:
        series.append(_series(f"with temperature {mended.temperature:.2f}", mended.confidence, right, bins, level))
    return (
        {
            "kind": "curve",
            "title": "How often it is right, by how sure it is",
            "x_label": "confidence",
            "y_label": "share right",
            "series": series,
            "diagonal": True,
        },
    )


def _series(name: str, confidence: np.ndarray, right: np.ndarray, bins: int, level: float) -> dict[str, Any]:
    table = calibration.reliability(confidence, right, bins)
    low, high = intervals.wilson(table.right * table.n, table.n, level)
    columns = {"x": table.confidence, "y": table.right, "low": low, "high": high}
    return {"name": name, **{column: [float(each) for each in values] for column, values in columns.items()}}
