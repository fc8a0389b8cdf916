"""Where does a model look? Explanations of a data set's examples, of one image, and pictures of them on disk."""

from __future__ import annotations

import inspect
import io
import math
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from seewhy import asking, hooks, measures, passes, shelf
from seewhy.images import decoding, heatmap, imaging
from seewhy.model import Model
from seewhy.storage import files
from seewhy.types import Answer, Batch, Dataset, Example, Explanation, Progress, Question, finished

#: The longer side of a picture on disk, in pixels.
SIDE = 448

#: The methods that are used where nobody names any: cheap, and unlike each other.
USUAL = ("gradient", "grad_cam", "occlusion")

#: Whose masks are tried: a method's own, or those that serve all.
DESIGNS = ("own", "shared")

#: Pictures are written over with better ones every so many seconds; less often where that took a tenth of the time.
EVERY = 2.0

#: Settings of explainers and of measures, each by its name.
Chosen = Mapping[str, Mapping[str, Any]]

Result = TypeVar("Result")


def explain(
    model: Model, dataset: Dataset, answers: Sequence[str], methods: Sequence[str] | None = None, *, batch: int = 8
) -> Generator[Progress, None, tuple[Explanation, ...]]:
    """Why each of these answers? Heat by each method for each example, from the fewest passes over the network."""
    found: list[Explanation] = []
    for start in range(0, len(dataset), batch):
        places = range(start, min(start + batch, len(dataset)))
        examples, asked = [dataset[place] for place in places], [answers[place] for place in places]
        found += finished(_explained(model, examples, asked, methods))[0]
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
    wishes: dict[str, Any] = {"layer": layer, "design": design, "budget": budget, "chosen": chosen}
    found, _ = finished(_explained(model, [example], [asked], methods, **wishes))
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
) -> Generator[Progress, None, dict[str, Any]]:
    """Explain the image at `path`, of which the model said `answer`; write into `out` a picture a method, and the heat.

    Beside the pictures lie `NAME.npz`, an array a method, and `NAME.json`, what is returned: what was asked, what it
    cost, what was written, with `measured` how well each map did, beside maps that never asked the network, what was
    left out and why, and whatever else is told `beside` it. No name of a file leads out of `out`.

    While it runs, and where it is given up, the same files hold the maps as they are by then; `NAME.json` then tells as
    `unfinished` how many passes they rest on, and as `passes` after how many of all each was drawn.
    """
    asked = target if target is not None else answer.value
    rival = next((label for label, _ in answer.top if label != asked), None)
    wishes: dict[str, Any] = {"layer": layer, "design": design, "budget": budget, "chosen": chosen}
    work = _explained(model, [model.example(path)], [asked], methods, measured=measured, rival=rival, **wishes)
    pixels = imaging.fit_pixels(decoding.decode(path.read_bytes(), str(path)), model.preprocessing)
    question = asking.question(model.task, model.network, asked).text
    pictures = _Pictures(path, answer, question, pixels, out)

    def keep(newest: Mapping[str, passes.Sketch]) -> None:
        better = [
            Explanation(str(path), question, name, {"image": _array(sketch.heat[name][0])}, {}, sketch.done)
            for name, sketch in newest.items()
            if name in sketch.heat and name not in measures.CONTROLS
        ]
        last = max(newest.values(), key=lambda sketch: sketch.done)
        pictures.write(better, {"unfinished": {"passes": last.done, "of": last.total}, **(beside or {})})

    explained, unsuitable = yield from _kept(work, keep)
    faithfulness = {
        each.method: {name: value if math.isfinite(value) else None for name, value in each.faithfulness.items()}
        for each in explained
        if each.faithfulness
    }
    asked_network = [each for each in explained if each.method not in measures.CONTROLS]
    told = {"unsuitable": unsuitable, "faithfulness": faithfulness, **(beside or {})}
    row = pictures.write(asked_network, told)
    yield Progress("write", 1, 1)  # an interrupt while it was written is heeded
    return row


