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
from seewhy.types import Answer, Batch, Dataset, Example, Explanation, Progress, Question, finished

#: The longer side of a picture on disk, in pixels.
SIDE = 448

#: The methods that are used where nobody names any: cheap, and unlike each other.
USUAL = ("gradient", "grad_cam", "occlusion")

#: Whose masks are tried: a method's own, or those that serve all.
DESIGNS = ("own", "shared")

#: Settings of explainers and of measures, each by its name.
Chosen = Mapping[str, Mapping[str, Any]]


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
    chosen: Chosen | None = None,
) -> dict[str, Explanation]:
    """The heat of one image (path, PIL image, array or tensor) by method; `target` is a class, a layer or a part of it
    (`asking`), or "A - B".

    `methods` are names, or "all" for the whole shelf; of "all", those that cannot look at this network are left out.
    `layer` is for those that look at one; `design` for those that cover parts of the image: "own", each as it was
    published, or "shared", all from one table; by default "shared" for "all" and else "own". `budget` is a time or a
    number of passes, as "2 s" or "300 forwards"; `chosen` are settings of methods, {"lrp_gamma": {"gamma": 1.0}}.
    """
    example = model.example(image)
    asked = target if target is not None else model(image).value
    found, _ = _explained(model, [example], [asked], methods, layer=layer, design=design, budget=budget, chosen=chosen)
    return {explanation.method: explanation for explanation in found}


def forecast(
    model: Model,
    image: Any,
    *,
    methods: Sequence[str] | None = None,
    target: str | None = None,
    layer: str | None = None,
    design: str | None = None,
    chosen: Chosen | None = None,
) -> dict[str, Any]:
    """What explaining such an image will cost at most, from one run of the network, which is timed, and the search for
    the layer that methods look at: passes, seconds and bytes of activations of all methods together, which share what
    they need; and by method the passes it would cost alone."""
    used, _ = _used(methods, layer, design, chosen or {})
    batch, question = _put(model, [model.example(image)], [target if target is not None else model(image).value])
    needed = {name: passes.needs_of(module, settings) for name, (module, settings) in used.items()}
    whole = passes.forecast(model.network, batch, question, [need for needs in needed.values() for need in needs])
    return {
        "question": question.text,
        "passes": whole.passes.total,
        "seconds": whole.seconds,
        "bytes": whole.bytes,
        "alone": {name: whole.alone(needs).total for name, needs in needed.items()},
    }


def check(
    model: Model,
    *,
    methods: Sequence[str] | None = None,
    target: str | None = None,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
    measured: Sequence[str] | None = None,
    chosen: Chosen | None = None,
) -> None:
    """Raises KeyError or ValueError, before any image is read, where a wish names nothing that there is.

    The words name the nearest.
    """
    for name in _chosen(methods)[0]:
        shelf.load("explainers", name)
    for name in _measures(measured):
        shelf.load("measures", name)
    for name, settings in (chosen or {}).items():
        _check_chosen(name, settings, _chosen(methods)[0], _measures(measured))
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
    chosen: Chosen | None = None,
    beside: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Explain the image at `path`, of which the model said `answer`; write into `out` a picture a method, and the heat.

    Beside the pictures lie `NAME.npz`, an array a method, and `NAME.json`, what is returned: what was asked, what it
    cost, what was written, with `measured` how well each map did, beside maps that never asked the network, and
    whatever else is told `beside` it. No name of a file leads out of `out`.
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
        chosen=chosen,
        rival=rival,
    )
    pixels = imaging.fit_pixels(decoding.decode(path.read_bytes(), str(path)), model.preprocessing)
    name, written = file_name(path), {}
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
        **(beside or {}),
    }
    files.write_json(out / f"{name}.json", told)
    return told


def file_name(path: Path) -> str:
    """What the files that tell of an image are called, without their endings."""
    plain = re.sub(r"[^\w.-]+", "-", path.stem)[:40]
    return f"{plain}-{files.fingerprint(str(path))[:6]}"  # two files may be named alike


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
    chosen: Chosen | None = None,
    rival: str | None = None,
) -> tuple[list[Explanation], dict[str, str]]:
    """Explanations of one batch, example by example, from shared passes; and why some methods gave none.

    With `measured`, maps that never asked the network are among them.
    """
    used, leave_out = _used(methods, layer, design, chosen or {})
    modules, settings = ({name: pair[part] for name, pair in used.items()} for part in (0, 1))
    batch, question = _put(model, examples, answers)
    texts = [question.text] if len(answers) == 1 else [model.task.question(answer).text for answer in answers]
    asked = used | (measures.CONTROLS if measured else {})
    found = passes.explain(
        model.network, batch, question, asked, budget=budget, leave_out=leave_out or budget is not None
    )
    values = _told_of_themselves(found, question, modules, settings, len(batch))
    if measured:
        other = None if rival is None or question.at is not None else model.task.question(rival)
        shown = {name: asked[name] for name in found.heat}
        wanted = {name: dict((chosen or {}).get(name, {})) for name in _measures(measured)}
        work = measures.measure(model.network, batch, question, shown, wanted, heat=found.heat, rival=other)
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


def _used(
    methods: Sequence[str] | None, layer: str | None, design: str | None, chosen: Chosen
) -> tuple[dict[str, tuple[Any, dict[str, Any]]], bool]:
    """The methods with the settings each is used with; and whether those that cannot look are simply left out."""
    names, leave_out = _chosen(methods)
    wishes = {"layer": layer, "design": "shared" if design is None and "all" in (methods or ()) else design}
    used: dict[str, tuple[Any, dict[str, Any]]] = {}
    for name in names:
        module, own = shelf.load("explainers", name), dict(chosen.get(name, {}))
        read = inspect.signature(module.heat).parameters
        used[name] = module, {wish: value for wish, value in wishes.items() if value is not None and wish in read} | own
    return used, leave_out


def _put(model: Model, examples: Sequence[Example], answers: Sequence[str]) -> tuple[Batch, Question]:
    """The examples as a batch where the network is, readied for the question about their answers."""
    batch = model.task.collate(examples).to(next(model.network.parameters(), torch.zeros(0)).device)
    alone = len(answers) == 1
    question = asking.question(model.task, model.network, answers[0]) if alone else model.task.question(answers)
    return model.task.prepare(batch, answers), question


def _check_chosen(name: str, settings: Mapping[str, Any], methods: Sequence[str], measured: Sequence[str]) -> None:
    """Raises ValueError for a setting of what is not used, and for one that does not fit."""
    if name not in (*methods, *measured):
        used = ", ".join((*methods, *measured))
        near = shelf.nearest(name, (*methods, *measured))
        raise ValueError(f"There is a setting of {name!r}, which is not used. {near}There are: {used}.")
    shelf.fitting("explainers" if name in methods else "measures", name, settings)


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


def _array(heat: torch.Tensor) -> np.ndarray:
    return heat.detach().cpu().float().numpy()
