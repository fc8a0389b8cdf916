"""How does one image become an answer? A network as a workbook in which every step is a formula.

    sheet(model, ["cat.png", "dog.png"], "network.xlsx")
    sheet(model, ["photo.jpg"], "unit.xlsx", unit="layer1.0.conv1:5,20,31")     # what one unit of a large network sees

The workbook opens in every Excel and in LibreOffice, and computes there, without SeeWhy. Before it is written its steps
must answer as the network does, in double precision, for each image. `steps` says what a step is, `graph` reads them
from the network, `grids` says where each number lies, `formulas` what its cell computes, `pages`, `ending` and `cover`
write the sheets.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seewhy import workbook
from seewhy.model import Model
from seewhy.sheets import cover, ending, formulas, graph, grids, pages, words
from seewhy.sheets.plan import Bound, Picture, Plan, Unit, sheet_names
from seewhy.sheets.steps import Region, Step, run, seen
from seewhy.shelf import nearest
from seewhy.storage import files

#: How far the steps may answer from the network, in a logit, as a share of the largest or of 1: in double precision,
#: and as the network itself computes.
TOLERANCE, SINGLE_TOLERANCE = 1e-9, 1e-3
#: How many formulas a workbook has at most, unless told: so many took LibreOffice half a minute to compute.
MOST_FORMULAS = 400_000
#: How many characters all formulas together have at most: programs hold them all in memory.
MOST_CHARACTERS = 400_000_000


@dataclass(frozen=True)
class Written:
    """A workbook that was written. `difference` is the largest between a logit of its steps and the network's, in
    double precision; answer, probability and loss are those of the first image, None where one unit is explained."""

    file: str
    sheets: tuple[str, ...]
    formulas: int
    bytes: int
    difference: float
    answer: str | None
    probability: float | None
    label: str | None
    loss: float | None
    unit: str | None
    value: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sheet(
    model: Model,
    images: Sequence[Any],
    path: str | Path,
    *,
    labels: Sequence[str] = (),
    unit: str | None = None,
    size_limit: int = MOST_FORMULAS,
) -> Written:
    """Write a model and some images as a workbook that computes; the first image is the one that is shown at first.

    `labels` has one for all images or one each; without, an image that lies in a folder named as a class has that, and
    any other what the network answers. `unit` is LAYER:CHANNEL,ROW,COLUMN, counted from 0: then the book holds what
    that one number depends on. `size_limit` is the most formulas that are written. Raises ValueError for a network or
    a layer that no sheet has, by name, for what would grow too large, and where the steps answer otherwise than the
    network does; then nothing is written.
    """
    workbook.check_name(path)
    if not images:
        raise ValueError("A sheet shows at least one image")
    levels = _levels(model, images)
    steps = graph.steps_of(model.network, model.preprocessing.size, model.name)
    if steps[-1].shape != (len(model.classes), 1, 1):
        raise ValueError(
            f"{model.name} gives {words.size(steps[-1].shape)} for {len(model.classes)} classes, and a sheet needs a "
            "logit for each"
        )
    plan = _plan(model, steps, _pictures(model, images, levels, labels), unit)
    _check_size(plan, size_limit)
    with torch.no_grad():
        values = run(steps, levels)
        difference = _difference(model, levels, values[steps[-1].name])
    plan = plan.filled_in(
        {name: value[0].numpy() for name, value in values.items()}, values[steps[-1].name].flatten(1).argmax(1).tolist()
    )
    bound = Bound.begun(plan)
    _write(bound)
    data = bound.book.bytes()
    files.write_bytes(path, data)
    return _written(bound, str(path), len(data), difference)


def _write(bound: Bound) -> None:
    plan = bound.plan
    cover.write(bound)
    if plan.several:
        pages.write_images(bound)
    for place in range(len(grids.COLOURS)):
        pages.write_colour(bound, place)
    for step in plan.steps:
        pages.write_step(bound, step)
    if not plan.unit:
        ending.write_logits(bound)
        ending.write_shares(bound)
        ending.write_loss(bound)
    if plan.trains:
        ending.write_training(bound)


def _written(bound: Bound, path: str, size: int, difference: float) -> Written:
    plan, said = bound.plan, pages.shown(bound)
    label = None if plan.unit else plan.classes[plan.label]
    return Written(
        file=path,
        sheets=plan.sheets,
        formulas=plan.formulas,
        bytes=size,
        difference=difference,
        answer=said.get("answer"),
        probability=said.get("probability"),
        label=label,
        loss=said.get("loss"),
        unit=None if plan.unit is None else str(plan.unit),
        value=said.get("unit"),
    )


# ------------------------------------------------------------------------------------------------ the plan


def _plan(model: Model, steps: tuple[Step, ...], pictures: tuple[Picture, ...], unit: str | None) -> Plan:
    """What is to be written, as yet without values."""
    chosen = None if unit is None else _unit(unit, steps, model.name)
    last, region = steps[-1].name, Region.whole(steps[-1].shape)
    if chosen is not None:
        last = chosen.step
        region = Region((chosen.channel,), range(chosen.row, chosen.row + 1), range(chosen.column, chosen.column + 1))
    regions = seen(steps, last, region)
    shown = tuple(step for step in steps if step.name in regions)
    names = sheet_names(shown)
    return Plan(
        title=f"{model.name}: from pixels to {'one unit' if chosen else 'an answer'}",
        classes=tuple(model.classes),
        steps=shown,
        grids=grids.placed(shown, regions, names, (3, *model.preprocessing.size)),
        names=names,
        pictures=pictures,
        unit=chosen,
    )


def _levels(model: Model, images: Sequence[Any]) -> Tensor:
    """The images at the network's size, as levels from 0 to 255: whole numbers where they were bytes."""
    examples = [model.example(image, id=f"image {place}") for place, image in enumerate(images, start=1)]
    levels = model.task.collate(examples).inputs["image"].double().cpu() * 255
    whole = levels.round()
    return torch.where((levels - whole).abs() < 1e-3, whole, levels)


