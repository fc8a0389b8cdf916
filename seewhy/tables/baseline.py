"""What does the network say of each image?"""

from __future__ import annotations

from collections.abc import Generator

from seewhy.predicting import predict
from seewhy.tables import Subject
from seewhy.types import Predictions, Progress

shared = True


def make(subject: Subject, *, split: str = "test") -> Generator[Progress, None, Predictions]:
    """One pass over a split, one row an image."""
    network = subject.model.network.to(subject.device)
    return (yield from predict(network, subject.loader(split), device=subject.device))
