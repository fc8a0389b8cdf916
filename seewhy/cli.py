"""Train a vision network on your images, or take the one you have, and question it: what does it see, because of what
does it decide, whom does it fail, where is it confidently wrong, and what would mend that?

    seewhy audit digits          a first look, with data that comes along
    seewhy audit photos/         your folder, a sub-folder a class
"""

# Nothing heavy is imported here: `seewhy --help` answers before PyTorch would have loaded.
from __future__ import annotations

import contextlib
import inspect
import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from seewhy.settings import Settings, help_of, kinds

if TYPE_CHECKING:
    from seewhy.types import Progress

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
Result = TypeVar("Result")

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A saved model or run, a network with weights (`lite0`), timm:NAME, torchvision:NAME, "
        "package.module:factory.",
    ),
]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, or folders of them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Out = Annotated[Path | None, typer.Option(help="The folder to write to. [a new one under runs/]")]
Config = Annotated[Path | None, typer.Option(help="A TOML file with settings of the same names; flags win.")]
Device = Annotated[str, typer.Option(help=help_of("device"))]
Threads = Annotated[int | None, typer.Option(help=help_of("threads"))]
ONLY_AUDIT = ("model", "test", "groups", "audits", "images")
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
    option = typer.Option(help=help_of(name), metavar="|".join(choices) if choices else None)
    annotation = Annotated[(str if kind is tuple else kind) | None, option]
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
        raise ValueError(f"--fail-on is {fail_on!r}; it must be one of {', '.join(SEVERITIES[1:])}")
    report, run = _watched(auditing.audit(settings, out=out, command=_command()))
    if as_json:
        _print_json(exports.load("json").document(report))
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

    model, run = _watched(fitting.train(settings, out=out))
    best = model.provenance.get("best", {})
    if as_json:
        _print_json({"run": str(run.folder), "model": str(run.model_folder), **model.provenance})
    else:
        right = f", right on {best['val_accuracy']:.1%} of the validation images" if "val_accuracy" in best else ""
        print(f"{model.name}{right}\n{run.model_folder}")  # noqa: T201


