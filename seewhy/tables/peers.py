"""What do other networks say of each image that were taught the same?"""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa

from seewhy.predicting import predict
from seewhy.tables import Subject, Unavailable
from seewhy.tables._peers import peers as found_peers
from seewhy.types import Predictions, Progress


def make(
    subject: Subject, *, peers: tuple[str, ...] = (), train: int = 0, count: int | None = None
) -> Generator[Progress, None, Predictions]:
    """One pass a peer over `count` images of the test split, all for None; the condition is the peer's name.

    `peers` are models as `--model` names them; `train` more are trained here, each for as long as the network was.
    """
    networks = yield from found_peers(subject, peers, train)
    if not networks:
        raise Unavailable("no peers were named")
    loader = subject.loader("test", count)
    tables = []
    for name, model in networks.items():
        same = model.preprocessing == subject.model.preprocessing and model.classes == subject.model.classes
        own = loader if same else type(loader)(loader.dataset, model.task, workers=loader.workers)
        network = model.network.to(subject.device)
        tables.append((yield from predict(network, own, condition=name, device=subject.device)).table)
    return Predictions(pa.concat_tables(tables), subject.model.classes)
