"""Reports: of two models, of a known experiment, of a run again; and the tables that are kept for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli import console
from seewhy.cli.flags import (
    Device,
    Json,
    Out,
    Threads,
    settings_of_members,
)
from seewhy.cli.named import find_own, listed
from seewhy.settings import Settings, help_of
from seewhy.shelf import nearest


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
    from seewhy import comparing, exports
    from seewhy.storage import predicted

    if fail_on not in (None, "worse"):
        raise ValueError(f"--fail-on is {fail_on!r}. {nearest(fail_on, ['worse'])}It can only be worse.")
    tables = [predicted.is_table(reference) for reference in (first, second)]
    data = data or next((found for found in map(comparing.data_of, (first, second)) if found), None)
    if data is None and not all(tables):
        raise ValueError(f"Say what to ask {first} and {second} about: seewhy compare {first} {second} DATA")
    find_own(first, second)
    tags = None if groups is None else listed(groups)
    settings = Settings(data=data or first, groups=tags, label=label, device=device, threads=threads)
    report = console.watched(comparing.compare(first, second, settings, out=out))
    if as_json:
        console.print_json(exports.load("json").document(report))
    else:
        exports.load("terminal").render(report)
    if fail_on is not None and comparing.worse(report.findings):
        raise typer.Exit(1)


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
    find_own(recipe)
    entries = [f"{recipe}.{entry}" for entry in set or ()]
    chosen = settings_of_members(entries, "SETTING=VALUE, such as seeds=3").get(recipe, {})
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


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    export: Annotated[str, typer.Option(help="html, xlsx, json, terminal, or your own by its dotted path.")] = "html",
    out: Annotated[Path | None, typer.Option(help="The file to write. [in the run's folder]")] = None,
    as_json: Json = False,
) -> None:
    """Show, or write again, the report of a run."""
    from seewhy import auditing, exports

    find_own(export)
    found = auditing.report_of(run)
    if as_json:
        console.print_json(exports.load("json").document(found))
        return
    exports.load("terminal").render(found)
    if export != "terminal" or out is not None:
        path = exports.load(export).write(found, out or run / exports.file_name(export))
        print(f"\n{path}")  # noqa: T201


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Drop all remembered tables.")] = False, as_json: Json = False
) -> None:
    """What is remembered, so that a second audit is fast?"""
    from seewhy.storage.cache import Cache

    kept = Cache()
    freed = kept.clear() if clear else 0
    entries = kept.entries()
    held = sum(size for _, size, _ in entries)
    if as_json:
        console.print_json({"folder": str(kept.folder), "tables": len(entries), "bytes": held, "freed": freed})
    else:
        done = f"dropped {freed / 1e6:.1f} MB; " if clear else ""
        print(f"{done}{len(entries)} tables, {held / 1e6:.1f} MB in {kept.folder}")  # noqa: T201
