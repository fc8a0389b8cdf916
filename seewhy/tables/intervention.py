"""What does the network say of the same images when one thing in them is changed?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pyarrow as pa

from seewhy import interventions
from seewhy.images import objects
from seewhy.loading import Loader
from seewhy.passes import Unsuitable
from seewhy.predicting import predict
from seewhy.tables import Subject, Unavailable
from seewhy.types import Batch, Predictions, Progress

shared = True

#: The tag that says of a row whether where its object is had to be guessed.
GUESSED = "tag:guessed mask"
#: How many training images are borrowed from.
POOL = 1000


def make(
    subject: Subject,
    *,
    intervention: str,
    strength: float | None = None,
    settings: tuple[tuple[str, Any], ...] = (),
    placebo: bool = False,
    count: int | None = 500,
) -> Generator[Progress, None, Predictions]:
    """One pass over `count` images of the test split, all for None; paired with the baseline by id.

    `settings` are the intervention's own. Raises Unavailable for a change of made worlds to images that are not,
    and for an attack on a network that gives it no gradient.
    """
    change = interventions.Change(intervention, strength, settings, placebo)
    loader = subject.loader("test", count)
    yield from loader.prepare()
    network = subject.model.network.to(subject.device)
    apply = yield from changing(subject, change, loader)
    try:
        found = yield from predict(network, loader, condition=str(change), change=apply, device=subject.device)
    except Unsuitable as error:
        raise Unavailable(str(error)) from error
    if "masks" in change.needs:
        guessed = ~objects.known(loader.batch(range(len(loader)))).numpy()
        found = Predictions(found.table.append_column(GUESSED, pa.array(guessed)), found.classes, found.parts)
    return found


def changing(
    subject: Subject, change: interventions.Change, loader: Loader
) -> Generator[Progress, None, Callable[[Batch], Batch]]:
    """The change as a function of a batch of the loader, handed all that it needs.

    Donors are training images, or where there is no training split other images of the test.
    """
    given: dict[str, Any] = {"seed": subject.settings.seed}
    if "network" in change.needs:
        given |= {"network": subject.model.network, "task": subject.model.task}
    if "world" in change.needs:
        world = getattr(subject.material.dataset.source, "world", None)
        if world is None:
            raise Unavailable("only images of a made world can be drawn again")
        given |= {"world": world, "task": subject.model.task}
    if "donors" not in change.needs:
        return lambda batch: change.apply(batch, **given)
    split = "train" if "train" in subject.material.dataset.splits else "test"
    pool = subject.loader(split, POOL)
    yield from pool.prepare()
    dataset = loader.dataset
    places = interventions.pair(
        dataset.ids,
        dataset.targets,
        pool.dataset.ids,
        pool.dataset.targets,
        which=getattr(change.module, "donors", "other") if not change.placebo else "same",
        seed=subject.settings.seed,
    )
    of_id = dict(zip(dataset.ids, places.tolist(), strict=True))

    def apply(batch: Batch) -> Batch:
        donors = pool.batch([of_id[id] for id in batch.ids]).to(subject.device)
        return change.apply(batch, donors=donors, **given)

    return apply
