"""Networks: one file a family, and one way to have any of them.

    find("resnet20", classes=10)                  a size of a family on the shelf, or a family in its usual size
    find("lite0")                                 with the weights it brings along and its own thousand classes
    find("lite0", classes=4)                      the same weights under a new head
    find("timm:resnet18", pretrained=True)        timm's and torchvision's; weights are fetched only if asked for
    find("mypackage.models:small", classes=4)     your own function

A file here has `build(*, size, classes, channels, …) -> nn.Module`, `sizes` (each published size with its settings),
and the facts `year`, `paper`, `classes`, `channels` and `input_size` of the publication, each a value or one a size.
With weights of its own it has `weights(size) -> (state dict, names of the classes, Preprocessing)`. Networks take RGB
images as their mean and spread leave them: normalising is not theirs to do. Their last `nn.Linear` is the classifier.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from seewhy import hooks, shelf
from seewhy.networks import _foreign, _imagenet, _matching, _receptive
from seewhy.networks._built import Built
from seewhy.networks._count import Counting, multiply_adds
from seewhy.storage import weights
from seewhy.types import Preprocessing

__all__ = ["Built", "choose", "find", "from_weights", "layers", "names", "table", "with_weights"]

#: Images of at most so many pixels a side are small ones: a small network learns them from nothing.
SMALL = 48
TINY = 16
#: A head with so many outputs is taken for ImageNet's.
IMAGENET = 1000


def find(
    name: str, *, classes: int | None = None, pretrained: bool | None = None, seed: int = 0, **settings: Any
) -> Built:
    """Build the network of this name. Without `classes` it keeps its own head, otherwise it gets a new one.

    `pretrained` None means: with the weights that are installed, if there are any. What is drawn at random depends on
    `seed` alone, and the global generator is left as it was. Raises KeyError for an unknown name, ValueError for a
    setting it does not take or weights it does not have, OSError where weights cannot be fetched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        origin, _, rest = name.partition(":")
        if not rest:
            built = _from_shelf(name, classes, pretrained, settings)
        elif origin == "timm":
            built = _foreign.from_timm(rest, classes=classes, pretrained=bool(pretrained), settings=settings)
        elif origin == "torchvision":
            built = _foreign.from_torchvision(rest, classes=classes, pretrained=bool(pretrained), settings=settings)
        else:
            return _foreign.from_factory(name, classes=classes, pretrained=pretrained, settings=settings)
    built.module.to(memory_format=torch.channels_last)  # on a CPU a tenth to a half quicker
    return built


def from_weights(
    path: str | Path, *, name: str | None = None, classes: int | None = None
) -> tuple[Built, tuple[str, ...]]:
    """The network that a file of bare weights belongs to, with them in it; and in sentences what had to be assumed.

    `name` says which network it is; without it one is looked for by the names and shapes of the tensors. `classes` is
    for a user's own factory; any other has as many as its head's weights. Raises FileNotFoundError, KeyError for an
    unknown name, and ValueError where the file is no weights or would run something, or fits no network, or several
    that answer differently.
    """
    path = Path(path)
    state = weights.read(path)
    assumed = []
    try:
        if name is None:
            fit = _matching.match(state, find, names(), path.stem)
            assumed.append(f"The weights in {path.name} are taken for those of {fit.name}, which has the same tensors.")
        elif ":" in name and name.partition(":")[0] not in ("timm", "torchvision"):
            built = find(name, classes=classes)
            _matching.fill(built.module, state)
            return replace(built, pretrained=True), tuple(_doubts(path, state))
        else:
            fit = _matching.compare(name, state, find)
        built = _matching.filled(fit, state, find)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    fitted = _usual_preprocessing(built.name)
    height, width = fitted.size
    assumed.append(
        f"{path.name} does not tell how its images were fitted and normalised; taken to be usual for {built.name}: "
        f"{width} x {height} pixels, mean {_listed(fitted.mean)}, standard deviation {_listed(fitted.std)}."
    )
    own = _imagenet.class_names() if fit.classes == IMAGENET else None
    if own is not None:
        assumed.append(
            f"The {IMAGENET:,} outputs of {path.name} are taken for ImageNet's classes in their usual order."
        )
    return replace(built, preprocessing=fitted, class_names=own, pretrained=True), (*assumed, *_doubts(path, state))


def names() -> dict[str, tuple[str, str]]:
    """Every name on the shelf with its family and size; a family's own name stands for its usual size.

    Raises ValueError where two families use one name.
    """
    found: dict[str, tuple[str, str]] = {}
    for family in shelf.members("networks"):
        module = shelf.load("networks", family)
        usual = inspect.signature(module.build).parameters["size"].default
        for name, size in {family: usual, **{size: size for size in module.sizes}}.items():
            if name in found:
                raise ValueError(f"Two families have a network {name!r}: {found[name][0]} and {family}")
            found[name] = (family, size)
    return found


def with_weights() -> list[str]:
    """The names on the shelf whose networks bring weights along."""
    return [name for name, (family, _) in names().items() if hasattr(shelf.load("networks", family), "weights")]


def choose(*, height: int, width: int, count: int, classes: int) -> tuple[str, str]:
    """A name for `find`, and the reason in a sentence, for `count` images of this usual size in pixels."""
    about = f"{count:,} images of {classes} classes, usually {width} x {height} pixels"
    if max(height, width) <= TINY:
        return "resnet_tiny", f"{about}: tiny images are learnt from nothing in moments, at their full resolution"
    if max(height, width) <= SMALL:
        return "resnet_small", f"{about}: a network for small images, learnt from nothing, shaped to be quick on a CPU"
    return "lite0", f"{about}: photos are learnt best from what a network already knows of a thousand ImageNet classes"


