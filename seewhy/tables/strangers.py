"""How strange does the network find images of none of its classes, beside those of the test split?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from sklearn.covariance import LedoitWolf

from seewhy import data as images
from seewhy import hooks, predicting
from seewhy.loading import Loader
from seewhy.tables import Subject, Unavailable
from seewhy.types import Dataset, Progress

#: Its key would hold the name of the strangers' folder, not what lies in it; so it is made each time.
cheap = True

#: How many training images the distance of Mahalanobis is fitted on at most.
POOL = 2000
BATCH = 128


def make(subject: Subject, *, data: str, count: int = 500) -> Generator[Progress, None, pa.Table]:
    """One pass over `count` strangers, as many test images and POOL training images.

    Columns: id, known, and three scores that grow with strangeness. `unsure` is 1 - the largest probability (Hendrycks
    and Gimpel 2017, https://arxiv.org/abs/1610.02136); `energy` -log sum exp of the logits (Liu and others 2020,
    https://arxiv.org/abs/2010.03759); `distance` the squared distance of Mahalanobis from the nearest class mean of the
    training images, in the inputs of the last linear layer, their covariance within classes shrunk after Ledoit and
    Wolf (Lee and others 2018, https://arxiv.org/abs/1807.03888), null where there is no such layer or training image.
    """
    known = subject.loader("test", count)
    strangers = Loader(_opened(data, len(known)), subject.model.task)
    columns: dict[str, list[np.ndarray]] = {"unsure": [], "energy": []}
    embeddings = []
    for loader in (known, strangers):
        logits, embedding = yield from _seen(subject, loader)
        highest = logits.max(1, keepdims=True)
        total = highest[:, 0] + np.log(np.exp(logits - highest).sum(1))
        columns["unsure"].append(1 - np.exp(highest[:, 0] - total))
        columns["energy"].append(-total)
        embeddings.append(embedding)
    distance = yield from _distances(subject, embeddings)
    return pa.table(
        {
            "id": [*known.dataset.ids, *strangers.dataset.ids],
            "known": [True] * len(known) + [False] * len(strangers),
            **{name: np.concatenate(values) for name, values in columns.items()},
            "distance": pa.array(distance, pa.float64(), from_pandas=True),
        }
    )


def _opened(data: str, most: int) -> Dataset:
    """At most so many of the images, evenly from all over the folder; their labels mean nothing here."""
    try:
        found = images.open(data)
    except (OSError, ValueError) as error:
        raise Unavailable(f"the strangers could not be opened: {error}") from error
    if not len(found):
        raise Unavailable(f"there is no image in {data}")
    places = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    found = found.subset(places.tolist())
    return replace(found, targets=(None,) * len(found), tags={}, boxes=())


def _seen(
    subject: Subject, loader: Loader
) -> Generator[Progress, None, tuple[Float[np.ndarray, "images classes"], np.ndarray | None]]:
    """Logits, and the inputs of the last linear layer where there is one. Raises Unavailable for another output."""
    network = subject.model.network.to(subject.device)
    logits, embeddings = [], []
    yield from loader.prepare()
    for chunk in loader.batches(range(len(loader)), BATCH):
        with hooks.frozen(network), torch.inference_mode(), predicting.embedding(network) as seen:
            output = network(**chunk.to(subject.device).inputs)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            raise Unavailable("it takes a network with one logit a class")
        logits.append(output.double().cpu().numpy())
        if seen and seen[-1].ndim == 2 and len(seen[-1]) == len(chunk):
            embeddings.append(seen[-1].double().cpu().numpy())
        yield Progress("strangers", sum(map(len, logits)), len(loader))
    whole = len(embeddings) == len(logits)
    return np.concatenate(logits), np.concatenate(embeddings) if whole else None


def _distances(
    subject: Subject, embeddings: list[np.ndarray | None]
) -> Generator[Progress, None, Float[np.ndarray, " images"]]:
    """To the nearest class of the training split; NaN where it has none or there is nothing to measure in."""
    asked = [each for each in embeddings if each is not None]
    nothing = np.full(sum(len(each) for each in asked) if len(asked) == len(embeddings) else 0, np.nan)
    if len(asked) < len(embeddings) or "train" not in subject.material.dataset.splits:
        return nothing
    pool = subject.loader("train", POOL)
    _, seen = yield from _seen(subject, pool)
    targets = np.array([str(target) for target in pool.dataset.targets])
    if seen is None:
        return nothing
    names, place = np.unique(targets, return_inverse=True)
    means = np.stack([seen[targets == name].mean(0) for name in names])
    precision = LedoitWolf(assume_centered=True).fit(seen - means[place]).precision_
    away = np.concatenate(asked)[:, None] - means  # images, classes, width
    return np.einsum("icw,wv,icv->ic", away, precision, away, optimize=True).min(1)
