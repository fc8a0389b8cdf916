"""Weights that a stranger sent: read where they are weights, refused with a sentence where they are anything else."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from seewhy.storage import weights

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2)}


def written(path: Path, held: object) -> Path:
    torch.save(held, path)
    return path


def rezipped(path: Path, change=lambda name, content: (name, content), compression=zipfile.ZIP_STORED, more=()) -> Path:
    """The same `.pt` file with its entries changed, and more of them."""
    with zipfile.ZipFile(path) as old:
        entries = [change(entry.filename, old.read(entry)) for entry in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in [*entries, *more]:
            new.writestr(name, content)
    return path


def with_pickle(path: Path, pickled: bytes) -> Path:
    """A `.pt` file whose pickle is this one."""
    written(path, STATE)
    return rezipped(path, lambda name, content: (name, pickled if name.endswith("data.pkl") else content))


# ------------------------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize(
    "held",
    [
        STATE,
        nn.Linear(3, 2).state_dict() | STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": {"state_dict": STATE}, "arch": "resnet18"},
        {"model_state_dict": {f"module.{name}": value for name, value in STATE.items()}, "best": 0.5},
        {f"_orig_mod.module.model.{name}": value for name, value in STATE.items()},
        {"net": {name: nn.Parameter(value) for name, value in STATE.items()}},
        {"model": STATE, "optimizer": torch.optim.SGD(nn.Linear(3, 2).parameters(), 0.1).state_dict()},
    ],
    ids=["bare", "ordered", "lightning", "nested", "parallel", "compiled", "parameters", "training"],
)
def test_weights_are_found_where_they_usually_are(tmp_path, held):
    read = weights.read(written(tmp_path / "x.pt", held))
    assert {name: value for name, value in read.items() if name in STATE}.keys() == STATE.keys()
    assert all(torch.equal(read[name], value) for name, value in STATE.items())


def test_safetensors_are_read_and_tied_weights_too(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(save({**STATE, "half": torch.ones(3, dtype=torch.bfloat16)}))
    assert torch.equal(weights.read(tmp_path / "x.safetensors")["fc.weight"], STATE["fc.weight"])
    tied = torch.rand(4, 4)
    assert torch.equal(weights.read(written(tmp_path / "x.pt", {"a.w": tied, "b.w": tied}))["b.w"], tied)


def test_numbers_that_are_not_finite_are_named():
    state = {
        "a": torch.tensor([1.0, torch.nan]),
        "b": torch.ones(2),
        "c": torch.tensor([3]),
        "d": torch.tensor([torch.inf]),
    }
    assert weights.not_finite(state) == ["a", "d"]


# -------------------------------------------------------------------------------------------------- what attacks


class Runs:
    """A pickle of it calls a function of its maker's choice."""

    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


def attacks(mark: Path) -> dict[str, object]:
    """What would leave a mark on the disk if it were run."""
    command = f"touch {mark}"
    return {
        "os.system": Runs(os.system, command),
        "nested": {"state_dict": {"fc.weight": [({"x": Runs(os.system, command)},)]}},
        "beside the weights": {**STATE, "callback": Runs(os.system, command)},
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "getattr": Runs(getattr, os, "system"),
        "bytearray": {"x": Runs(bytearray, 10**12)},
        "numpy": {"x": np.arange(3), "y": np.float64(1)},
        "numpy objects": {"x": np.array([Runs(os.system, command)], dtype=object)},
        "a module": nn.Linear(2, 2),
        "an iterator": {"x": iter([1])},
    }


NAMES = list(attacks(Path("x")))


@pytest.mark.parametrize("protocol", [2, 4], ids=["protocol 2", "protocol 4"])
@pytest.mark.parametrize("name", NAMES)
def test_what_would_run_something_is_refused_and_named(tmp_path, name, protocol):
    mark = tmp_path / "mark"
    try:
        pickled = pickle.dumps(attacks(mark)[name], protocol=protocol)
    except TypeError:  # a module itself cannot be pickled
        pickled = b"c__builtin__\ngetattr\n(cos\nsystem\nS'__call__'\ntR."
    path = with_pickle(tmp_path / "x.pt", pickled)
    with pytest.raises(
        ValueError, match=r"x\.pt asks for '.*', which weights do not need\. Where you trust it"
    ) as error:
        weights.read(path)
    assert not mark.exists()
    assert "weights_only=False" not in str(error.value)