def table() -> list[dict[str, Any]]:
    """One row a network on the shelf, as published, with the multiply-adds that one image costs."""
    rows = []
    for name, (family, size) in names().items():
        module = shelf.load("networks", family)
        if name not in module.sizes:
            continue
        with Counting():
            network, image = _as_published(module, size)
        rows.append(
            {
                "name": name,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                "multiply_adds": multiply_adds(network, image),
                "input_size": image.shape[-1],
                "classes": _fact(module, "classes", size),
                "weights": hasattr(module, "weights"),
                "year": _fact(module, "year", size),
                "paper": _fact(module, "paper", size),
            }
        )
    return rows


def layers(name: str) -> list[dict[str, Any]]:
    """The layers of a network in the order in which they end: name, kind, output shape without batch, parameters, and
    height and width of the pixels that one place of the output can see, or "whole image".
    """
    known = names()
    if name in known:
        family, size = known[name]
        network, image = _as_published(shelf.load("networks", family), size)
    else:
        with torch.device("meta"):
            built = find(name, pretrained=None)
        network = built.module.eval()
        side = built.preprocessing.size if built.preprocessing else (224, 224)
        image = torch.zeros(1, 3, *side, device="meta")
    given = next(iter(inspect.signature(network.forward).parameters))
    owned = dict(network.named_modules())
    fields = _receptive.fields(network, {given: image})
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "shape": list(layer.shape[1:]),
            "parameters": sum(parameter.numel() for parameter in owned[layer.name].parameters()),
            "receptive_field": list(fields.get(layer.name) or ()) or "whole image",
        }
        for layer in hooks.layers(network, {given: image})
    ]


def _usual_preprocessing(name: str) -> Preprocessing:
    """How the published weights of a network want their images; for ours the publication's size, ImageNet's mean."""
    if ":" in name:
        return _foreign.usual_preprocessing(name)
    family, size = names()[name]
    module = shelf.load("networks", family)
    if hasattr(module, "weights"):
        return module.weights(size)[2]
    side = _fact(module, "input_size", size)
    return Preprocessing((side, side), "crop", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _doubts(path: Path, state: Mapping[str, torch.Tensor]) -> list[str]:
    broken = weights.not_finite(state)
    shown = ", ".join(broken[:3])
    held = f"{len(broken)} of the {len(state)} tensors in {path.name} hold numbers that are not finite: {shown}."
    return [held] if broken else []


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _from_shelf(name: str, classes: int | None, pretrained: bool | None, settings: Mapping[str, Any]) -> Built:
    known = names()
    if name not in known:
        raise KeyError(
            f"No network {name!r}. {shelf.nearest(name, known)}There are: {', '.join(known)}; "
            "and timm:NAME, torchvision:NAME, package.module:factory."
        )
    family, size = known[name]
    module = shelf.load("networks", family)
    reserved = {"size", "classes", "channels"}.intersection(settings)
    if reserved:
        raise ValueError(f"{', '.join(sorted(reserved))} cannot be set here: the name {name!r} and the classes say it")
    shelf.check_settings("networks", family, settings)
    state, names_of_classes, wanted = None, None, None
    if pretrained is not False and hasattr(module, "weights"):
        state, names_of_classes, wanted = module.weights(size)
    elif pretrained:
        raise ValueError(f"The network {name!r} brings no weights; those that do: {', '.join(with_weights())}")
    count = classes or (len(names_of_classes) if names_of_classes else _fact(module, "classes", size))
    network = module.build(size=size, classes=count, **settings)
    if state is not None:
        _fill(network, state, new_head=classes is not None)
    side = settings.get("input_size", _setting(module, "input_size"))
    if wanted is None and side is not None:  # a network with such a setting takes images of just that size
        wanted = Preprocessing(size=(side, side), fit="squash")
    own = names_of_classes if classes is None else None
    return Built(network, size, dict(settings), wanted, own, state is not None)


def _fill(network: nn.Module, state: Mapping[str, torch.Tensor], *, new_head: bool) -> None:
    """The weights into the network, all of them, or all but those of the last linear layer."""
    left = set()
    if new_head:
        place = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
        left = {f"{place}.weight", f"{place}.bias"}
    kept = {name: value for name, value in state.items() if name not in left}
    missing, unexpected = network.load_state_dict(kept, strict=False)
    if set(missing) - left or unexpected:
        raise ValueError(f"The weights do not fit: missing {missing}, not wanted {unexpected}")


def _as_published(module: ModuleType, size: str) -> tuple[nn.Module, torch.Tensor]:
    """The network of the publication and an image for it, both without memory."""
    channels, side = _fact(module, "channels", size), _fact(module, "input_size", size)
    with torch.device("meta"):
        network = module.build(size=size, classes=_fact(module, "classes", size), channels=channels)
        return network.eval(), torch.zeros(1, channels, side, side)


def _fact(module: ModuleType, name: str, size: str) -> Any:
    value = getattr(module, name)
    return value[size] if isinstance(value, dict) else value


def _setting(module: ModuleType, name: str) -> Any:
    """The default of a setting of `build`; None where it has no such setting."""
    parameter = inspect.signature(module.build).parameters.get(name)
    return None if parameter is None else parameter.default