@app.command()
def predict(
    model: ModelName,
    images: Images,
    csv: Annotated[bool, typer.Option("--csv", help="Print a table: id, answer, confidence.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """What does MODEL say of these images?"""
    import seewhy

    _use(threads)
    loaded = seewhy.load(model, device=device)
    answered, failed = loaded.answers(_image_files(images))
    rows = [
        {"id": str(path), "answer": answer.value, "confidence": round(answer.confidence, 6), "top": answer.top}
        for path, answer in answered
    ]
    if as_json:
        _print_json(
            {"model": loaded.name, "answers": rows, "failed": [{"id": str(path), "why": why} for path, why in failed]}
        )
    elif csv:
        _print_csv(rows)
    else:
        from rich.console import Console
        from rich.markup import escape

        for row in rows:
            others = ", ".join(f"{name} {share:.0%}" for name, share in row["top"][1:3])
            Console(soft_wrap=True).print(
                escape(f"{row['id']}: {row['answer']} {row['confidence']:.0%}" + (f"  ({others})" if others else "")),
                highlight=False,
            )
    for path, why in failed:
        _say(f"{path}: {why}")
    if failed:
        raise typer.Exit(2)


@app.command()
def explain(
    model: ModelName,
    images: Images,
    method: Annotated[
        list[str] | None, typer.Option(help="gradient, grad_cam, occlusion, ... [all of the shelf]")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help='A class, or "A - B" for A rather than B. [the answer given]')
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("explained"),
    as_json: Json = False,
) -> None:
    """Where does MODEL look in these images?"""
    import seewhy
    from seewhy import explaining

    _use(threads)
    loaded = seewhy.load(model, device=device)
    rows = []
    for path in _image_files(images):
        row = explaining.write_pictures(loaded, path, methods=method, target=target, out=out)
        rows.append(row)
        if not as_json:
            print(f"{path}: {row['answer']} {row['confidence']:.0%}, asked about {row['question']!r}")  # noqa: T201
            print("  " + "  ".join(row["pictures"].values()))  # noqa: T201
    if as_json:
        _print_json({"model": loaded.name, "explanations": rows})


@app.command()
def networks(
    name: Annotated[str | None, typer.Argument(help="Show this network layer by layer.")] = None, as_json: Json = False
) -> None:
    """Which networks are there, and how large are they?"""
    from seewhy import networks as shelf

    rows = shelf.table() if name is None else shelf.layers(name)
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


@app.command()
@settings_as_flags(only=ONLY_SCAN)
def scan(settings: Settings, as_json: Json = False) -> None:
    """What is wrong with DATA, before anything is learnt?"""
    from seewhy import fitting

    found = _watched(fitting.scanned(settings))
    if as_json:
        _print_json(found)
    else:
        _print_scan(found)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    export: Annotated[str, typer.Option(help="html, json, terminal, ... (see docs/exports.md)")] = "html",
    out: Annotated[Path | None, typer.Option(help="The file to write. [in the run's folder]")] = None,
    as_json: Json = False,
) -> None:
    """Show, or write again, the report of a run."""
    from seewhy import auditing, exports

    found = auditing.report_of(run)
    if as_json:
        _print_json(exports.load("json").document(found))
        return
    exports.load("terminal").render(found)
    if export != "terminal":
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
        _print_json({"folder": str(kept.folder), "tables": len(entries), "bytes": held, "freed": freed})
    else:
        done = f"dropped {freed / 1e6:.1f} MB; " if clear else ""
        print(f"{done}{len(entries)} tables, {held / 1e6:.1f} MB in {kept.folder}")  # noqa: T201


def main() -> None:
    """Run the command line; a mistake in its use ends in one sentence and exit code 2, an interrupt in 130."""
    with contextlib.suppress(AttributeError):  # a pipe or a notebook may have no such method
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _say("Interrupted. What was done is kept; the same command goes on from there.")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if isinstance(error, (ValueError, KeyError, OSError, FloatingPointError, RuntimeError)) or hasattr(
            error, "format_message"
        ):
            _say(_sentence(error))
            sys.exit(2)
        raise


def _watched(work: Generator[Progress, None, Result]) -> Result:
    """Run to the end with a progress bar on standard error, if somebody is there to see it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<10}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        shown: dict[str, Any] = {}
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            if progress.stage not in shown:
                for earlier in shown.values():
                    bars.update(earlier, visible=False)
                shown[progress.stage] = bars.add_task(progress.stage, total=progress.total, note="")
            note = escape(_numbers(progress.numbers) or progress.note)
            bars.update(shown[progress.stage], completed=progress.done, total=progress.total, note=note, visible=True)


def _numbers(numbers: Any) -> str:
    """The few that a person watches."""
    words = {
        "epoch": "epoch {:.0f}", "loss": "loss {:.3f}", "accuracy": "right {:.1%}", "val_accuracy": "validation {:.1%}",
        "images_per_second": "{:,.0f} images/s",
    }  # fmt: skip
    return "  ".join(shape.format(numbers[name]) for name, shape in words.items() if name in numbers)


def _settings(config: Path | None, flags: dict[str, Any]) -> Settings:
    """The TOML file's settings with the flags on top."""
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{config} is not readable as TOML: {error}") from error
    for name, value in flags.items():
        if value is not None:
            values[name] = _listed(value) if kinds()[name][0] is tuple else value
    _use(values.get("threads"))
    return Settings.from_dict(values)


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


def _image_files(paths: list[Path]) -> Iterator[Path]:
    """The files named, and the files in the folders named, hidden ones left out."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no {str(path)!r}")
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        else:
            yield path


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))  # noqa: T201


def _print_csv(rows: list[dict[str, Any]]) -> None:
    import csv

    writer = csv.DictWriter(sys.stdout, ["id", "answer", "confidence"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, "id": _cell(row["id"]), "answer": _cell(row["answer"])} for row in rows)


def _cell(text: str) -> str:
    """A spreadsheet must not take a file's name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), justify="right" if isinstance(rows[0][name], (int, float)) else "left")
    for row in rows:
        cells = (f"{value:,}" if isinstance(value, int) and value > 9999 else str(value) for value in row.values())
        table.add_row(*(escape(cell) if cell != "None" else "" for cell in cells))
    Console().print(table)


def _print_scan(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{found['images']:,} images in {len(found['classes'])} classes, {found['usable']:,} can be used")
    for problem in found["problems"]:
        console.print(escape(f"  {problem['code']}: {problem['where']}: {problem['what']}"))
    console.print(f"{len(found['same']):,} groups of equal images, {len(found['near']):,} of look-alikes")


def _sentence(error: BaseException) -> str:
    if hasattr(error, "format_message"):
        return error.format_message()
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text or type(error).__name__


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
