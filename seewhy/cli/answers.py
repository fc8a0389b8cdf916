"""What a model says of some images, and where it looks in them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from seewhy.cli import console
from seewhy.cli.console import told_by_one
from seewhy.cli.flags import (
    Classes,
    Device,
    Images,
    Json,
    Mapped,
    ModelName,
    Network,
    Threads,
    settings_of_members,
)
from seewhy.cli.named import find_own, image_files, loaded_model, use_threads
from seewhy.settings import help_of

if TYPE_CHECKING:
    from seewhy.model import Model

Result = TypeVar("Result")


#: Wishes of `explain` that a forecast does not ask for.
AFTERWARDS = ("budget", "measured")


def predict(
    model: ModelName,
    images: Images,
    csv: Annotated[
        bool,
        typer.Option("--csv", help="Print a table: id, answer, confidence; ' stands before what looks like a formula."),
    ] = False,
    network: Network = None,
    classes: Classes = None,
    mapping: Mapped = None,
    tta: Annotated[str | None, typer.Option(help=help_of("tta"), metavar="none|flip|crops")] = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """What does MODEL say of these images? One that cannot be read is named and ends nothing; exit 2 if all are so."""
    use_threads(threads)
    files = image_files(images)
    loaded, answered, failed = told_by_one(
        _answered(loaded_model(model, network, classes, mapping, device), tta, files)
    )
    rows = [
        {"id": str(path), "answer": answer.value, "confidence": round(answer.confidence, 6), "top": answer.top}
        for path, answer in answered
    ]
    if as_json:
        console.print_json(
            {
                "model": loaded.name,
                "views": loaded.views,
                "answers": rows,
                "failed": [{"id": str(path), "why": why} for path, why in failed],
            }
        )
    elif csv:
        console.print_csv(rows)
    else:
        for row in rows:
            others = ", ".join(f"{name} {share:.0%}" for name, share in row["top"][1:3])
            console.tell(f"{row['id']}: {row['answer']} {row['confidence']:.0%}" + (f"  ({others})" if others else ""))
    console.say_failed(failed)
    if not rows:
        raise typer.Exit(2)


def explain(
    model: ModelName,
    images: Images,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A name on the shelf explainers, once or more, or `all`. [gradient, grad_cam, occlusion]"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help='A class; a layer, a channel or a unit of it: "layer3", "layer3:17", "layer3:17,4,5" (channel, row, '
            'column); or "A - B" for A rather than B. [the answer given]'
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Where methods look that look at a layer. [the last that counts]")
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(help="Which masks methods try: `own`, as published, or `shared`. [own; for `all`: shared]"),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help='What may be spent on an image: "2 s", "300 forwards". [as much as it takes]')
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="Test the maps: a name on the shelf measures, once or more, or `all`. [none]"),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD.SETTING=VALUE",
            help="A setting of a method or a measure, such as occlusion.fill=black; as often as needed.",
        ),
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Only tell what it would cost: passes, time and memory, at most.")
    ] = False,
    neighbours: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The images that MODEL was trained on: which of them speak for the answer, and which against it?",
        ),
    ] = None,
    network: Network = None,
    classes: Classes = None,
    mapping: Mapped = None,
    device: Device = "auto",
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="The folder for pictures, heat (npz) and JSON.")] = Path("explained"),
    as_json: Json = False,
) -> None:
    """Where does MODEL look in these images? One that cannot be read is named and ends nothing; exit 2 if all are."""
    from seewhy import explaining, neighbouring

    use_threads(threads)
    files = image_files(images)
    find_own(*(method or ()))
    loaded = loaded_model(model, network, classes, mapping, device)
    wishes: dict[str, Any] = {
        "methods": method,
        "target": target,
        "layer": layer,
        "design": design,
        "budget": budget,
        "measured": measure,
        "chosen": settings_of_members(set or [], "METHOD.SETTING=VALUE, such as occlusion.fill=black"),
    }
    explaining.check(loaded, **wishes)
    if forecast:
        _tell_forecast(loaded, files, as_json, {name: wishes[name] for name in wishes if name not in AFTERWARDS})
        return
    learnt = None
    if neighbours is not None:
        asked = neighbouring.settings_for(model, neighbours, device=device, threads=threads)
        learnt = console.watched(neighbouring.learn(loaded, asked))
    rows: list[dict[str, Any]] = []
    failed: list[tuple[Path, str]] = []
    for number, path in enumerate(files, 1):
        answered, unreadable = loaded.answers([path])
        failed += unreadable
        for _, answer in answered:
            near = (
                {}
                if learnt is None
                else {"neighbours": neighbouring.write(learnt, path, answer, out=out, target=target)}
            )
            work = explaining.write_pictures(loaded, path, answer, out=out, beside=near, **wishes)
            row = _drawn(work, path, out, f"image {number:,} of {len(files):,}")
            rows.append(row)
            if not as_json:
                console.tell(f"{path}: {row['answer']} {row['confidence']:.0%}, asked about {row['question']!r}")
                console.tell("  " + "  ".join(row["pictures"].values()))
                for name, why in row["unsuitable"].items():
                    console.tell(f"  no {name}: {why}")
                if measure:
                    console.print_table(_as_rows(row["faithfulness"]))
                if near:
                    console.tell_neighbours(row["neighbours"])
    if as_json:
        named = [{"id": str(path), "why": why} for path, why in failed]
        console.print_json({"model": loaded.name, "explanations": rows, "failed": named})
    console.say_failed(failed)
    if not rows:
        raise typer.Exit(2)


def _answered(loaded: Model, tta: str | None, files: list[Path]) -> Generator[Any, None, Any]:
    """The model, its answers, and the files that cannot be read; ranks read a part of the files each."""
    from seewhy.processes import ranks

    loaded = loaded if tta is None else loaded.seeing(tta)
    found = ranks.gathered(loaded.answers(files[ranks.share(len(files))]))
    yield from ()
    return loaded, [row for answered, _ in found for row in answered], [row for _, failed in found for row in failed]


def _drawn(work: Generator[Any, None, Result], path: Path, out: Path, place: str) -> Result:
    """What the work on an image comes to. An interrupt ends the command, and it is told how far the maps are."""
    from seewhy import explaining

    try:
        return console.watched(work, beside=place)
    except KeyboardInterrupt:
        console.say(f"Interrupted. {explaining.unfinished(path, out) or 'What is written is whole.'}")
        raise SystemExit(130) from None  # what `main` says of an interrupt is not so here: the maps begin anew


def _as_rows(measured: dict[str, dict[str, float | None]]) -> list[dict[str, str]]:
    """A row a map and a column a measure; empty where it says nothing."""
    names = dict.fromkeys(name for values in measured.values() for name in values)
    return [
        {"map": method, **{name: "" if (value := values.get(name)) is None else f"{value:.3f}" for name in names}}
        for method, values in measured.items()
    ]


def _tell_forecast(loaded: Model, files: list[Path], as_json: bool, wishes: dict[str, Any]) -> None:
    """What explaining will cost at most, found out on the first image that can be read."""
    from seewhy import explaining

    first = next((path for path in files if loaded.answers([path])[0]), None)
    if first is None:
        raise ValueError(f"None of the {len(files)} files can be read")
    told = {"images": len(files), **explaining.forecast(loaded, first, **wishes)}
    if as_json:
        console.print_json(told)
        return
    each = f"{told['passes']:,.0f} passes, {told['seconds']:.3g} s, {told['bytes'] / 1e6:,.0f} MB"
    console.tell(f"An image: at most about {each}, asked about {told['question']!r}")
    if len(files) > 1:
        console.tell(f"{len(files):,} images: at most about {len(files) * told['seconds']:.3g} s")
    console.print_table([{"method": name, "passes alone": f"{cost:,.0f}"} for name, cost in told["alone"].items()])
