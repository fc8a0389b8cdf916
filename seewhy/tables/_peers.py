"""Other networks that were taught the same: named by the user, or trained once more from other seeds."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import replace

from seewhy.model import Model
from seewhy.tables import Subject, Unavailable
from seewhy.types import Need, Progress


def peers(subject: Subject, named: Sequence[str], trained: int) -> Generator[Progress, None, dict[str, Model]]:
    """The peers by name: those that are named, then so many that are trained here, each remembered as a table.

    Raises Unavailable for one that cannot be loaded, answers in other classes, or is the network itself.
    """
    found: dict[str, Model] = {}
    for name in named:
        try:
            model = Model.resolve(name, device=subject.device)
        except (KeyError, ValueError, OSError) as error:
            raise Unavailable(f"the peer {name!r} cannot be loaded: {error.args[-1]}") from error
        if set(model.classes) != set(subject.model.classes):
            raise Unavailable(f"the peer {name!r} answers in other classes than the network")
        if model.digest == subject.model.digest:
            raise Unavailable(f"the peer {name!r} is the network itself")
        found[name] = model
    for number in range(1, trained + 1):
        weights = yield from subject.table(Need("peer", number=number))
        network = copy.deepcopy(subject.model.network)
        network.body.load_state_dict(weights.tensors)
        found[f"trained from seed {subject.settings.seed + number}"] = replace(subject.model, network=network)
    return found
