"""Where does a model look? Explanations of a data set's examples, of one image, and pictures of them on disk."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seewhy import decoding, files, heatmap, imaging, passes, shelf
from seewhy.model import Model
from seewhy.types import Answer, Dataset, Example, Explanation, Progress

#: The longer side of a picture on disk, in pixels.
SIDE = 448


def explain(
    model: Model, dataset: Dataset, answers: Sequence[str], methods: Sequence[str] | None = None, *, batch: int = 8
) -> Generator[Progress, None, tuple[Explanation, ...]]:
    """Why each of these answers? Heat by each method for each example, from the fewest passes over the network."""
    found: list[Explanation] = []
    for start in range(0, len(dataset), batch):
        places = range(start, min(start + batch, len(dataset)))
        found += _explained(model, [dataset[place] for place in places], [answers[place] for place in places], methods)
        yield Progress("explain", places.stop, len(dataset))
    return tuple(found)


def explain_one(
    model: Model, image: Any, *, methods: Sequence[str] | None = None, target: str | None = None
) -> dict[str, Explanation]:
    """The heat of one image (path, PIL image, array or tensor) by method; `target` is a class or "A - B"."""
    example = model.example(image)
    asked = target if target is not None else model(image).value
    return {found.method: found for found in _explained(model, [example], [asked], methods)}


def check(model: Model, *, methods: Sequence[str] | None = None, target: str | None = None) -> None:
    """Raises KeyError for a method or a class that does not exist, naming the nearest, before any image is read."""
    for name in methods or ():
        shelf.load("explainers", name)
    if target is not None:
        model.task.question(target)


def write_pictures(
    model: Model, path: Path, answer: Answer, *, methods: Sequence[str] | None, target: str | None, out: Path
) -> dict[str, Any]:
    """Explain the image at `path`, of which the model said `answer`, and write a picture a method into `out`.

    Returns what was asked and written. No name of a file leads out of `out`.
    """
    explained = explain_one(model, path, methods=methods, target=target if target is not None else answer.value)
    pixels = imaging.fit_pixels(decoding.decode(path.read_bytes(), str(path)), model.preprocessing)
    written = {}
    name = re.sub(r"[^\w.-]+", "-", path.stem)[:40]
    for method, explanation in explained.items():
        signed = heatmap.is_signed([explanation])
        drawn = heatmap.overlay(pixels, explanation.heat["image"], side=SIDE, signed=signed)
        file = out / f"{name}-{files.fingerprint(str(path))[:6]}-{method}.png"  # two files may be named alike
        files.write_bytes(file, imaging.encode_png(drawn))
        written[method] = str(file)
    question = next(iter(explained.values())).question
    top = [[name, share] for name, share in answer.top]
    return {
        "id": str(path),
        "answer": answer.value,
        "confidence": answer.confidence,
        "top": top,
        "question": question,
        "pictures": written,
        "passes": {method: explanation.passes for method, explanation in explained.items()},
    }


def _explained(
    model: Model, examples: Sequence[Example], answers: Sequence[str], methods: Sequence[str] | None
) -> list[Explanation]:
    """Explanations of one batch, example by example, from shared passes."""
    names = tuple(methods) if methods else tuple(shelf.members("explainers"))
    modules: dict[str, Any] = {name: (shelf.load("explainers", name), {}) for name in names}
    device = next(model.network.parameters(), torch.zeros(0)).device
    batch = model.task.collate(examples).to(device)
    question = model.task.question(answers[0] if len(answers) == 1 else answers)
    texts = [model.task.question(answer).text for answer in answers]
    found = passes.explain(model.network, model.task.prepare(batch, answers), question, modules)
    return [
        Explanation(
            example.id, texts[row], name, {"image": _array(found.heat[name][row])}, {}, found.passes[name].total
        )
        for row, example in enumerate(examples)
        for name in names
    ]


def _array(heat: torch.Tensor) -> np.ndarray:
    return heat.detach().cpu().float().numpy()
