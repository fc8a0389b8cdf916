"""Outputs of any structure: tensors in tuples, lists, dicts and dataclasses, found and exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor


def mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """The same structure of tuples, lists, dicts and dataclasses, each tensor exchanged for what the function gives."""
    build: Any = type(value)
    if isinstance(value, Tensor):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: mapped(getattr(value, entry.name), function) for entry in fields(value)})
    if isinstance(value, Mapping):
        return build({name: mapped(entry, function) for name, entry in value.items()})
    if isinstance(value, (list, tuple)):
        entries = [mapped(entry, function) for entry in value]
        return build(*entries) if hasattr(value, "_fields") else build(entries)  # a namedtuple or not
    return value


def spread(output: Any, rows: int) -> Any:
    """The output for one example as if it were that for `rows` equal ones."""
    if isinstance(output, Mapping):
        build: Any = type(output)
        return build({name: spread(value, rows) for name, value in output.items()})
    if isinstance(output, (list, tuple)) and len(output) == 1 and not isinstance(output[0], Tensor):
        return output * rows  # one entry an example, as detectors give
    return mapped(output, lambda tensor: tensor.expand(rows, *tensor.shape[1:]) if tensor.shape[:1] == (1,) else tensor)


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor of an output, in order."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        yield from tensors([getattr(value, entry.name) for entry in fields(value)])
    elif isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(entry)


def first_tensor(output: Any, name: str) -> Tensor:
    first = next(tensors(output), None)
    if first is None:
        raise ValueError(f"The layer {name!r} puts out no tensor but {type(output).__name__}")
    return first
