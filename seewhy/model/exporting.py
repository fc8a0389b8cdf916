"""How does a model leave SeeWhy, to answer where there is no SeeWhy?

    exported = export(model, "flowers.onnx")      # or .pt2, .torchscript
    exported.difference                           # 2e-07: the largest, in a logit, over three sizes of a batch

A file takes `image`, float32 RGB in [0, 1] of batch x 3 x height x width, with any number of images, and gives
`logits` of batch x classes. Normalisation is in it; only fitting an image to the size is left to whoever calls it. The
names of the classes, the size and the fit are in its metadata.

Before anything is written, what was made is read back and must answer as the network does.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.model import Model
from seewhy.shelf import nearest
from seewhy.storage import files

#: With how many images each file is tried.
BATCHES = (1, 2, 5)
#: How far a logit may be from the network's, as a share of the largest, or of 1: sums in another order differ so much.
TOLERANCE = 1e-4
#: A protocol buffer, which an ONNX file is, holds no more bytes.
MOST_BYTES = 2**31 - 1

#: What was read back from a file: images in, logits out.
Answering = Callable[[Float[Tensor, "batch 3 height width"]], Float[Tensor, "batch classes"]]


@dataclass(frozen=True)
class Exported:
    """A file that was written; `difference` is the largest between its logits and the network's."""

    file: str
    format: str
    bytes: int
    batches: tuple[int, ...]
    difference: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def export(model: Model, path: str | Path, *, format: str | None = None) -> Exported:
    """Write the model in a format that other programs run; the file's ending says which, or `format` does.

    Raises ValueError where neither says it, where the network cannot be written so, and where what was made answers
    otherwise than the network, with the largest difference; then nothing is written.
    """
    chosen = _format(Path(path), format)
    _, make = FORMATS[chosen]
    network = copy.deepcopy(model.network).cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    images = [_images(count, model.preprocessing.size) for count in BATCHES]
    with torch.no_grad():
        try:
            data, answering = make(network, images[1], _described(model))
        except RuntimeError as error:  # of which kind the exporters' own errors are
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{model.name} cannot be written as {chosen}: {why}") from error
        difference = _largest_difference(network, answering, images, chosen)
    files.write_bytes(path, data)
    return Exported(str(path), chosen, len(data), BATCHES, difference)


# ------------------------------------------------------------------------------------------------- the formats


def _onnx(network: nn.Module, images: Tensor, described: dict[str, Any]) -> tuple[bytes, Answering]:
    """The newest set of operators that PyTorch's exporter writes."""
    absent = [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise ValueError(f"To write ONNX takes {', '.join(absent)}: pip install seewhy[onnx]")
    size = sum(entry.numel() * entry.element_size() for entry in (*network.parameters(), *network.buffers()))
    if size > MOST_BYTES:
        raise ValueError(f"An ONNX file holds 2 GB, and the weights are {size / 1e9:.1f}; take exported-program")
    from onnxruntime import InferenceSession

    made = torch.onnx.export(
        network, (images,), dynamo=True, input_names=["image"], output_names=["logits"],
        dynamic_shapes=({0: "batch"},), verbose=False,
    )  # fmt: skip
    proto = made.model_proto  # type: ignore[union-attr]
    for name, value in described.items():
        proto.metadata_props.add(key=name, value=json.dumps(value, ensure_ascii=False))
    data = proto.SerializeToString()
    session = InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda given: torch.from_numpy(session.run(["logits"], {"image": given.numpy()})[0])


def _exported_program(network: nn.Module, images: Tensor, described: dict[str, Any]) -> tuple[bytes, Answering]:
    """PyTorch's own: `torch.export.load(file).module()(images)`."""
    file = io.BytesIO()
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, file, extra_files={METADATA: json.dumps(described)})
    data = file.getvalue()
    return data, torch.export.load(io.BytesIO(data)).module()


def _torchscript(network: nn.Module, images: Tensor, described: dict[str, Any]) -> tuple[bytes, Answering]:
    """What C++ and phones load with `torch.jit.load`; PyTorch calls it deprecated, and says so at each step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of branches by the image's size, which stays
        traced = torch.jit.trace(network, images, check_trace=False)
        file = io.BytesIO()
        torch.jit.save(traced, file, _extra_files={METADATA: json.dumps(described)})
        data = file.getvalue()
        return data, torch.jit.load(io.BytesIO(data))


#: Each format with the endings of its files.
FORMATS: dict[str, tuple[tuple[str, ...], Callable[..., tuple[bytes, Answering]]]] = {
    "onnx": ((".onnx",), _onnx),
    "exported-program": ((".pt2",), _exported_program),
    "torchscript": ((".torchscript", ".ts"), _torchscript),
}
#: Under which name the two formats of PyTorch hold the metadata.
METADATA = "seewhy.json"


def _format(path: Path, format: str | None) -> str:
    if format is not None and format not in FORMATS:
        raise ValueError(f"No format {format!r}. {nearest(format, FORMATS)}There are: {', '.join(FORMATS)}.")
    if format is not None:
        return format
    for name, (endings, _) in FORMATS.items():
        if path.suffix.lower() in endings:
            return name
    known = ", ".join(f"{endings[0]} ({name})" for name, (endings, _) in FORMATS.items())
    raise ValueError(f"The name {path.name!r} does not tell the format; end it in {known}, or give --format")


def _described(model: Model) -> dict[str, Any]:
    """What whoever uses the file must know, as plain values."""
    height, width = model.preprocessing.size
    return {
        "seewhy": version("seewhy"),
        "network": model.name,
        "digest": model.digest,
        "classes": list(model.classes),
        "preprocessing": {"size": [height, width], "fit": model.preprocessing.fit, "values": "float32 RGB in [0, 1]"},
    }


# --------------------------------------------------------------------------------------------------- the check


def _images(count: int, size: tuple[int, int]) -> Float[Tensor, "batch 3 height width"]:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(count))


def _largest_difference(network: nn.Module, answering: Answering, images: list[Tensor], format: str) -> float:
    """In a logit, over all batches; raises ValueError where one is too far from the network's, or no number."""
    largest = 0.0
    for batch in images:
        wanted, found = network(batch), answering(batch)
        if found.shape != wanted.shape:
            raise ValueError(
                f"As {format} the network gives {tuple(found.shape)} for {len(batch)} images where it gives "
                f"{tuple(wanted.shape)}; nothing was written"
            )
        off = (found - wanted).abs().max().item()
        most = TOLERANCE * max(1.0, wanted.abs().max().item())
        if not off <= most:  # NaN is too far as well
            raise ValueError(
                f"As {format} the network answers otherwise: for {len(batch)} images a logit is off by {off:.2g}, "
                f"where at most {most:.2g} is rounding; nothing was written"
            )
        largest = max(largest, off)
    return largest
