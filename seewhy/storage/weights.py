"""Weights in a file that somebody else wrote: `.pt`, `.pth` or safetensors, read as if an enemy had sent it.

    read("resnet50-0676ba61.pth")["fc.weight"].shape        # (1000, 2048)

A `.pt` file is a pickle in a zip, and a pickle is a program. So the zip is looked at first (nothing compressed, for a
few bytes can then become gigabytes; nothing that overlaps; one pickle), then the pickle is read without being run: it
may ask for tensors and plain containers and for nothing else. Only then `torch.load` gets it, with `weights_only=True`.
The format of before PyTorch 1.6, which tells no sizes beforehand, is refused.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

#: The most that a header of safetensors, or the pickle beside the tensors, may hold, in bytes; real ones hold < 1 MB.
LARGEST_HEADER = 16_000_000
#: Bytes an element of what safetensors names.
ELEMENT = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
#: All that a pickle of weights asks for, and that runs nothing.
ASKED = re.compile(
    r"collections (OrderedDict|Counter)|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (Size|device|[A-Za-z0-9]+Storage|double|half|bfloat16|long|short|bool|u?int(8|16|32|64)?|float(16|32|64)?)"
)
#: Where a checkpoint keeps the weights of its network, the likelier place first.
PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights")
#: What wrappers of networks put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "body.")
#: How often tensors may share their bytes: tied weights do, once or twice.
SHARED = 4

RESAVE = "Where you trust it, save the weights alone, torch.save(model.state_dict(), ...), or as safetensors."


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the prefixes of wrappers.

    Raises FileNotFoundError where there is none and ValueError, naming the file, for what is no weights, is damaged, or
    would run something.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file of weights {str(path)!r}")
    content = path.read_bytes()
    if content[:4] == b"PK\x03\x04":
        return _named(_from_zip(content, path), path)
    if content[8:9] == b"{":
        return _named(from_safetensors(content, path), path)
    if content[:1] == b"\x80" or content[257:262] == b"ustar":
        raise ValueError(f"{path} is in PyTorch's format of before 1.6, which is not read. {RESAVE}")
    raise ValueError(f"{path} holds no weights: it is neither safetensors nor what torch.save writes")


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold a NaN or an infinity."""
    return [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]


# -------------------------------------------------------------------------------------------------- safetensors


