"""What one process does alone and two ranks do together, for `test_ranks.py` to compare; torchrun runs this file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from seewhy import data
from seewhy.loading import Loader
from seewhy.predicting import predict
from seewhy.processes import ranks
from seewhy.tasks.classify import Classify
from seewhy.training import Settings, Training
from seewhy.training.augmenting import Augmentation
from seewhy.types import Preprocessing

CHANGES = Augmentation(flip=True, shift=0.1, turn=10, zoom=0.1, light=0.2, cover=0.2)
PLAIN = Settings(epochs=2, batch=15, augmentation=CHANGES, seed=3)
#: Each with whether the network normalises over the batch. 15 is odd, so shares are uneven.
TRAININGS = {
    "plain": (PLAIN, False),
    "batch normalisation": (PLAIN, True),
    "an average of the weights, momentum": (Settings(epochs=2, batch=15, optimizer="sgd", ema=0.8, seed=3), True),
    "mixup and cutmix in pieces": (Settings(epochs=2, batch=22, accumulate=3, mixup=0.4, cutmix=0.4, seed=3), True),
    "fine-tuning": (Settings(epochs=1, batch=15, fine_tune=True, augmentation=CHANGES, seed=3), True),
}


def pictures(count: int, seed: int) -> data.Dataset:
    random = np.random.default_rng(seed)
    labels = random.choice(["few", "many", "most"], count, p=[0.2, 0.3, 0.5])
    levels = np.array([{"few": 60, "many": 120, "most": 180}[label] for label in labels])
    images = random.normal(levels[:, None, None, None], 50, (count, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    return data.open(
        {"images": images, "labels": list(labels), "tags": {"scanner": list(random.choice(["A", "B"], count))}}
    )


class Network(nn.Module):
    def __init__(self, *, normalised: bool, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4) if normalised else nn.Identity()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=not normalised),
            norm,
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(64, 3),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


def trained(
    settings: Settings, *, normalised: bool, memory: int, dropout: float = 0.0
) -> tuple[Network, list[object], dict[str, object]]:
    """The network at the end, what it was shown at each step (ids and images), and what was measured on the way."""
    train, validation = pictures(50, seed=0), pictures(21, seed=1)
    task = Classify(train.classes, Preprocessing((8, 8)), label_smoothing=0.1, class_weights=(2.0, 1.0, 0.5))
    loaders = Loader(train, task, memory=memory), Loader(validation, task, memory=memory)
    training = Training(Network(normalised=normalised, dropout=dropout), task, *loaders, settings)
    shown: list[object] = []
    make_ready = training._made_ready

    def watched(batch, epoch):
        mixture = make_ready(batch, epoch)
        shown.append((training.step, mixture.batch.ids, mixture.batch.inputs["image"].numpy()))
        return mixture

    training._made_ready = watched
    for _ in training:
        pass
    return training.network, shown, {"best": training.best, "history": training.history}


def everything() -> dict[str, object]:
    """All that is compared; of ranks, what each of them saw."""
    found: dict[str, object] = {}
    for place, (name, (settings, normalised)) in enumerate(TRAININGS.items()):
        network, shown, measured = trained(settings, normalised=normalised, memory=10**9 if place % 2 else 0)
        state = {key: value.numpy() for key, value in network.state_dict().items()}
        found[name] = {"state": state, "shown": ranks.gathered(shown), "measured": measured}
    for count in (21, 1):
        rows = pictures(21, seed=1).subset(range(count))
        work = predict(network, Loader(rows, Classify(rows.classes, Preprocessing((8, 8)))), batch=4)
        found[f"predictions of {count}"] = ranks.ended(work)
    rows = pictures(21, seed=1)
    loader = Loader(rows, Classify(rows.classes, Preprocessing((8, 8))))
    ranks.ended(ranks.once_through(loader.prepare()))  # by the first alone, as for a table that it makes alone
    found["predictions of 21, prepared by the first"] = ranks.ended(predict(network, loader, batch=4))
    timed = Settings(epochs=10_000, minutes=0.003, batch=16, seed=3)
    network, shown, _ = trained(timed, normalised=False, memory=10**9, dropout=0.5)
    found["minutes and dropout"] = {
        "state": [value.numpy() for value in network.state_dict().values()],
        "steps": len(shown),
    }
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.together():
        made = everything()
        (Path(sys.argv[1]) / f"{ranks.number()}.pickle").write_bytes(pickle.dumps(made))
