"""What would the same network have become from another seed?"""

from __future__ import annotations

from collections.abc import Generator

from seewhy.tables import Subject, Unavailable
from seewhy.training import fitting
from seewhy.types import Progress, Weights


def make(subject: Subject, *, number: int) -> Generator[Progress, None, Weights]:
    """The weights of the network's body, trained as it was, but that the seed is larger by `number`."""
    try:
        model = yield from fitting.once_more(subject.material, subject.settings, subject.model, seed_more=number)
    except ValueError as error:
        raise Unavailable(str(error)) from error
    body = model.network.body.state_dict()
    return Weights({name: value.detach().cpu().contiguous().clone() for name, value in body.items()})
