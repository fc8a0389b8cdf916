"""A saved model's two files, read as if a stranger had sent them: values are checked, tensors are only data."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save
from torch import Tensor, nn

from seewhy.model.views import Views
from seewhy.storage import files
from seewhy.storage.weights import from_safetensors
from seewhy.types import Preprocessing

MANIFEST, WEIGHTS = "model.json", "weights.safetensors"
#: What the weights of a model are called that was saved over another.
WEIGHTS_NAME = re.compile(r"weights(-[0-9a-f]{16})?\.safetensors")
#: Raised when what is written could not be read by the version before.
FORMAT = 1
#: What finding a network takes beside its settings; a file has no say in these.
RESERVED = ("classes", "name", "pretrained", "seed")
LARGEST_SIDE = 8192
#: No width, depth or number of groups of a network is beyond it.
LARGEST_SETTING = 65_536
#: What of a model's past is used later on, and of which kind it is; what else stands there is only shown.
PAST = {
    "split": dict,
    "training": dict,
    "best": dict,
    "counts": dict,
    "assumed": list,
    "notes": list,
    "data": str,
    "data_digest": str,
}


def write(folder: Path, described: Mapping[str, Any], network: nn.Module) -> None:
    """The weights under a name that is not in use, then the manifest, which names them: until it is there the folder
    holds the model of before. The weights of before go last."""
    files.drop_left(folder, "weights")
    content = save({name: _separate(value) for name, value in network.state_dict().items()})
    hash = hashlib.sha256(content).hexdigest()
    name = WEIGHTS if not (folder / WEIGHTS).exists() else f"weights-{hash[:16]}.safetensors"
    if (folder / WEIGHTS).is_file() and files.sha256(folder / WEIGHTS) == hash:
        name = WEIGHTS
    else:
        files.write_bytes(folder / name, content)
    files.write_json(folder / MANIFEST, {"format": FORMAT, **described, "weights": name, "weights_sha256": hash})
    for other in folder.glob("weights*.safetensors"):
        if WEIGHTS_NAME.fullmatch(other.name) and other.name != name:
            files.remove(other, quietly=True)


@dataclass(frozen=True)
class Manifest:
    """What a model.json says; every entry is checked where it is taken, with a ValueError that names the file."""

    content: Any
    path: Path

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises FileNotFoundError where there is none, ValueError where it is none of ours or newer than we are."""
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(f"No model in {folder}: there is no {MANIFEST}")
        told = cls(files.read_json(path), path)
        if told.entry("format", int) > FORMAT:
            raise ValueError(f"{path} was written by SeeWhy {told.entry('seewhy', str)}, which is newer than this one")
        return told

    def entry(self, name: str, kind: type) -> Any:
        """An entry of this kind."""
        value = self.content.get(name) if isinstance(self.content, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{self.path}: {name!r} is {_shortly(value)}, which should be a {kind.__name__}")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of different names."""
        names = self.entry(name, list)
        if not names or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
            raise ValueError(f"{self.path}: {name!r} is {_shortly(names)}, which should be a list of different names")
        return tuple(names)

    def settings(self) -> dict[str, Any]:
        """Settings of the network: plain values, and none of those that a file has no say in."""
        settings = self.entry("settings", dict)
        for name, value in settings.items():
            small = not isinstance(value, int) or abs(value) <= LARGEST_SETTING
            if name in RESERVED or not (value is None or isinstance(value, (bool, int, float, str))) or not small:
                raise ValueError(f"{self.path}: a network cannot have the setting {name!r} = {_shortly(value)}")
        return settings

    def mapping(self) -> dict[str, tuple[str, ...]] | None:
        """Which outputs a class stands for; None where each stands for itself."""
        if self.content.get("mapping") is None:
            return None
        groups = self.entry("mapping", dict)
        if not all(isinstance(old, list) and all(isinstance(name, str) for name in old) for old in groups.values()):
            raise ValueError(f"{self.path}: 'mapping' is {_shortly(groups)}, which should be lists of names")
        return {new: tuple(old) for new, old in groups.items()}

    def preprocessing(self) -> Preprocessing:
        """How images are fitted and normalised."""
        told = self.entry("preprocessing", dict)
        size, fit, mean, std = (told.get(name) for name in ("size", "fit", "mean", "std"))
        sides = _numbers(size, 2) and all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in size)
        channels = _numbers(mean, 3) and _numbers(std, 3) and all(std)
        if not (sides and channels and fit in ("crop", "squash", "pad")):
            raise ValueError(f"{self.path}: 'preprocessing' is {_shortly(told)}, which is no size, fit, mean and std")
        height, width = size
        return Preprocessing((height, width), fit, _three(mean), _three(std))

    def provenance(self) -> dict[str, Any]:
        """Where the model comes from."""
        told = self.entry("provenance", dict)
        for name, value in told.items():
            if value is not None and not isinstance(value, PAST.get(name, object)):
                raise ValueError(f"{self.path}: the provenance's {name!r} is {_shortly(value)}")
        split = told.get("split") or {}
        if not set(split) <= {"how", "by", "seed"} or not all(
            isinstance(one, (str, int, type(None))) for one in split.values()
        ):
            raise ValueError(f"{self.path}: the provenance's 'split' is {_shortly(split)}")
        for name in ("assumed", "notes"):
            if not all(isinstance(one, str) for one in told.get(name) or ()):
                raise ValueError(f"{self.path}: the provenance's {name!r} is {_shortly(told[name])}")
        return told

    def views(self) -> Views:
        """In which ways each image is seen; one that says nothing sees it as it is."""
        views = self.content.get("views", "none")
        if views not in get_args(Views):
            raise ValueError(
                f"{self.path}: 'views' is {_shortly(views)}, which is none of {', '.join(get_args(Views))}"
            )
        return views

    def weights(self) -> dict[str, Tensor]:
        """The tensors beside the manifest, whose bytes must be those it was written with."""
        name = self.content.get("weights", WEIGHTS)
        if not isinstance(name, str) or not WEIGHTS_NAME.fullmatch(name):
            raise ValueError(f"{self.path}: 'weights' is {_shortly(name)}, which should be {WEIGHTS} beside it")
        path = self.path.with_name(name)
        if not path.is_file():
            raise FileNotFoundError(f"The model in {path.parent} has no {name}")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.entry("weights_sha256", str):
            raise ValueError(f"{path} is damaged or of another model: it is not what {MANIFEST} was written with")
        return from_safetensors(content, path)


def check_fit(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raises ValueError, showing both, unless every name and shape agrees."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in state.items()}
    differ = [name for name in {**wanted, **there} if wanted.get(name) != there.get(name)]
    if differ:
        shown = "; ".join(
            f"{name}: {there.get(name, 'nothing')} in the file, {wanted.get(name, 'nothing')} in the network"
            for name in differ[:5]
        )
        more = f"; and {len(differ) - 5} more" if len(differ) > 5 else ""
        raise ValueError(f"{path}: the weights do not fit the network. {shown}{more}")


def _separate(value: Tensor) -> Tensor:
    """A copy with memory of its own: tied weights are written twice, where safetensors would refuse."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _numbers(value: Any, count: int) -> bool:
    plain = isinstance(value, list) and len(value) == count and all(type(entry) in (int, float) for entry in value)
    return plain and all(map(math.isfinite, value))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _shortly(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