def unfinished(path: Path, out: Path) -> str | None:
    """How far the maps of an image are that was given up, in a sentence; None where none were drawn or all are done."""
    file = out / f"{file_name(path)}.json"
    told = files.read_json(file).get("unfinished") if file.is_file() else None
    if told is None:
        return None
    return f"The maps that {file} tells of rest on {told['passes']:,} of at most {told['of']:,} passes."


@dataclass(frozen=True)
class _Pictures:
    """What lies on disk of one image; each file whole, and better ones in its place."""

    path: Path
    answer: Answer
    question: str
    pixels: np.ndarray
    out: Path
    maps: dict[str, Explanation] = field(default_factory=dict)

    def write(self, better: Iterable[Explanation], told: Mapping[str, Any]) -> dict[str, Any]:
        """The pictures of these, all heat that there is, and last what is told of them."""
        name = file_name(self.path)
        for each in better:
            self.maps.pop(each.method, None)  # so that at the end they stand as they were asked for
            self.maps[each.method] = each
            drawn = heatmap.overlay(self.pixels, each.heat["image"], side=SIDE, signed=heatmap.is_signed([each]))
            files.write_bytes(self.out / f"{name}-{each.method}.png", imaging.encode_png(drawn))
        arrays = io.BytesIO()
        np.savez_compressed(arrays, **{each: found.heat["image"] for each, found in self.maps.items()})  # type: ignore[arg-type]
        files.write_bytes(self.out / f"{name}.npz", arrays.getvalue())
        row = {
            "id": str(self.path),
            "answer": self.answer.value,
            "confidence": self.answer.confidence,
            "top": [[label, share] for label, share in self.answer.top],
            "question": self.question,
            "pictures": {each: str(self.out / f"{name}-{each}.png") for each in self.maps},
            "heat": str(self.out / f"{name}.npz"),
            "passes": {each: found.passes for each, found in self.maps.items()},
            **told,
        }
        files.write_json(self.out / f"{name}.json", row)
        return row


def _kept(
    work: Generator[Progress, None, Result], keep: Callable[[Mapping[str, passes.Sketch]], None]
) -> Generator[Progress, None, Result]:
    """The same work, with `keep` called every few seconds, and where it is given up, for the maps that got better
    since: by method the step that tells of the newest."""
    newest: dict[str, passes.Sketch] = {}
    due = time.monotonic() + EVERY
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(step, passes.Sketch):
            newest |= dict.fromkeys(step.methods, step)
            step = Progress("passes", step.done, step.total)
        begun = time.monotonic()
        if newest and begun >= due:
            keep(newest)
            newest = {}
            due = time.monotonic() + max(EVERY, 9 * (time.monotonic() - begun))
        try:
            yield step
        except GeneratorExit:
            work.close()
            if newest:
                keep(newest)
            raise


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
) -> Generator[Progress, None, tuple[list[Explanation], dict[str, str]]]:
    """Explanations of one batch, example by example, from shared passes; and why some methods, and measures, gave none.

    With `measured`, maps that never asked the network are among them.
    """
    used, leave_out = _used(methods, layer, design, chosen or {})
    modules, settings = ({name: pair[part] for name, pair in used.items()} for part in (0, 1))
    batch, question = _put(model, examples, answers)
    texts = [question.text] if len(answers) == 1 else [model.task.question(answer).text for answer in answers]
    asked = used | (measures.CONTROLS if measured else {})
    found = yield from passes.explaining(
        model.network, batch, question, asked, budget=budget, leave_out=leave_out or budget is not None
    )
    unsuitable, values = dict(found.unsuitable), _told_of_themselves(found, question, modules, settings, len(batch))
    if measured:
        other = None if rival is None or question.at is not None else model.task.question(rival)
        shown = {name: asked[name] for name in found.heat}
        wanted = {name: dict((chosen or {}).get(name, {})) for name in _measures(measured)}
        done = yield from measures.measure(model.network, batch, question, shown, wanted, heat=found.heat, rival=other)
        unsuitable |= done.unsuitable
        for measure, by_method in done.values.items():
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
    return explanations, unsuitable


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
