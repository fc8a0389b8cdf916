"""Train a vision network on your images, or take the one you have, and question it: what does it see, because of what
does it decide, whom does it fail, where is it confidently wrong, and what would mend that?

    seewhy audit digits          a first look, with data that comes along
    seewhy audit photos/         your folder, a sub-folder a class
"""

# Nothing heavy is imported here: `seewhy --help` answers before PyTorch would have loaded.
from __future__ import annotations

import contextlib
import os
import sys

import typer

from seewhy.cli import answers, console, models, reports, runs

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


for command in (
    runs.audit,
    runs.train,
    runs.lr,
    answers.predict,
    answers.explain,
    models.export,
    models.sheet,
    models.picture,
    models.networks,
    runs.scan,
    reports.compare,
    reports.lab,
    reports.report,
    reports.cache,
):
    app.command()(command)


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
