"""What suits these images, where the user leaves it open: device, network, size, and how to train."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch

from seewhy import networks, training
from seewhy.processes import ranks
from seewhy.settings import Settings
from seewhy.training import augmenting
from seewhy.types import Dataset, Preprocessing, Scan

#: The side, in pixels, at which a network that brings weights along is trained on a CPU: half the work of its 224.
ON_A_CPU = 160


def chosen_device(name: str) -> torch.device:
    """`auto` is the first GPU, else the CPU; each rank has a GPU of its own while there are enough. Raises ValueError
    for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and ranks.count() > 1 and torch.cuda.is_available():
        name = f"cuda:{ranks.place_on_machine() % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"The device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def network_for(dataset: Dataset, scan: Scan, settings: Settings) -> tuple[str, str]:
    """A name for `networks.find`, and why."""
    if settings.network is not None:
        return settings.network, "named by you"
    height, width = _usual_side(scan)
    return networks.choose(
        height=height, width=width, count=dataset.splits.count("train"), classes=len(dataset.classes)
    )


def preprocessing_for(dataset: Dataset, scan: Scan, settings: Settings, built: networks.Built) -> Preprocessing:
    """As the network's weights want it; otherwise the images' own size, and the training split's mean and spread."""
    if built.preprocessing is not None:
        own, size = built.preprocessing, built.preprocessing.size
        if settings.image_size is not None:
            size = (settings.image_size, settings.image_size)
        elif built.pretrained and chosen_device(settings.device).type == "cpu":
            size = (min(ON_A_CPU, size[0]), min(ON_A_CPU, size[1]))
        return replace(own, size=size)
    if settings.image_size is not None:
        size = (settings.image_size, settings.image_size)
    else:
        height, width = _usual_side(scan)
        size = (max(height, 8), max(width, 8)) if max(height, width) <= 64 else (64, 64)
    mean, std = _mean_and_std(dataset.split("train"))
    return Preprocessing(size=size, fit="squash", mean=mean, std=std)


def balanced(train: Dataset) -> tuple[float, ...]:
    """Weights inverse to how often a class occurs, with mean 1 over the examples."""
    counts = np.array([max(1, train.targets.count(name)) for name in train.classes])
    return tuple(float(weight) for weight in len(train) / (len(counts) * counts))


def usual(built: networks.Built, train: Dataset, settings: Settings) -> training.Settings:
    """How such a network is usually trained on so many images; what the user named wins.

    A network that brings weights along needs few epochs and small steps below its new head. A small one from scratch
    needs many: on a CPU the default budget is ten minutes, on a GPU none.
    """
    colour, count = not _grey(train), len(train)
    if built.pretrained:
        how = training.Settings(
            epochs=10,
            batch=32,
            learning_rate=1e-3,
            fine_tune=True,
            weight_decay=0.02,
            augmentation=augmenting.PHOTOS if colour else augmenting.GREY,
        )
    else:
        many = count > 5000
        how = training.Settings(
            epochs=min(100.0, max(20.0, 50_000 / count)),
            batch=128 if many else 64,
            schedule="one-cycle",
            optimizer="sgd" if many else "adamw",
            learning_rate=0.2 if many else 4e-3,
            weight_decay=5e-4 if many else 0.02,
            clip=5.0,
            augmentation=augmenting.SMALL if colour else augmenting.GREY,
        )
    named = {
        field.name: getattr(settings, field.name)
        for field in fields(training.Settings)
        if getattr(settings, field.name, None) is not None
    }
    if settings.rand_augment is not None:
        named["augmentation"] = replace(how.augmentation, rand_augment=settings.rand_augment)
    on_cpu = chosen_device(settings.device).type == "cpu"
    if on_cpu and settings.epochs is None and settings.steps is None and settings.minutes is None:
        named["minutes"] = 10.0
    return replace(how, **named)


def _usual_side(scan: Scan) -> tuple[int, int]:
    """The median height and width in pixels."""
    height, width = (scan.files[name].drop_null().to_numpy() for name in ("height", "width"))
    return int(np.median(height)), int(np.median(width))


def _sample(dataset: Dataset, count: int) -> list[np.ndarray]:
    """Some images, spread evenly over the rows."""
    places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
    return [dataset.pixels(int(place)) for place in places]


def _mean_and_std(dataset: Dataset) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Of each channel, in [0, 1], over at most 1,000 images; a channel that never varies gets a spread of 1."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in _sample(dataset, 1000)]).astype(np.float32) / 255
    mean, std = pixels.mean(0), pixels.std(0)
    std = np.where(std < 1e-3, 1.0, std)
    return tuple(map(float, mean.round(5))), tuple(map(float, std.round(5)))  # type: ignore[return-value]


def _grey(dataset: Dataset) -> bool:
    """Whether the pictures have no colour: all three channels equal in all of a sample."""
    return all((image == image[..., :1]).all() for image in _sample(dataset, 50))
