"""Pictures with edges, as photos have, stored once and stored otherwise; and what the scan says of them."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from seewhy import data
from seewhy.material import scanning


def finish(progress):
    """All that a scan tells, and its result."""
    told = []
    while True:
        try:
            told.append(next(progress))
        except StopIteration as end:
            return told, end.value


def scan(dataset, threads=2):
    return finish(scanning.scan(dataset, threads=threads))[1]


def photo(seed, side=64):
    """Soft shapes with edges, as photos have; no two seeds are alike."""
    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.normal(size=(side, side, 3)), (3, 3, 0.5))
    grey = gaussian_filter(generator.normal(size=(side, side, 1)), (5, 5, 0))
    pixels = field / field.std() * 25 + grey / grey.std() * 45 + 128
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def again(image, kind="JPEG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return Image.open(buffer).convert("RGB")


def opened(images, labels=None, **more):
    return data.open({"images": list(images), "labels": list(labels or ["a"] * len(images)), **more})
