"""Train a vision network on your images, or take the one you have, and question it: what does it see, because of what
does it decide, whom does it fail, where is it confidently wrong, and what would mend that?

    seewhy audit digits          a first look, with data that comes along
    seewhy audit photos/         your folder, a sub-folder a class
"""

# Nothing heavy is imported here: `seewhy --help` answers before PyTorch would have loaded.
from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from seewhy import console
from seewhy.settings import Settings, class_mapping, class_names, help_of, kinds
from seewhy.shelf import nearest

if TYPE_CHECKING:
    from seewhy.model import Model

Result = TypeVar("Result")

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A saved model or run, a file of weights (.pt, .safetensors), a network with weights (`lite0`), "
        "timm:NAME, torchvision:NAME, package.module:factory.",
    ),
]
Network = Annotated[
    str | None, typer.Option(help="What bare weights belong to, or your own factory that MODEL was made with.")
]
Classes = Annotated[str | None, typer.Option(help=help_of("classes").removeprefix("With --model: "))]
Mapped = Annotated[str | None, typer.Option("--mapping", help=help_of("mapping").removeprefix("With --model: "))]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, or folders of them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Out = Annotated[Path | None, typer.Option(help="The folder to write to. [a new one under runs/]")]
Config = Annotated[Path | None, typer.Option(help="A TOML file with settings of the same names; flags win.")]
Device = Annotated[str, typer.Option(help=help_of("device"))]
Threads = Annotated[int | None, typer.Option(help=help_of("threads"))]
ONLY_AUDIT = (
    *("model", "classes", "mapping", "test", "groups", "unit", "confounders", "graph", "audits", "set", "images"),
)
#: Wishes of `explain` that a forecast does not ask for.
AFTERWARDS = ("budget", "measured")
ONLY_SCAN = ("label", "allow_outside", "threads")


def settings_as_flags(*, without: tuple[str, ...] = (), only: tuple[str, ...] | None = None) -> Any:
    """Give a command a flag for each setting; it receives them as one `Settings`, the TOML file's beneath the flags."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter.replace(annotation=hint)
            for parameter, hint in zip(
                list(inspect.signature(command).parameters.values())[1:],
                list(get_type_hints(command, include_extras=True).values())[1:],
                strict=False,
            )
        ]
        names = [name for name in kinds() if name not in without and (only is None or name in (*only, "data"))]
        flags = [_flag(name) for name in names] + [
            inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
        ]

        def run(**given: Any) -> None:
            config = given.pop("config")
            chosen = {name: given.pop(name) for name in names}
            command(_settings(config, chosen), **given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in flags + own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _flag(name: str) -> inspect.Parameter:
    """A setting as typer wants it: tuples as text with commas, choices shown, None where the flag is not given."""
    kind, choices = kinds()[name]
    if name == "data":
        annotation: Any = Annotated[str, typer.Argument(help=help_of(name), metavar="DATA")]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    metavar = "AUDIT.SETTING=VALUE" if kind is dict else "|".join(choices) if choices else None
    as_typed: Any = str if kind is tuple else list[str] if kind is dict else kind
    annotation = Annotated[as_typed | None, typer.Option(help=help_of(name), metavar=metavar)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@app.command()
@settings_as_flags()
def audit(
    settings: Settings,
    out: Out = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 if a finding is at least: minor, moderate, serious, critical.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train on DATA, or take --model; question it; report."""
    from seewhy import auditing, exports
    from seewhy.types import SEVERITIES

    if fail_on is not None and fail_on not in SEVERITIES[1:]:
        near = nearest(fail_on, SEVERITIES[1:])
        raise ValueError(f"--fail-on is {fail_on!r}. {near}It must be one of {', '.join(SEVERITIES[1:])}.")
    report, run = _told_by_one(auditing.audit(settings, out=out, command=_command()))
    if as_json:
        console.print_json(exports.load("json").document(report))
    else:
        exports.load("terminal").render(report)
        print(f"\n{run.folder / 'report.html'}")  # noqa: T201
    worst = max((SEVERITIES.index(finding.severity) for finding in report.findings), default=0)
    if fail_on is not None and worst >= SEVERITIES.index(fail_on):
        raise typer.Exit(1)


@app.command()
@settings_as_flags(without=ONLY_AUDIT)
def train(settings: Settings, out: Out = None, as_json: Json = False) -> None:
    """Train a network on DATA and save it."""
    from seewhy import fitting

    model, run = _told_by_one(fitting.train(settings, out=out))
    best = model.provenance.get("best", {})
    if as_json:
        console.print_json({"run": str(run.folder), "model": str(run.model_folder), **model.provenance})
    else:
        right = f", right on {best['val_accuracy']:.1%} of the validation images" if "val_accuracy" in best else ""
        print(f"{model.name}{right}\n{run.model_folder}")  # noqa: T201
    for note in model.provenance.get("notes", ()):
        console.say(note)