def from_safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a file in that format, whose header is checked first. Raises ValueError naming the file."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(content) - 8):
        raise ValueError(f"{path}: its header is to have {length:,} bytes; the file has {len(content):,}")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"), object_pairs_hook=_no_twins)
        _check_header(header, len(content) - 8 - length)
        return load(content)
    except (ValueError, RecursionError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return dict(pairs)


def _check_header(header: Any, held: int) -> None:
    """Every tensor has the bytes that its shape needs, and together they take up all that are held, none twice."""
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    taken = []
    for name, entry in header.items():
        if name == "__metadata__":
            if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
                raise ValueError("its metadata are not text")
            continue
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{name!r} does not have a dtype, a shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if dtype not in ELEMENT:
            raise ValueError(f"{name!r} is of the unknown type {dtype!r}")
        if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
            raise ValueError(f"{name!r} has the shape {shape!r} and the offsets {offsets!r}")
        needed = ELEMENT[dtype]
        for side in shape:
            needed *= side
        if offsets[1] - offsets[0] != needed:
            raise ValueError(f"{name!r} needs {needed:,} bytes and has those from {offsets[0]:,} to {offsets[1]:,}")
        taken.append((offsets[0], offsets[1], name))
    end = 0
    for start, stop, name in sorted(taken):
        if start != end:
            raise ValueError(f"the bytes of {name!r} begin at {start:,}, where those before it end at {end:,}")
        end = stop
    if end != held:
        raise ValueError(f"its tensors take up {end:,} bytes and it holds {held:,}")


def _counts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(type(one) is int and 0 <= one < 2**48 for one in value)


# --------------------------------------------------------------------------------------------- what torch.save writes


def _from_zip(content: bytes, path: Path) -> Any:
    """What a `.pt` file holds, once its zip and its pickle have been found harmless."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            entry = _only_pickle(opened.infolist(), len(content), path)
            pickled = opened.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is damaged: {error}") from error
    for asked in _asked_for(pickled, path):
        if not ASKED.fullmatch(asked):
            raise ValueError(f"{path} asks for {asked.replace(' ', '.')!r}, which weights do not need. {RESAVE}")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError, RuntimeError, UnicodeDecodeError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, AssertionError, EOFError, MemoryError, OverflowError, NotImplementedError, OSError,
    ) as error:  # fmt: skip
        first = str(error).partition("\n")[0].partition(". ")[0][:200]  # the rest tells how to run it all the same
        raise ValueError(f"{path} is damaged, or made to look like weights: {type(error).__name__}: {first}") from error


def _only_pickle(entries: list[zipfile.ZipInfo], size: int, path: Path) -> zipfile.ZipInfo:
    """The one pickle of a zip in which nothing is compressed, twice, too large or a program."""
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{path} holds two entries of one name, {next(name for name in names if names.count(name) > 1)!r}"
        )
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise ValueError(
                f"{path}: the entry {entry.filename!r} is compressed or encrypted; torch.save does neither"
            )
        rest = entry.filename.partition("/")[2]
        if rest.startswith("code/") or rest == "constants.pkl":
            raise ValueError(f"{path} is a TorchScript program, not weights. {RESAVE}")
    if sum(entry.file_size + len(entry.filename) for entry in entries) > size:
        raise ValueError(f"{path}: its entries are to have more bytes than the file, {size:,}")
    folders = {name.partition("/")[0] for name in names}
    pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
    if len(folders) != 1 or [entry.filename.partition("/")[2] for entry in pickles] != ["data.pkl"]:
        raise ValueError(f"{path} is not what torch.save writes: one folder with one data.pkl in it")
    if pickles[0].file_size > LARGEST_HEADER:
        raise ValueError(
            f"{path}: {pickles[0].file_size:,} bytes beside the tensors, where weights have less than a million"
        )
    return pickles[0]


def _asked_for(pickled: bytes, path: Path) -> Iterator[str]:
    """The names, "module name", that a pickle would have looked up, read without running it."""
    try:
        for code, argument, _ in pickletools.genops(pickled):
            if code.name in ("GLOBAL", "INST"):
                yield str(argument)
            elif code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                yield f"{code.name} of the pickle"
    except (ValueError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


# -------------------------------------------------------------------------------------------------------- names


def _named(held: Any, path: Path) -> dict[str, Tensor]:
    """The state of the network among what a checkpoint holds: itself, or one place in it. Prefixes are taken off."""
    if not isinstance(held, dict):
        raise ValueError(f"{path} holds a {type(held).__name__}, where weights are a dictionary of tensors. {RESAVE}")
    state = dict(dict.items(held))  # an attribute of it may be called `keys`
    for _ in PLACES:  # one may stand in another, but a dictionary may also stand in itself
        if any(isinstance(value, Tensor) for value in state.values()):
            break
        place = next((name for name in PLACES if isinstance(state.get(name), dict)), None)
        state = {} if place is None else dict(dict.items(state[place]))
    if not any(isinstance(value, Tensor) for value in state.values()):
        found = ", ".join(f"{str(name)[:40]!r}" for name in list(held)[:5]) or "nothing"
        raise ValueError(f"{path} holds no weights where they usually are ({', '.join(PLACES)}); it has {found}")
    total = sum(_size(name, value, path) for name, value in state.items())
    if total > SHARED * path.stat().st_size:
        raise ValueError(f"{path}: its tensors are to have {total:,} bytes, the file has {path.stat().st_size:,}")
    while (prefix := next((one for one in PREFIXES if _before_all(one, state)), None)) is not None:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _before_all(prefix: str, names: Iterable[str]) -> bool:
    return all(name.startswith(prefix) and len(name) > len(prefix) for name in names)


def _size(name: Any, value: Any, path: Path) -> int:
    """The bytes of a plain tensor. Raises ValueError for anything else, and where its elements share their bytes."""
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise ValueError(f"{path}: {str(name)[:80]!r} is a {type(value).__name__} among the weights, not a tensor")
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        raise ValueError(f"{path}: the tensor {name[:80]!r} is sparse, quantised, complex or without its values")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(
            f"{path}: the tensor {name[:80]!r} is to have {value.numel():,} elements, more than are stored"
        )
    return value.numel() * value.element_size()
