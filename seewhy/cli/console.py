"""What a person at a terminal is shown: progress, tables, sentences, JSON; nothing that a file's name can command."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seewhy.storage.files import cell

if TYPE_CHECKING:
    from seewhy.types import Progress

Result = TypeVar("Result")


def watched(work: Generator[Progress, None, Result], *, beside: str = "") -> Result:
    """Run to the end with a progress bar on standard error, if somebody is there to see it, and a word `beside` it; of
    several ranks the first has one."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from seewhy.processes import ranks

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<10}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with (
        Bars(*columns, console=console, transient=True, disable=not (console.is_terminal and ranks.is_first())) as bars,
        contextlib.closing(work),
        interrupts() as interrupted,
    ):
        shown: dict[str, Any] = {}
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            if interrupted:
                raise KeyboardInterrupt
            if progress.stage not in shown:
                for earlier in shown.values():
                    bars.update(earlier, visible=False)
                shown[progress.stage] = bars.add_task(progress.stage, total=progress.total, note="")
            note = escape("  ".join(filter(None, (beside, _numbers(progress.numbers) or progress.note))))
            bars.update(shown[progress.stage], completed=progress.done, total=progress.total, note=note, visible=True)


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that receives an interrupt, so that work ends between two of its steps, where its state is whole.

    A second interrupt does not wait.
    """
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        say("Stopping after this step; once more to stop at once.")

    before = signal.signal(signal.SIGINT, receive)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def told_warnings() -> Iterator[None]:
    """A warning is a sentence on standard error, without the line of code that it comes from."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *where, **more: say(str(message))
        yield


def _numbers(numbers: Any) -> str:
    """The few that a person watches."""
    words = {
        "epoch": "epoch {:.0f}", "loss": "loss {:.3f}", "accuracy": "right {:.1%}", "val_accuracy": "validation {:.1%}",
        "images_per_second": "{:,.0f} images/s",
    }  # fmt: skip
    return "  ".join(shape.format(numbers[name]) for name, shape in words.items() if name in numbers)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))  # noqa: T201


def print_csv(rows: list[dict[str, Any]]) -> None:
    import csv

    writer = csv.DictWriter(sys.stdout, ["id", "answer", "confidence"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, "id": cell(row["id"]), "answer": cell(row["answer"])} for row in rows)


def print_table(rows: list[dict[str, Any]]) -> None:
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


def print_curve(rates: Sequence[float], losses: Sequence[float], lines: int = 20, width: int = 50) -> None:
    """The loss after each learning rate, as bars of up to `width` from the lowest to that of the first step or more."""
    low, high = min(losses), max(losses[0], 1.2 * min(losses))
    for place in range(0, len(rates), -(-len(rates) // lines)):
        bar = round(width * min(1.0, (losses[place] - low) / ((high - low) or 1.0)))
        tell(f"{rates[place]:9.1e}  {losses[place]:9.4f}  {'#' * bar}")


def tell_neighbours(found: dict[str, Any]) -> None:
    """A line a ranking and side, then what it rests on."""
    tell(f"  {found['picture']}")
    for name, ranking in found["by"].items():
        for side in ("supporting", "opposing"):
            listed = ", ".join(
                f"{each['id']} ({each['target']}, {each['score']:.3g}{', the same file' if each['same'] else ''})"
                for each in ranking[side]
            )
            tell(f"  {side} by {name} ({ranking['unit']}): {listed or 'none'}")
        if ranking["note"]:
            tell(f"    {ranking['note']}")


def print_scan(found: dict[str, Any]) -> None:
    tell(f"{found['images']:,} images in {len(found['classes'])} classes, {found['usable']:,} can be used")
    for problem in found["problems"]:
        tell(f"  {problem['code']}: {problem['where']}: {problem['what']}")
    tell(f"{len(found['same']):,} groups of equal images, {len(found['near']):,} of look-alikes")


def say_failed(failed: list[tuple[Path, str]]) -> None:
    for path, why in failed:
        say(why if str(path) in why else f"{path}: {why}")


def tell(text: str) -> None:
    """A line on standard output."""
    print(_visible(text))  # noqa: T201


def say(text: str) -> None:
    """A line on standard error."""
    print(_visible(text), file=sys.stderr)  # noqa: T201


def _visible(text: str) -> str:
    """The name of a file must not command the terminal: controls are spelled out."""
    return "".join(letter if letter.isprintable() or letter in "\n\u200d" else repr(letter)[1:-1] for letter in text)


def sentence(error: BaseException) -> str:
    if hasattr(error, "format_message"):
        return error.format_message()
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text or type(error).__name__


def told_by_one(work: Generator[Any, None, Result]) -> Result:
    """What the work comes to. Of several ranks that torchrun started, the first alone goes on to tell it."""
    import typer

    from seewhy.processes import ranks

    with ranks.together():
        result = watched(work)
        first = ranks.is_first()
    if not first:
        raise typer.Exit(0)
    return result
