"""What stands on a shelf: a folder is the registry, a file is a member, its first line is its question.

Members are read by `ast`, so that help and docs need no import of torch. Other packages add members through entry
points of the group `seewhy.SHELF`; a clash of names is an error. A user's own member is named by its dotted path, from
the command line or from Python only.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

#: Which function of a member carries its settings as keyword-only arguments.
VERBS = {
    "audits": "check",
    "data": "open",
    "explainers": "heat",
    "exports": "write",
    "interventions": "apply",
    "measures": "measure",
    "networks": "build",
    "recipes": "run",
    "tables": "make",
    "tasks": "__init__",
}

#: What a value of a setting may be, by how its annotation begins.
PLAIN: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "tuple": (list, tuple),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A keyword argument of a member: what a flag, a form or a docs row is made from."""

    name: str
    type: str
    default: Any
    required: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One file on a shelf. `question` is its first line, `about` its whole docstring."""

    name: str
    shelf: str
    question: str
    about: str
    settings: tuple[Setting, ...]
    module: str
    path: Path


def members(shelf: str) -> dict[str, Member]:
    """All members of a shelf by name, in order of name. Raises ValueError if two have the same name."""
    package = importlib.import_module(f"seewhy.{shelf}")
    found = dict(_standing(shelf, tuple((folder, _files(folder)) for folder in package.__path__)))
    for point in _others(f"seewhy.{shelf}", tuple(sys.path)):
        spec = importlib.util.find_spec(point.value)
        if spec is None or spec.origin is None:
            raise ValueError(f"The entry point {point.name!r} of seewhy.{shelf} names no module: {point.value!r}")
        changed = Path(spec.origin).stat().st_mtime_ns
        _add(found, _parsed(point.name, shelf, point.value, spec.origin, changed))
    return dict(sorted(found.items()))


def load(shelf: str, name: str) -> ModuleType:
    """The module of a member, by its name on the shelf or, for a user's own, by its dotted path."""
    known = members(shelf)
    if name in known:
        return importlib.import_module(known[name].module)
    if "." in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise KeyError(f"No module {name!r} for the shelf {shelf}: {error}") from error
    raise KeyError(f"No {_singular(shelf)} {name!r}. {nearest(name, known)}There are: {', '.join(known)}.")


def check_settings(shelf: str, name: str, settings: Iterable[str]) -> None:
    """Raises ValueError where a setting is not one of the member's."""
    member = members(shelf).get(name)
    if member is None:
        return  # a user's own member: its signature speaks when it is called
    known = [setting.name for setting in member.settings]
    for setting in settings:
        if setting not in known:
            there = f"It has: {', '.join(known)}." if known else "It has none."
            raise ValueError(
                f"The {_singular(shelf)} {name!r} has no setting {setting!r}. {nearest(setting, known)}{there}"
            )


def fitting(shelf: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the member takes them: lists become tuples. Raises ValueError for a member, a setting or a value
    that does not fit; a user's own member, by its dotted path, takes what it is given."""
    known = members(shelf)
    if name not in known and "." not in name:
        raise ValueError(f"No {_singular(shelf)} {name!r}. {nearest(name, known)}There are: {', '.join(known)}.")
    check_settings(shelf, name, settings)
    types = {setting.name: setting.type for setting in known[name].settings} if name in known else {}
    found = {}
    for setting, value in settings.items():
        kind, _, other = types.get(setting, "").partition(" | ")
        expected = PLAIN.get(kind.partition("[")[0])
        wrong_bool = isinstance(value, bool) and kind != "bool"
        if expected and not (value is None and other == "None") and (wrong_bool or not isinstance(value, expected)):
            raise ValueError(f"{name}.{setting} is {value!r}; it must be of type {kind}")
        found[setting] = tuple(value) if isinstance(value, list) else value
    return found


def called(text: str) -> tuple[str, float | None, tuple[tuple[str, Any], ...]]:
    """A member as one types it with its strength and settings: "jpeg_compression:3", "background:into=plain,seam=2".

    A value that is no Python literal is a word. Raises ValueError for a part that is neither a number nor settings.
    """
    name, *parts = text.split(":")
    strength: float | None = None
    settings: list[tuple[str, Any]] = []
    for part in parts:
        if "=" not in part:
            try:
                strength = float(part)
            except ValueError:
                raise ValueError(
                    f"{text!r} has {part!r}; after a name come a strength, or settings as name=value"
                ) from None
            continue
        for entry in part.split(","):
            key, _, value = entry.partition("=")
            try:
                settings.append((key.strip(), ast.literal_eval(value)))
            except (ValueError, SyntaxError):
                settings.append((key.strip(), value))
    return name, strength, tuple(settings)


def nearest(name: str, names: Iterable[str]) -> str:
    """ "Did you mean 'occlusion'? " with the likeliest of the names, or nothing."""
    close = difflib.get_close_matches(name.lower(), {known.lower(): known for known in names}, n=1, cutoff=0.6)
    original = {known.lower(): known for known in names}
    return f"Did you mean {original[close[0]]!r}? " if close else ""


@cache
def _others(group: str, path: tuple[str, ...]) -> EntryPoints:
    """What the packages on the path add; to look costs a read of each one's file of entry points."""
    return entry_points(group=group)


def _add(found: dict[str, Member], member: Member) -> None:
    if member.name in found:
        there, here = found[member.name].path, member.path
        raise ValueError(f"Two members of the shelf {member.shelf} are named {member.name!r}: {there} and {here}")
    found[member.name] = member


def _singular(shelf: str) -> str:
    return {"data": "kind of data"}.get(shelf, shelf.removesuffix("s"))


def _files(folder: str) -> tuple[tuple[str, int], ...]:
    """The names of a folder's members in order, each with the time of its last change."""
    with os.scandir(folder) as entries:
        files = [
            (entry.name.removesuffix(".py"), entry.stat().st_mtime_ns)
            for entry in entries
            if entry.name.endswith(".py") and not entry.name.startswith("_")
        ]
    return tuple(sorted(files))


@cache
def _standing(shelf: str, folders: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]) -> dict[str, Member]:
    """The members in these folders; an audit asks for them more than a thousand times."""
    found: dict[str, Member] = {}
    for folder, files in folders:
        for name, changed in files:
            _add(found, _parsed(name, shelf, f"seewhy.{shelf}.{name}", f"{folder}/{name}.py", changed))
    return found


@cache
def _parsed(name: str, shelf: str, module: str, place: str, changed: int) -> Member:
    """A member read from its source; `changed` makes the cache see an edited file."""
    path = Path(place)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    about = ast.get_docstring(tree) or ""
    settings: tuple[Setting, ...] = ()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == VERBS.get(shelf):
            settings = tuple(_settings(node))
            break
    return Member(name, shelf, about.partition("\n")[0], about, settings, module, path)


def _settings(function: ast.FunctionDef) -> Iterable[Setting]:
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        value = None
        if default is not None:
            try:
                value = ast.literal_eval(default)
            except ValueError:
                value = ast.unparse(default)
        yield Setting(argument.arg, annotation, value, required=default is None)