@pytest.mark.parametrize("name", ["os.system", "beside the weights", "a module"])
def test_what_torch_itself_writes_is_looked_at_alike(tmp_path, name):
    mark = tmp_path / "mark"
    with pytest.raises(ValueError, match="which weights do not need"):
        weights.read(written(tmp_path / "x.pt", attacks(mark)[name]))
    assert not mark.exists()


def test_a_pickle_in_another_place_of_the_zip_is_refused(tmp_path):
    mark = tmp_path / "mark"
    evil = pickle.dumps(attacks(mark)["os.system"], protocol=2)
    for more in ("x/deep/data.pkl", "other/data.pkl", "x/data/evil.pkl", "data.pkl"):
        path = rezipped(written(tmp_path / "x.pt", STATE), more=[(more, evil)])
        with pytest.raises(ValueError, match="is not what torch.save writes: one folder with one data.pkl in it"):
            weights.read(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        rezipped(written(tmp_path / "x.pt", STATE), more=[("x/data.pkl", evil)])
    with pytest.raises(ValueError, match=r"holds two entries of one name, 'x/data\.pkl'"):
        weights.read(tmp_path / "x.pt")
    assert not mark.exists()


@pytest.mark.parametrize("depth", [10, 100_000])
def test_a_pickle_that_is_nested_without_end_is_refused(tmp_path, depth):
    deep = b"\x80\x02" + b"(" * depth + b"N" + b"t" * depth + b"."
    with pytest.raises(ValueError, match=r"x\.pt holds a tuple, where weights are a dictionary of tensors"):
        weights.read(with_pickle(tmp_path / "x.pt", deep))
    doubled = (
        b"\x80\x02]q\x00"
        + b"".join(b"]q" + bytes([n + 1]) + b"(h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(100))
        + b"."
    )
    with pytest.raises(ValueError, match=r"x\.pt holds a list"):
        weights.read(with_pickle(tmp_path / "x.pt", doubled))
    itself = b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."
    with pytest.raises(ValueError, match=r"holds no weights where they usually are .*; it has 'model'"):
        weights.read(with_pickle(tmp_path / "x.pt", itself))


def test_what_is_compressed_is_refused_before_it_is_unpacked(tmp_path):
    written(tmp_path / "x.pt", {"w": torch.zeros(20_000_000)})
    path = rezipped(tmp_path / "x.pt", compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(
        ValueError, match=r"the entry 'x/data\.pkl' is compressed or encrypted; torch\.save does neither"
    ):
        weights.read(path)


def test_sizes_that_the_file_does_not_have_are_refused(tmp_path):
    path = written(tmp_path / "x.pt", STATE)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02", content.rindex(b"PK\x01\x02") - 200)
    for offset in (20, 24):  # of one entry in the zip's table: bytes as packed, bytes as unpacked
        struct.pack_into("<I", content, place + offset, 2**31)
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"its entries are to have more bytes than the file|is damaged"):
        weights.read(path)
    stretched = {"w": torch.zeros(1).expand(1_000_000_000)}
    with pytest.raises(ValueError, match=r"the tensor 'w' is to have 1,000,000,000 elements, more than are stored"):
        weights.read(written(tmp_path / "y.pt", stretched))
    shared = torch.zeros(10_000)
    with pytest.raises(ValueError, match=r"its tensors are to have 20,000,000 bytes, the file has"):
        weights.read(written(tmp_path / "z.pt", {f"w{n}": shared for n in range(500)}))
    path = written(tmp_path / "x.pt", {"w": torch.zeros(4)})

    def more(name, pickled):
        larger = pickled.replace(b"cpuq\x06K\x04", b"cpuq\x06J\x00\x00\x10\x00")
        assert not name.endswith(".pkl") or larger != pickled
        return name, larger.replace(b"K\x00K\x04\x85", b"K\x00J\x00\x00\x10\x00\x85")

    with pytest.raises(ValueError, match="is damaged, or made to look like weights: RuntimeError: record size"):
        weights.read(rezipped(path, more))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(2, 2).to_sparse(), "asks for"),
        (torch.ones(2, dtype=torch.complex64), "'w' is sparse, quantised, complex or without its values"),
        (torch.ones(2, device="meta"), "asks for"),
        ("text", "'w' is a str among the weights, not a tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(tmp_path, value, words):
    with pytest.raises(ValueError, match=words):
        weights.read(written(tmp_path / "x.pt", {**STATE, "w": value}))


def test_other_formats_are_named(tmp_path):
    old = tmp_path / "old.pt"
    torch.save(STATE, old, _use_new_zipfile_serialization=False)
    with pytest.raises(
        ValueError, match=r"old\.pt is in PyTorch's format of before 1\.6, which is not read\. Where you"
    ):
        weights.read(old)
    program = rezipped(written(tmp_path / "program.pt", STATE), more=[("program/code/__torch__.py", b"")])
    with pytest.raises(ValueError, match=r"program\.pt is a TorchScript program, not weights"):
        weights.read(program)
    for content in (b"", b"x", b"\x93NUMPY", b"PK\x03\x04", b"<html>"):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match="holds no weights|is damaged"):
            weights.read(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="No file of weights"):
        weights.read(tmp_path / "nowhere.pt")


# -------------------------------------------------------------------------------------------------- safetensors


def safetensors(header: object, data: bytes = bytes(8), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            safetensors({"w": entry()}, length=2**60),
            "its header is to have 1,152,921,504,606,846,976 bytes; the file has",
        ),
        (safetensors({"w": entry()}, length=10**8), "its header is to have 100,000,000 bytes"),
        (safetensors(b'{"w": 1, "w": 2}'), "'w' stands in it twice"),
        (safetensors(b'{"w": {"dtype": "F32", "dtype": "F64"}}'), "'dtype' stands in it twice"),
        (safetensors(b"{" + b'"a":{' * 50_000), "is no safetensors file"),
        (safetensors({"w": entry(offsets=(0, 16), shape=(4,))}), "its tensors take up 16 bytes and it holds 8"),
        (safetensors({"w": entry(offsets=(4, 12))}), "the bytes of 'w' begin at 4, where those before it end at 0"),
        (safetensors({"v": entry(), "w": entry()}), "the bytes of 'w' begin at 0, where those before it end at 8"),
        (safetensors({"w": entry(offsets=(8, 0))}), "'w' needs 8 bytes and has those from 8 to 0"),
        (safetensors({"w": entry(dtype="F64")}), "'w' needs 16 bytes and has those from 0 to 8"),
        (safetensors({"w": entry(dtype="O")}), "'w' is of the unknown type 'O'"),
        (safetensors({"w": entry(shape=(2**47, 2**47))}), "needs 79,228,162,514,264,337,593,543,950,336 bytes"),
        (safetensors({"w": entry(shape=(-2,))}), r"'w' has the shape \[-2\]"),
        (safetensors({"w": entry(shape=(2.0,))}), r"'w' has the shape \[2.0\]"),
        (safetensors({"w": [1, 2]}), "'w' does not have a dtype, a shape and data_offsets"),
        (safetensors({"w": entry(), "__metadata__": {"x": 1}}), "its metadata are not text"),
        (safetensors({"w": entry()}, data=bytes(9)), "its tensors take up 8 bytes and it holds 9"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused(tmp_path, content, words):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        weights.read(tmp_path / "x.safetensors")
    assert str(tmp_path / "x.safetensors") in str(error.value)


def sentence_or_tensors(path: Path, content: bytes) -> None:
    """Whatever the bytes: tensors, or a ValueError that names the file."""
    path.write_bytes(content)
    said = ""
    try:
        read = weights.read(path)
    except ValueError as error:
        read, said = {}, str(error)
    assert read or str(path) in said
    assert all(isinstance(value, torch.Tensor) for value in read.values())


def whole(kind: str) -> bytes:
    if kind == "safetensors":
        return save(STATE)
    buffer = io.BytesIO()
    torch.save(collections.OrderedDict(STATE), buffer)
    return buffer.getvalue()


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)
FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def fuzzed(kind: str, path: Path, examples: int) -> None:
    original = whole(kind)

    @settings(max_examples=examples, **FUZZ)
    @given(CHANGES, st.integers(0, 40))
    def changed(changes, cut):
        content = bytearray(original)
        for place, byte in changes:
            content[int(place * len(content))] = byte
        sentence_or_tensors(path, bytes(content[: len(content) - cut] if cut > 20 else content))

    changed()


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_any_changed_bytes_end_in_a_sentence(tmp_path, kind):
    fuzzed(kind, tmp_path / "x", 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_very_many_changed_bytes_end_in_a_sentence(tmp_path, kind):
    fuzzed(kind, tmp_path / "x", 5000)
