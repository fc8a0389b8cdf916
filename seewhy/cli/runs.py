"""From images to a run: audit them, train on them, find the rate for it, or only scan them."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from seewhy.cli import console
from seewhy.cli.console import told_by_one
from seewhy.cli.flags import (
    Json,
    Out,
    settings_as_flags,
)
from seewhy.settings import Settings
from seewhy.shelf import nearest

ONLY_AUDIT = (
    *("model", "classes", "mapping", "test", "groups", "unit", "confounders", "graph", "audits", "set", "images"),
)


ONLY_SCAN = ("label", "allow_outside", "threads")


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
    report, run = told_by_one(auditing.audit(settings, out=out, command=_command()))
    if as_json:
        console.print_json(exports.load("json").document(report))
    else:
        exports.load("terminal").render(report)
        print(f"\n{run.folder / 'report.html'}")  # noqa: T201
    worst = max((SEVERITIES.index(finding.severity) for finding in report.findings), default=0)
    if fail_on is not None and worst >= SEVERITIES.index(fail_on):
        raise typer.Exit(1)


@settings_as_flags(without=ONLY_AUDIT)
def train(settings: Settings, out: Out = None, as_json: Json = False) -> None:
    """Train a network on DATA and save it."""
    from seewhy.training import fitting

    model, run = told_by_one(fitting.train(settings, out=out))
    best = model.provenance.get("best", {})
    if as_json:
        console.print_json({"run": str(run.folder), "model": str(run.model_folder), **model.provenance})
    else:
        right = f", right on {best['val_accuracy']:.1%} of the validation images" if "val_accuracy" in best else ""
        print(f"{model.name}{right}\n{run.model_folder}")  # noqa: T201
    for note in model.provenance.get("notes", ()):
        console.say(note)


@settings_as_flags(
    without=(
        *(*ONLY_AUDIT, "tensorboard", "keep_checkpoints", "tta", "minutes"),
        *("epochs", "steps", "schedule", "patience", "grow_from"),
    )
)
def lr(settings: Settings, as_json: Json = False) -> None:
    """Which learning rate suits DATA and its network? Trains a copy for 100 steps and keeps nothing of it."""
    from seewhy.training import fitting

    curve = console.watched(fitting.find_rate(settings))
    if as_json:
        console.print_json({"suggested": curve.suggested, "rates": curve.rates, "losses": curve.losses})
    else:
        console.print_curve(curve.rates, curve.losses)
        console.tell(f"--learning-rate {curve.suggested:.2g}")


@settings_as_flags(only=ONLY_SCAN)
def scan(settings: Settings, as_json: Json = False) -> None:
    """What is wrong with DATA, before anything is learnt?"""
    from seewhy.material import opening

    found = console.watched(opening.scanned(settings))
    if as_json:
        console.print_json(found)
    else:
        console.print_scan(found)


def _command() -> str:
    """The command line as one could type it again."""
    return shlex.join(["seewhy", *sys.argv[1:]])
