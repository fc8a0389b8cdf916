"""Where does a model look? Explanations of a data set's examples, of one image, and pictures of them on disk."""

from __future__ import annotations

import inspect
import io
import math
import re
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seewhy import asking, decoding, files, heatmap, hooks, imaging, measures, passes, shelf
from seewhy.model import Model
from seewhy.types import Answer, Dataset, Example, Explanation, Progress, Question, finished

#: The longer side of a picture on disk, in pixels.
SIDE = 448

#: The methods that are used where nobody names any: cheap, and unlike each other.
USUAL = ("gradient", "grad_cam", "occlusion")

#: Whose masks are tried: a method's own, or those that serve all.
DESIGNS = ("own", "shared")


def explain(
    model: Model, dataset: Dataset, answers: Sequence[str], methods: Sequence[str] | None = None, *, batch: int = 8
) -> Generator[Progress, None, tuple[Explanation, ...]]:
    """Why each of these answers? Heat by each method for each example, from the fewest passes over the network."""
    found: list[Explanation] = []
    for start in range(0, len(dataset), batch):
        places = range(start, min(start + batch, len(dataset)))
        examples, asked = [dataset[place] for place in places], [answers[place] for place in places]
        found += _explained(model, examples, asked, methods)[0]
        yield Progress("explain", places.stop, len(dataset))
    return tuple(found)


def explain_one(
    model: Model,
    image: Any,
    *,
    methods: Sequence[str] | None = None,
    target: str | None = None,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
) -> dict[str, Explanation]:
    """The heat of one image (path, PIL image, array or tensor) by method; `target` is a class, a layer or a part of it
    (`asking`), or "A - B".

    `methods` are names, or "all" for the whole shelf; of "all", those that cannot look at this network are left out.
    `layer` is for those that look at one; `design` for those that cover parts of the image: "own", each as it was
    published, or "shared", all from one table; by default "shared" for "all" and else "own". `budget` is a time or a
    number of passes, as "2 s" or "300 forwards".
    """
    example = model.example(image)
    asked = target if target is not None else model(image).value
    found, _ = _explained(model, [example], [asked], methods, layer=layer, design=design, budget=budget)
    return {explanation.method: explanation for explanation in found}


def check(
    model: Model,
    *,
    methods: Sequence[str] | None = None,
    target: str | None = None,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
    measured: Sequence[str] | None = None,
) -> None:
    """Raises KeyError or ValueError, before any image is read, where a wish names nothing that there is.

    The words name the nearest.
    """
    for name in _chosen(methods)[0]:
        shelf.load("explainers", name)
    for name in _measures(measured):
        shelf.load("measures", name)
    if target is not None:
        asking.question(model.task, model.network, target)
    if layer is not None:
        hooks.resolve(model.network, layer)
    if design not in (None, *DESIGNS):
        raise ValueError(f"No design {design!r}. {shelf.nearest(str(design), DESIGNS)}There are: {', '.join(DESIGNS)}.")
    passes.Budget.of(budget)


