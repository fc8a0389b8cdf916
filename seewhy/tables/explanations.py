"""Where does the network look, in images that are right, wrong and doubtful?"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from seewhy import chance, explaining
from seewhy.tables import Subject, Unavailable
from seewhy.types import Explanation, Need, Predictions, Progress


def make(
    subject: Subject, *, methods: tuple[str, ...], count: int
) -> Generator[Progress, None, tuple[Explanation, ...]]:
    """Heat for the answer given, on examples that are right, wrong and doubtful."""
    baseline = yield from subject.table(Need("baseline"))
    places = _worth_a_look(baseline, count // 3, subject.settings.seed)
    if not places:
        raise Unavailable("there is no answer to explain")
    test = subject.split("test").subset(places)
    answers = [str(answer) for answer in baseline["answer"][places]]
    subject.model.network.to(subject.device)
    return (yield from explaining.explain(subject.model, test, answers, methods))


def _worth_a_look(baseline: Predictions, each: int, seed: int) -> list[int]:
    """Rows that were right (some of the surest), wrong (the surest) and doubtful (the least sure)."""
    right, confidence = baseline["right"], np.nan_to_num(baseline["confidence"], nan=0.5)
    drawn = chance.uniform(chance.keys(list(baseline["id"])), seed=seed, stream="worth a look")[:, 0].numpy()
    wrong = [int(row) for row in np.argsort(-confidence, kind="stable") if right[row] < 0.5][:each]
    doubtful = [int(row) for row in np.argsort(confidence, kind="stable") if row not in wrong][:each]
    sure = np.flatnonzero((right >= 0.5) & (confidence >= np.nanmedian(confidence)))
    picked = [int(row) for row in sure[np.argsort(drawn[sure], kind="stable")] if row not in doubtful][:each]
    return picked + wrong + doubtful
