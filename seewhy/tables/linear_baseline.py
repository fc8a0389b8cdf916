"""What would a linear model on small pixels say of each test image?"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pyarrow as pa

from seewhy import chance
from seewhy.tables import Subject, Unavailable
from seewhy.tables._pixels import small_pixels
from seewhy.types import PREDICTION_COLUMNS, Predictions, Progress


def make(subject: Subject) -> Generator[Progress, None, Predictions]:
    """Logistic regression on 16 x 16 pixels: what a network must beat to be worth its cost."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = (subject.material.dataset.split(name) for name in ("train", "test"))
    if len(set(train.targets)) < 2:
        raise Unavailable("there is no training split to fit a linear model on")
    chosen = chance.order(chance.keys(train.ids), seed=subject.settings.seed, epoch=0)[:5000].tolist()
    fitted = yield from small_pixels(train.subset(chosen), 16, "linear model")
    asked = yield from small_pixels(test, 16, "linear model")
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-2))
    answers = linear.fit(fitted, [train.targets[place] for place in chosen]).predict(asked)
    columns: dict[str, Any] = {
        name: pa.nulls(len(test), PREDICTION_COLUMNS.field(name).type) for name in PREDICTION_COLUMNS.names
    }
    columns |= {
        "id": list(test.ids),
        "condition": [""] * len(test),
        "target": list(test.targets),
        "answer": [str(answer) for answer in answers],
        "right": [float(answer == target) for answer, target in zip(answers, test.targets, strict=True)],
    }
    return Predictions(pa.table(columns, schema=PREDICTION_COLUMNS), subject.material.dataset.classes)