@app.command()
@settings_as_flags(
    without=(
        *(*ONLY_AUDIT, "tensorboard", "keep_checkpoints", "tta", "minutes"),
        *("epochs", "steps", "schedule", "patience", "grow_from"),
    )
)
def lr(settings: Settings, as_json: Json = False) -> None:
    """Which learning rate suits DATA and its network? Trains a copy for 100 steps and keeps nothing of it."""
    from seewhy import fitting

    curve = console.watched(fitting.find_rate(settings))
    if as_json:
        console.print_json({"suggested": curve.suggested, "rates": curve.rates, "losses": curve.losses})
    else:
        console.print_curve(curve.rates, curve.losses)
        console.tell(f"--learning-rate {curve.suggested:.2g}")


@app.command()
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
    _use(threads)
    files = _image_files(images)
    loaded, answered, failed = _told_by_one(_answered(_loaded(model, network, classes, mapping, device), tta, files))
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


@app.command()
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

    _use(threads)
    files = _image_files(images)
    _find_own(*(method or ()))
    loaded = _loaded(model, network, classes, mapping, device)
    wishes: dict[str, Any] = {
        "methods": method,
        "target": target,
        "layer": layer,
        "design": design,
        "budget": budget,
        "measured": measure,
        "chosen": _settings_of_members(set or [], "METHOD.SETTING=VALUE, such as occlusion.fill=black"),
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


@app.command()
def export(
    model: ModelName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: .onnx, .pt2 or .torchscript.")],
    format: Annotated[
        str | None, typer.Option(help="onnx, exported-program or torchscript. [by the file's ending]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write MODEL for other programs to run, once what was written answers as the network does."""
    import seewhy
    from seewhy import exporting

    _find_own(model)
    exported = exporting.export(seewhy.load(model, device="cpu"), file, format=format)
    if as_json:
        console.print_json(exported.as_json())
    else:
        console.tell(
            f"{exported.file}: {exported.format}, {exported.bytes / 1e6:.1f} MB; over batches of "
            f"{', '.join(map(str, exported.batches))} images no logit is off by more than {exported.difference:.1g}"
        )


@app.command()
def sheet(
    model: ModelName,
    images: Images,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The workbook to write: .xlsx.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="The class of all images, or once for each. [the name of its folder, or the answer given]"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Only what one unit sees, for a large network: LAYER:CHANNEL,ROW,COLUMN, counted from 0."),
    ] = None,
    size_limit: Annotated[
        int | None, typer.Option(help="Write no more formulas than this, or nothing. [400000]", min=1)
    ] = None,
    network: Network = None,
    classes: Classes = None,
    mapping: Mapped = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write MODEL as a workbook that computes: each step from pixels to loss in formulas, for one image or several."""
    import seewhy

    _use(threads)
    files = _image_files(images)
    loaded = _loaded(model, network, classes, mapping, "cpu")
    limit = {} if size_limit is None else {"size_limit": size_limit}
    written = seewhy.sheet(loaded, list(files), file, labels=label or (), unit=unit, **limit)
    if as_json:
        console.print_json(written.as_json())
        return
    if written.unit:
        what = f"{written.unit} is {written.value:.4f}"
    else:
        what = f"{written.answer} {written.probability:.0%}, a loss of {written.loss:.4f} for the label {written.label}"
    console.tell(
        f"{written.file}: {len(written.sheets)} sheets, {written.formulas:,} formulas, {written.bytes / 1e6:.1f} MB; "
        f"{what}; no logit is off by more than {written.difference:.1g}"
    )


@app.command()
def picture(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The workbook to write: .xlsx.")],
    side: Annotated[int, typer.Option(help="Pixels along the longer side; a larger picture is made smaller.")] = 64,
) -> None:
    """Write an image as a workbook of coloured cells, with its red, green and blue as numbers."""
    from seewhy import workbook
    from seewhy.sheets import picture as pictures

    workbook.check_name(file)
    console.tell(str(pictures.write(image, file, side=side)))


@app.command()
def networks(
    name: Annotated[str | None, typer.Argument(help="Show this network layer by layer.")] = None, as_json: Json = False
) -> None:
    """Which networks are there, and how large are they?"""
    from seewhy import networks as shelf

    _find_own(name)
    rows = _counted() if name is None else shelf.layers(name)
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows)


@app.command()
@settings_as_flags(only=ONLY_SCAN)
def scan(settings: Settings, as_json: Json = False) -> None:
    """What is wrong with DATA, before anything is learnt?"""
    from seewhy import fitting

    found = console.watched(fitting.scanned(settings))
    if as_json:
        console.print_json(found)
    else:
        console.print_scan(found)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model or run, or a table of predictions.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one, asked about the same images.")],
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="What to ask both about. [the data of run A]")
    ] = None,
    groups: Annotated[str | None, typer.Option(help=help_of("groups"))] = None,
    fail_on: Annotated[str | None, typer.Option(help="worse: exit with 1 if B is clearly worse anywhere.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for report.html and findings.json.")] = None,
    label: Annotated[str | None, typer.Option(help=help_of("label"))] = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Is B better than A, and for whom? Paired, on images that neither was trained on."""
    from seewhy import comparing, exports, predicting

    if fail_on not in (None, "worse"):
        raise ValueError(f"--fail-on is {fail_on!r}. {nearest(fail_on, ['worse'])}It can only be worse.")
    tables = [predicting.is_table(reference) for reference in (first, second)]
    data = data or next((found for found in map(comparing.data_of, (first, second)) if found), None)
    if data is None and not all(tables):
        raise ValueError(f"Say what to ask {first} and {second} about: seewhy compare {first} {second} DATA")
    _find_own(first, second)
    tags = None if groups is None else _listed(groups)
    settings = Settings(data=data or first, groups=tags, label=label, device=device, threads=threads)
    report = console.watched(comparing.compare(first, second, settings, out=out))
    if as_json:
        console.print_json(exports.load("json").document(report))
    else:
        exports.load("terminal").render(report)
    if fail_on is not None and comparing.worse(report.findings):
        raise typer.Exit(1)


@app.command()
def lab(
    name: Annotated[str | None, typer.Argument(help="The recipe; without one, all are listed.")] = None,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="What it is to be done with. [its own]")] = None,
    set: Annotated[
        list[str] | None, typer.Option(help="A setting of the recipe, such as seeds=3; as often as needed.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Do a known experiment again, from data to findings: what was published beside what came out here."""
    from seewhy import exports, shelf

    if name is None:
        rows = [
            {"recipe": each.replace("_", "-"), "question": member.question}
            for each, member in shelf.members("recipes").items()
        ]
        console.print_json(rows) if as_json else console.print_table(rows)
        return
    recipe = name.replace("-", "_")
    _find_own(recipe)
    entries = [f"{recipe}.{entry}" for entry in set or ()]
    chosen = _settings_of_members(entries, "SETTING=VALUE, such as seeds=3").get(recipe, {})
    chosen = shelf.fitting("recipes", recipe, chosen)
    work = shelf.load("recipes", recipe).run(*([data] if data is not None else []), **chosen)
    report = console.watched(work)
    folder = out or Path("runs") / f"lab-{name}"
    page = exports.load("html").write(report, folder / "report.html")
    exports.load("json").write(report, folder / "findings.json")
    if as_json:
        console.print_json(exports.load("json").document(report))
    else:
        exports.load("terminal").render(report)
        print(f"\n{page}")  # noqa: T201


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    export: Annotated[str, typer.Option(help="html, xlsx, json, terminal, or your own by its dotted path.")] = "html",
    out: Annotated[Path | None, typer.Option(help="The file to write. [in the run's folder]")] = None,
    as_json: Json = False,
) -> None:
    """Show, or write again, the report of a run."""
    from seewhy import auditing, exports

    _find_own(export)
    found = auditing.report_of(run)
    if as_json:
        console.print_json(exports.load("json").document(found))
        return
    exports.load("terminal").render(found, whole=export == "terminal")
    if export != "terminal" or out is not None:
        path = exports.load(export).write(found, out or run / exports.file_name(export))
        print(f"\n{path}")  # noqa: T201


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Drop all remembered tables.")] = False, as_json: Json = False
) -> None:
    """What is remembered, so that a second audit is fast?"""
    from seewhy.cache import Cache

    kept = Cache()
    freed = kept.clear() if clear else 0
    entries = kept.entries()
    held = sum(size for _, size, _ in entries)
    if as_json:
        console.print_json({"folder": str(kept.folder), "tables": len(entries), "bytes": held, "freed": freed})
    else:
        done = f"dropped {freed / 1e6:.1f} MB; " if clear else ""
        print(f"{done}{len(entries)} tables, {held / 1e6:.1f} MB in {kept.folder}")  # noqa: T201


def main() -> None:
    """Run the command line; a mistake in its use ends in one sentence and exit code 2, an interrupt in 130."""
    with contextlib.suppress(AttributeError):  # a pipe or a notebook may have no such method
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with console.told_warnings():
            code = app(standalone_mode=False)  # typer gives the code of an Exit back
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if isinstance(error, (ValueError, KeyError, OSError, FloatingPointError, RuntimeError)) or hasattr(
            error, "format_message"
        ):
            console.say(console.sentence(error))
            sys.exit(2)
        raise
    if code == 130:
        console.say("Interrupted. What was done is kept; the same command goes on from there.")
    sys.exit(code)


def _told_by_one(work: Generator[Any, None, Result]) -> Result:
    """What the work comes to. Of several ranks that torchrun started, the first alone goes on to tell it."""
    from seewhy import ranks

    with ranks.together():
        result = console.watched(work)
        first = ranks.is_first()
    if not first:
        raise typer.Exit(0)
    return result


def _answered(loaded: Model, tta: str | None, files: list[Path]) -> Generator[Any, None, Any]:
    """The model, its answers, and the files that cannot be read; ranks read a part of the files each."""
    from seewhy import ranks

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


def _settings(config: Path | None, flags: dict[str, Any]) -> Settings:
    """The TOML file's settings with the flags on top."""
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{config} is not readable as TOML: {error}") from error
    for name, value in flags.items():
        kind = kinds()[name][0]
        if value and kind is dict:
            for audit, chosen in _settings_of_members(
                value, "AUDIT.SETTING=VALUE, such as calibration.bins=20"
            ).items():
                values[audit] = {**values.get(audit, {}), **chosen}
        elif value is not None and kind is not dict:
            values[name] = _listed(value) if kind is tuple else value
    settings = Settings.from_dict(values)
    _find_own(settings.model, settings.network, *(settings.audits or ()))
    return settings


def _as_rows(measured: dict[str, dict[str, float | None]]) -> list[dict[str, str]]:
    """A row a map and a column a measure; empty where it says nothing."""
    names = dict.fromkeys(name for values in measured.values() for name in values)
    return [
        {"map": method, **{name: "" if (value := values.get(name)) is None else f"{value:.3f}" for name in names}}
        for method, values in measured.items()
    ]


def _loaded(model: str, network: str | None, classes: str | None, mapping: str | None, device: str) -> Model:
    """The model that is named, and said of it on standard error what had to be assumed."""
    import seewhy

    _find_own(model, network)
    loaded = seewhy.load(
        model,
        network=network,
        classes=None if classes is None else class_names(_listed(classes)),
        mapping=None if mapping is None else class_mapping(_listed(mapping)),
        device=device,
    )
    for assumed in loaded.provenance.get("assumed", ()):
        console.say(assumed)
    return loaded


def _settings_of_members(entries: list[str], shape: str) -> dict[str, dict[str, Any]]:
    """`calibration.bins=20` as a TOML file has it; a value that is no TOML is a word."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        audit, _, setting = name.rpartition(".")
        if not (audit and setting and equals):
            raise ValueError(f"--set is {entry!r}; it must be {shape}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        found.setdefault(audit, {})[setting] = value
    return found


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


def _counted() -> list[dict[str, Any]]:
    """The table of all networks, whose multiply-adds take a while to count: remembered until the code changes."""
    from seewhy import networks as shelf
    from seewhy.cache import Cache
    from seewhy.fitting import code_version

    cache, key = Cache(), f"networks-{code_version()}"
    found = cache.get(key)
    if found is None:
        console.say("Counting the multiply-adds of every network, once ...")
        found = {"rows": shelf.table()}
        cache.put(key, found)
    return found["rows"]


def _find_own(*names: str | None) -> None:
    """Let Python find modules in the current folder, if a name typed here is of the user's own making.

    A script that was installed does not look there. It comes last, so that no file there hides a library's.
    """
    here = str(Path.cwd())
    if any(name is not None and ("." in name or ":" in name) for name in names) and here not in sys.path:
        sys.path.append(here)


def _use(threads: int | None) -> None:
    if threads is not None:
        import torch

        if threads < 1:
            raise ValueError(f"--threads is {threads}; it must be at least 1")
        torch.set_num_threads(threads)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _command() -> str:
    """The command line as one could type it again."""
    return shlex.join(["seewhy", *sys.argv[1:]])


def _image_files(paths: list[Path]) -> list[Path]:
    """The files named, and the files in the folders named, hidden ones left out. At least one."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no {str(path)!r}")
        inside = (file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        found += sorted(inside) if path.is_dir() else [path]
    if not found:
        raise ValueError(f"There is no file in {', '.join(map(str, paths))}")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


if __name__ == "__main__":
    main()