def write_pictures(
    model: Model,
    path: Path,
    answer: Answer,
    *,
    out: Path,
    methods: Sequence[str] | None = None,
    target: str | None = None,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
    measured: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Explain the image at `path`, of which the model said `answer`; write into `out` a picture a method, and the heat.

    Beside the pictures lie `NAME.npz`, an array a method, and `NAME.json`, what is returned: what was asked, what it
    cost, what was written, and with `measured` how well each map did, beside maps that never asked the network. No
    name of a file leads out of `out`.
    """
    asked = target if target is not None else answer.value
    rival = next((label for label, _ in answer.top if label != asked), None)
    explained, unsuitable = _explained(
        model,
        [model.example(path)],
        [asked],
        methods,
        layer=layer,
        design=design,
        budget=budget,
        measured=measured,
        rival=rival,
    )
    pixels = imaging.fit_pixels(decoding.decode(path.read_bytes(), str(path)), model.preprocessing)
    plain = re.sub(r"[^\w.-]+", "-", path.stem)[:40]
    name = f"{plain}-{files.fingerprint(str(path))[:6]}"  # two files may be named alike
    written = {}
    asked_network = [explanation for explanation in explained if explanation.method not in measures.CONTROLS]
    for explanation in asked_network:
        signed = heatmap.is_signed([explanation])
        drawn = heatmap.overlay(pixels, explanation.heat["image"], side=SIDE, signed=signed)
        file = out / f"{name}-{explanation.method}.png"
        files.write_bytes(file, imaging.encode_png(drawn))
        written[explanation.method] = str(file)
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **{each.method: each.heat["image"] for each in asked_network})  # type: ignore[arg-type]
    files.write_bytes(out / f"{name}.npz", arrays.getvalue())
    told = {
        "id": str(path),
        "answer": answer.value,
        "confidence": answer.confidence,
        "top": [[label, share] for label, share in answer.top],
        "question": explained[0].question if explained else asked,
        "pictures": written,
        "heat": str(out / f"{name}.npz"),
        "passes": {explanation.method: explanation.passes for explanation in asked_network},
        "unsuitable": unsuitable,
        "faithfulness": {
            each.method: {name: value if math.isfinite(value) else None for name, value in each.faithfulness.items()}
            for each in explained
            if each.faithfulness
        },
    }
    files.write_json(out / f"{name}.json", told)
    return told


def _chosen(methods: Sequence[str] | None) -> tuple[tuple[str, ...], bool]:
    """The names of the methods, and whether those that cannot look at a network are simply left out."""
    if not methods:
        return USUAL, False
    if "all" in methods:
        return tuple(dict.fromkeys((*shelf.members("explainers"), *(name for name in methods if name != "all")))), True
    return tuple(dict.fromkeys(methods)), False


def _explained(
    model: Model,
    examples: Sequence[Example],
    answers: Sequence[str],
    methods: Sequence[str] | None,
    *,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
    measured: Sequence[str] | None = None,
    rival: str | None = None,
) -> tuple[list[Explanation], dict[str, str]]:
    """Explanations of one batch, example by example, from shared passes; and why some methods gave none.

    With `measured`, maps that never asked the network are among them.
    """
    names, leave_out = _chosen(methods)
    modules: dict[str, Any] = {name: shelf.load("explainers", name) for name in names}
    wishes = {"layer": layer, "design": "shared" if design is None and "all" in (methods or ()) else design}
    settings = {
        name: {wish: value for wish, value in wishes.items() if value is not None and wish in _settings(module)}
        for name, module in modules.items()
    }
    device = next(model.network.parameters(), torch.zeros(0)).device
    batch = model.task.collate(examples).to(device)
    if len(answers) == 1:
        question = asking.question(model.task, model.network, answers[0])
        texts = [question.text]
    else:
        question, texts = model.task.question(answers), [model.task.question(answer).text for answer in answers]
    asked = {name: (modules[name], settings[name]) for name in names} | (measures.CONTROLS if measured else {})
    batch = model.task.prepare(batch, answers)
    found = passes.explain(
        model.network, batch, question, asked, budget=budget, leave_out=leave_out or budget is not None
    )
    values = _told_of_themselves(found, question, modules, settings, len(batch))
    if measured:
        other = None if rival is None or question.at is not None else model.task.question(rival)
        shown = {name: asked[name] for name in found.heat}
        chosen: dict[str, dict[str, Any]] = {name: {} for name in _measures(measured)}
        work = measures.measure(model.network, batch, question, shown, chosen, heat=found.heat, rival=other)
        for measure, by_method in finished(work).items():
            for name, each in by_method.items():
                values.setdefault(name, {})[measure] = each
    explanations = [
        Explanation(
            example.id,
            texts[row],
            name,
            {"image": _array(heat[row])},
            settings.get(name, {}),
            found.passes[name].total,
            {measure: float(each[row]) for measure, each in values.get(name, {}).items()} or None,
        )
        for row, example in enumerate(examples)
        for name, heat in found.heat.items()
    ]
    return explanations, dict(found.unsuitable)


def _measures(measured: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the measures."""
    return tuple(shelf.members("measures")) if measured and "all" in measured else tuple(measured or ())


def _told_of_themselves(
    found: passes.Explained, question: Question, modules: Mapping[str, Any], settings: Mapping[str, Any], rows: int
) -> dict[str, dict[str, torch.Tensor]]:
    """What methods report of their own maps, such as how much of the score arrived."""
    return {
        name: {
            word: torch.full((rows,), value)
            for word, value in modules[name].told(found.evidence, question, **settings[name]).items()
        }
        for name in found.heat
        if hasattr(modules.get(name), "told")
    }


def _settings(explainer: Any) -> set[str]:
    return set(inspect.signature(explainer.heat).parameters)


def _array(heat: torch.Tensor) -> np.ndarray:
    return heat.detach().cpu().float().numpy()