def _pictures(model: Model, images: Sequence[Any], levels: Tensor, labels: Sequence[str]) -> tuple[Picture, ...]:
    if len(labels) not in (0, 1, len(images)):
        raise ValueError(f"{len(labels)} labels for {len(images)} images; give one for all, or one each in their order")
    places = {name: place for place, name in enumerate(model.classes)}
    found = []
    for number, image in enumerate(images):
        path = Path(image).resolve() if isinstance(image, (str, Path)) else None
        name = path.name if path is not None else f"image {number + 1}"
        named = labels[0 if len(labels) == 1 else number] if labels else None
        label, source = None, "no label was given, so this is what the network answers"
        if named is not None and named not in places:
            raise ValueError(f"No class {named!r}. {nearest(named, places)}There are: {', '.join(places)}.")
        if named is not None:
            label, source = places[named], "the label that was given"
        elif path is not None and path.parent.name in places:
            label, source = places[path.parent.name], "the name of the image's folder"
        found.append(Picture(name, levels[number].numpy(), label, source))
    return tuple(found)


def _unit(text: str, steps: Sequence[Step], network: str) -> Unit:
    """LAYER:CHANNEL,ROW,COLUMN; row and column may be left out where the layer gives a vector."""
    name, _, place = text.rpartition(":")
    known = {step.name: step for step in steps}
    try:
        numbers = [int(part) for part in place.split(",")]
    except ValueError:
        numbers = []
    if not name or len(numbers) not in (1, 3):
        raise ValueError(f"The unit is {text!r}; it must be LAYER:CHANNEL,ROW,COLUMN, such as {steps[-1].name}:0")
    if name not in known:
        raise ValueError(f"{network} has no layer {name!r}. {nearest(name, known)}There are: {', '.join(known)}.")
    shape = known[name].shape
    numbers += [0, 0] if len(numbers) == 1 and shape[1:] == (1, 1) else []
    if len(numbers) != 3 or not all(0 <= number < size for number, size in zip(numbers, shape, strict=True)):
        channels, height, width = shape
        raise ValueError(
            f"{name!r} has no unit {place}: it has {channels} channels of {height} x {width}, counted from 0"
        )
    return Unit(name, *numbers)


# ----------------------------------------------------------------------------------------------- the checks


def _difference(model: Model, levels: Tensor, logits: Tensor) -> float:
    """The largest between the steps and the network; raises ValueError where it is more than rounding."""
    network = copy.deepcopy(model.network).cpu().eval().requires_grad_(False)
    found = logits.flatten(1)
    single = (network((levels / 255).float()).double() - found).abs().max().item()
    off = (network.double()(levels / 255) - found).abs().max().item()
    largest = max(1.0, found.abs().max().item())
    if not (off <= TOLERANCE * largest and single <= SINGLE_TOLERANCE * largest):
        raise ValueError(
            f"As a sheet {model.name} answers otherwise: a logit is off by {off:.2g} in double precision and by "
            f"{single:.2g} as the network computes, where at most {TOLERANCE * largest:.2g} and "
            f"{SINGLE_TOLERANCE * largest:.2g} are rounding; nothing was written"
        )
    return off


def _check_size(plan: Plan, most: int) -> None:
    """Raises ValueError where the book would be too large, before anything is written."""
    help = (
        "take a unit of an earlier layer"
        if plan.unit
        else "look at one unit alone with `--unit LAYER:CHANNEL,ROW,COLUMN`, or take a network with fewer filters or "
        "smaller images"
    )
    characters = 0
    for step in plan.steps:
        given = [plan.grids[name] for name in step.inputs if name in plan.grids]
        length = formulas.longest(step, given)
        if length > workbook.FORMULA:
            raise ValueError(
                f"A formula of {step.name!r} would have about {length:,} characters, and a cell holds "
                f"{workbook.FORMULA:,}: it looks at too many maps; {help}"
            )
        characters += length * plan.grids[step.name].region.cells
    if plan.formulas > most:
        raise ValueError(
            f"The workbook would have {plan.formulas:,} formulas in {len(plan.sheets)} sheets, and at most {most:,} "
            f"are written (the size limit); {help}"
        )
    if characters > MOST_CHARACTERS:
        raise ValueError(
            f"The formulas of the workbook would have {characters / 1e6:,.0f} million characters, and at most "
            f"{MOST_CHARACTERS / 1e6:,.0f} million are written; {help}"
        )
    outgrown = grids.outgrown(plan.steps, plan.grids)
    if outgrown is not None:
        raise ValueError(f"{outgrown}; {help}")
