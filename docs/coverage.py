"""Measures how often the intervals hold the truth and how often the tests raise a false alarm; writes statistics.md.

.venv/bin/python docs/coverage.py            all of it, half a minute on one core
.venv/bin/python docs/coverage.py --short    a tenth of the tables, printed and not written
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import special, stats

from seewhy.statistics import calibration, differences, intervals, metrics, significance

PAGE = Path(__file__).parent / "statistics.md"
SHARES = np.linspace(0.0005, 0.9995, 1999)
TABLES = 1000


def wilson() -> Iterator[list[object]]:
    """Exact: no table is drawn."""
    for n in (20, 50, 200):
        counts = np.arange(n + 1)
        low, high = intervals.wilson(counts, np.full(n + 1, n))
        holds = (low <= SHARES[:, None]) & (SHARES[:, None] <= high)
        covered = (stats.binom.pmf(counts, n, SHARES[:, None]) * holds).sum(1)
        yield ["a share (Wilson, Poisson ends)", f"n = {n}", covered.mean(), covered.min()]


def newcombe() -> Iterator[list[object]]:
    """Exact, over pairs of shares from .05 to .95."""
    for n in (20, 50, 200):
        counts = np.arange(n + 1)
        a, b = np.meshgrid(counts, counts, indexing="ij")
        low, high = differences.newcombe(a, n, b, n)
        covered = []
        for first in np.linspace(0.05, 0.95, 10):
            for second in np.linspace(0.05, 0.95, 10):
                chance = np.outer(stats.binom.pmf(counts, n, first), stats.binom.pmf(counts, n, second))
                covered.append(float((chance * ((low <= first - second) & (first - second <= high))).sum()))
        yield ["a gap of two groups (Newcombe)", f"n = {n} each", np.mean(covered), min(covered)]


def paired(tables: int) -> Iterator[list[object]]:
    """Before and after on the same rows; `flips` is the share of rows that change."""
    random = np.random.default_rng(0)
    for n, flips in ((100, 0.1), (200, 0.1), (200, 0.3), (1000, 0.02)):
        covered = []
        for lean in (0.5, 0.7, 0.9):
            chances = (0.85 - flips / 2, flips * lean, flips * (1 - lean), 0.15 - flips / 2)
            drawn = random.multinomial(n, np.maximum(chances, 0) / np.maximum(chances, 0).sum(), tables)
            true = flips * (2 * lean - 1) / np.maximum(chances, 0).sum()
            held = [_holds(_paired(row), true) for row in drawn]
            covered.append(np.mean(held))
        yield ["before and after (Newcombe, paired)", f"n = {n}, {flips:.0%} change", np.mean(covered), min(covered)]


def _paired(row: np.ndarray) -> intervals.Estimate:
    first, second = np.repeat([1, 1, 0, 0], row), np.repeat([1, 0, 1, 0], row)
    return differences.paired(first.astype(float), second.astype(float))[0]


def moved(tables: int) -> Iterator[list[object]]:
    """How far probability and log-odds of the true class move under a change.

    Log-odds spread as Student's t does with 4 degrees of freedom; a share of the images moves by -3, the others by
    hardly anything: skew where few move.
    """
    random = np.random.default_rng(5)
    for n in (50, 200, 500):
        for scale in ("probability", "log-odds"):
            covered = []
            for share in (0.0, 0.02, 0.05, 0.2, 0.5):
                true = np.subtract(*_moved(random, 400_000, share, scale)).mean()
                held = [_moved_holds(*_moved(random, n, share, scale), true, scale) for _ in range(tables)]
                covered.append(np.mean(held))
            yield [f"how far the {scale} moves (Student)", f"n = {n}", np.mean(covered), min(covered)]


def _moved(random: np.random.Generator, n: int, share: float, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """After and before."""
    before = 1.5 * random.standard_t(4, n) + 2
    after = before + 0.1 * random.standard_t(4, n) - 3 * (random.random(n) < share)
    return (after, before) if scale == "log-odds" else (special.expit(after), special.expit(before))


def _moved_holds(after: np.ndarray, before: np.ndarray, truth: float, scale: str) -> bool:
    """By the interval that `effects` gives on this scale."""
    if scale == "probability":
        return _holds(differences.paired(after, before)[0], truth)
    low, high = intervals.mean_interval(after - before, unseen=intervals.UNSEEN_LOGODDS)
    return low <= truth <= high


def _holds(estimate: intervals.Estimate, truth: float) -> bool:
    return estimate.low - 1e-12 <= truth <= estimate.high + 1e-12


def units(tables: int) -> Iterator[list[object]]:
    """A share over patients whose own shares vary by `sd` on the scale of log-odds."""
    random = np.random.default_rng(1)
    for patients, each in ((20, 10), (50, 10), (200, 5)):
        covered = []
        for middle in (0.0, 1.0, 2.0, 3.0):
            for sd in (0.0, 1.0, 2.0):
                truth = float(np.mean(_logistic(middle + sd * stats.norm.ppf((np.arange(4000) + 0.5) / 4000))))
                unit, held = np.repeat(np.arange(patients), each), []
                for _ in range(tables):
                    own = _logistic(middle + sd * random.standard_normal(patients))
                    right = (random.random(len(unit)) < own[unit]).astype(float)
                    held.append(_holds(intervals.rate(right, unit=unit), truth))
                covered.append(np.mean(held))
        yield ["a share over patients", f"{patients} patients of {each} images", np.mean(covered), min(covered)]


def pooled(tables: int) -> Iterator[list[object]]:
    """Cells of 5 to 40 images whose shares vary by `sd`: coverage on average over the cells."""
    random = np.random.default_rng(2)
    covered = []
    for middle in (0.0, 2.0, 3.0):
        for sd in (0.0, 0.5, 1.0, 2.0):
            held = []
            for _ in range(tables // 2):
                truth = _logistic(middle + sd * random.standard_normal(16))
                n = random.integers(5, 40, 16)
                found = intervals.pooled(random.binomial(n, truth), n)
                held.append(np.mean((found.low <= truth) & (truth <= found.high)))
            covered.append(np.mean(held))
    yield ["small cells, drawn together", "16 cells of 5 to 40 images", np.mean(covered), min(covered)]


def over_classes(tables: int) -> Iterator[list[object]]:
    """Balanced accuracy and macro-F1."""
    random = np.random.default_rng(3)
    for name, sizes in (("10 classes of 36", [36] * 10), ("180 and 20 images", [180, 20])):
        recalls = np.linspace(0.75, 0.98, len(sizes))
        truth = float(recalls.mean()), _f1(np.array(sizes), recalls)
        held = np.zeros(2)
        for _ in range(tables):
            target = np.repeat(np.arange(len(sizes)), sizes)
            right = random.random(len(target)) < recalls[target]
            other = (target + random.integers(1, len(sizes), len(target))) % len(sizes)
            answer = np.where(right, target, other)
            estimates = metrics.balanced_accuracy(target, right.astype(float)), metrics.macro_f1(target, answer)
            held += [_holds(each, value) for each, value in zip(estimates, truth, strict=True)]
        for what, share in zip(("balanced accuracy", "macro-F1"), held / tables, strict=True):
            yield [what, name, share, share]


def _f1(sizes: np.ndarray, recalls: np.ndarray) -> float:
    hits, wrong = sizes * recalls, sizes * (1 - recalls) / (len(sizes) - 1)
    return float(np.mean(2 * hits / (sizes + hits + wrong.sum() - wrong)))


def calibrated(tables: int) -> Iterator[list[object]]:
    """The calibration error of a network that is too sure by `over`."""
    random = np.random.default_rng(4)
    for n in (200, 1000):
        covered = []
        for over in (0.0, 0.05, 0.1):
            held = [
                _holds(calibration.ece(*_confident(random, n, over), seed=table, draws=300), over)
                for table in range(tables // 2)
            ]
            covered.append(np.mean(held))
        yield ["calibration error", f"n = {n}", np.mean(covered), min(covered)]


def _confident(random: np.random.Generator, n: int, over: float) -> tuple[np.ndarray, np.ndarray]:
    confidence = 0.55 + 0.4 * random.beta(4, 1.5, n)
    return confidence, (random.random(n) < confidence - over).astype(float)


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


# ------------------------------------------------------------------------------------------------- false alarms


def alarms(tables: int) -> Iterator[list[object]]:
    """Groups that are alike: how often a gap is claimed at the level .95."""
    for groups in (2, 3, 5, 10):
        even, rare = np.full(40 * groups, 0.9), np.where(np.arange(40 * groups) % 20 == 0, 0.5, 0.97)
        yield ["widest gap, dealt out again", f"{groups} groups of 40", _alarms(_dealt, even, groups, tables)]
        yield ["the same, classes 95 to 5", f"{groups} groups of 40", _alarms(_dealt, rare, groups, tables)]
        yield ["each group against the rest, Holm", f"{groups} groups of 40", _alarms(_against, even, groups, tables)]
    for groups in (2, 5):
        for within in (False, True):
            where = "each in all groups" if within else "each in one group"
            yield [
                "widest gap over patients",
                f"{groups} groups, 60 patients of 10, {where}",
                _alarms_over_units(groups, within, tables),
            ]
    random = np.random.default_rng(5)
    found = [
        calibration.consistency_test(*_confident(random, 200, 0.0), seed=table, draws=199) < 0.05
        for table in range(tables)
    ]
    yield ["calibration, consistency test", "n = 200", np.mean(found)]


def _alarms(test: Callable[..., float], shares: np.ndarray, groups: int, tables: int) -> float:
    random = np.random.default_rng(groups)
    found = []
    for table in range(tables):
        place = random.permutation(np.arange(len(shares)) % groups)
        found.append(test((random.random(len(shares)) < shares).astype(float), place, table) < 0.05)
    return float(np.mean(found))


def _dealt(right: np.ndarray, place: np.ndarray, seed: int, draws: int = 499) -> float:
    return significance.permutation_test(right, place, seed=seed, draws=draws)[1]


def _against(right: np.ndarray, place: np.ndarray, seed: int) -> float:
    low, high = significance.against_rest(np.bincount(place, weights=right).astype(int), np.bincount(place))
    return float(significance.holm(np.minimum(2 * np.minimum(low, high), 1)).min())


def _alarms_over_units(groups: int, within: bool, tables: int) -> float:
    random, found = np.random.default_rng(groups), []
    unit = np.repeat(np.arange(60), 10)
    place = np.arange(600) % groups if within else unit % groups
    for table in range(tables):
        own = _logistic(1.7 + 1.5 * random.standard_normal(60))
        right = (random.random(600) < own[unit]).astype(float)
        found.append(significance.unit_test(right, place, unit, seed=table, draws=499)[1] < 0.05)
    return float(np.mean(found))


def power(tables: int) -> Iterator[list[object]]:
    """How often a gap of ten points is found, and the gap that `smallest_gap` says is found nine times in ten."""
    random = np.random.default_rng(6)
    place = np.repeat([0, 1], 200)
    for high in (0.95, 0.9, 0.8, 0.5):
        shares = np.where(place, high - 0.1, high)
        drawn = ((random.random(400) < shares).astype(float) for _ in range(tables))
        found = [_dealt(right, place, table, 1999) < 0.05 for table, right in enumerate(drawn)]
        yield [f"{high:.2f} against {high - 0.1:.2f}", np.mean(found), differences.smallest_gap(200, 200, high)]


# ----------------------------------------------------------------------------------------------------- the page


def page(tables: int) -> str:
    """All tables as Markdown."""
    coverage = [
        row
        for rows in (
            wilson(),
            newcombe(),
            paired(tables),
            moved(tables),
            units(tables),
            pooled(tables // 2),
            over_classes(tables),
            calibrated(tables // 2),
        )
        for row in rows
    ]
    return "\n".join(
        [
            "<!-- Made by docs/coverage.py, which measures it: run it after a change of seewhy/statistics/. -->\n",
            "# How far its numbers can be trusted\n",
            "What is claimed at a level of 95 % ought to hold in 95 % of cases. Whether it does can be tried on tables",
            "whose truth is known. Intervals for a share and for a gap are worked out exactly, the rest is measured on",
            f"up to {tables:,} tables a row; one of 1,000 is known to about 1.4 points.\n",
            "## Do intervals hold the truth?\n",
            "The mean over true values, and the worst of them. More than .95 is on the safe side.\n",
            _table(["interval of", "with", "mean", "worst"], coverage),
            "\n## Do alike groups raise an alarm?\n",
            "They should in no more than one table of twenty.\n",
            _table(["test", "with", "false alarms"], alarms(tables)),
            "\n## Is a gap of ten points found?\n",
            "Two groups of 200. Beside it, the smallest gap that a report says would be found nine times in ten.\n",
            _table(["right on", "found", "smallest gap"], power(tables)),
            "",
        ]
    )


def _table(columns: list[str], rows: Iterator[list[object]] | list[list[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    if "--short" in sys.argv:
        print(page(TABLES // 10))
    else:
        PAGE.write_text(page(TABLES), encoding="utf-8")
