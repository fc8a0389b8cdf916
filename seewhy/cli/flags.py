"""What can be typed: the flags that several commands have, and each setting of a run as one."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from seewhy.cli.named import find_own, listed
from seewhy.settings import Settings, help_of, kinds

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
            for audit, chosen in settings_of_members(value, "AUDIT.SETTING=VALUE, such as calibration.bins=20").items():
                values[audit] = {**values.get(audit, {}), **chosen}
        elif value is not None and kind is not dict:
            values[name] = listed(value) if kind is tuple else value
    settings = Settings.from_dict(values)
    find_own(settings.model, settings.network, *(settings.audits or ()))
    return settings


def settings_of_members(entries: list[str], shape: str) -> dict[str, dict[str, Any]]:
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
