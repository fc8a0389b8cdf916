"""Which network do these weights belong to? By the names and shapes of their tensors, on the meta device, in seconds.

A network is looked at if its names are like those of the weights: of our shelf one size a family is built first, of
torchvision those with about as many parameters, of timm those whose first and last layer are called so. A file's name
decides only among networks that fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.networks._built import Built

Find = Callable[..., Built]
Shapes = dict[str, tuple[int, ...]]

#: timm has families of hundreds of networks whose layers have the same names; so many are compared, no more.
MOST = 64
#: Of networks that fit, so many are asked whether they answer alike.
MOST_COMPARED = 4
#: The share of a family's names, numbers aside, that must be among those of the weights, for its sizes to be looked at.
ALIKE = 0.6
#: How far the number of parameters may be from the published one, as a share: heads and buffers differ.
NEARLY = 0.1
#: Heads that only training uses, which our networks leave out.
AUXILIARY = re.compile(r"(aux\d*|aux_classifier|AuxLogits)\.")
#: A number of classes that no layer has as its width: what has it belongs to the head.
ODD = 1009
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fit:
    """How a network's tensors compare with those of a file. `classes` is how many its head answers in."""

    name: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    classes: int

    @property
    def exact(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def apart(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def reasons(self) -> str:
        """What does not fit, in words: how many tensors, and the first three."""
        kinds = (("missing in the file", self.missing), ("not in the network", self.unexpected))
        told = [_counted(names, what) for what, names in (*kinds, ("of another shape", self.reshaped)) if names]
        return "; ".join(told)


def match(state: Mapping[str, Tensor], find: Find, shelf: Mapping[str, tuple[str, str]], hint: str) -> Fit:
    """The network that has just these tensors. `hint` is the name of the file.

    Raises ValueError where none has, naming the nearest and what does not fit, and where several have that answer
    differently.
    """
    given = shapes_of(state)
    fits: list[Fit] = []
    sizes = [name for name, (_, size) in shelf.items() if name == size]
    for name in _spoken_of(hint, sizes):
        fits += _where_it_can_be_built(name, given, find)
        if fits and fits[-1].exact:
            return fits[-1]
    for name in [*_of_shelf(given, find, shelf), *_of_torchvision(given)]:
        fits += _where_it_can_be_built(name, given, find)
    of_timm: list[str] = []
    if not any(fit.exact for fit in fits):  # timm has many a twin of a known network that differs in a detail
        of_timm = _of_timm(given)
        for name in of_timm if len(of_timm) <= MOST else ():
            fits += _where_it_can_be_built(name, given, find)
    exact = [fit for fit in fits if fit.exact]
    if not exact:
        raise ValueError(_why_none(given, fits, of_timm))
    if len(exact) > 1 and not _answer_alike(exact, state, find):
        names = ", ".join(fit.name for fit in exact[:8])
        raise ValueError(f"it fits networks that answer differently, {names}; name the one that it belongs to")
    return exact[0]


def _why_none(given: Shapes, fits: list[Fit], of_timm: list[str]) -> str:
    if len(of_timm) > MOST:
        return (
            f"its layers are called as in {len(of_timm)} networks of timm, too many to compare; name the one that it "
            f"belongs to, such as {of_timm[0]}"
        )
    nearest = min(fits, key=lambda fit: fit.apart, default=None)
    if nearest is None or nearest.apart > len(given):
        return (
            f"its tensors ({', '.join(list(given)[:3])}, ...) are called as in no network known here; name its network"
        )
    return f"it fits no network known here. The nearest is {nearest.name}: {nearest.reasons()}"


def compare(name: str, state: Mapping[str, Tensor], find: Find) -> Fit:
    """How a named network's names and shapes compare with the weights', whatever its number of classes."""
    return _compared(_shapes(name, find), name, shapes_of(state))


def _where_it_can_be_built(name: str, given: Shapes, find: Find) -> list[Fit]:
    """As `compare`, but nothing for a network that cannot be built here."""
    try:
        return [_compared(_shapes(name, find), name, given)]
    except (RuntimeError, ValueError, TypeError, ImportError):
        return []


def _compared(wanted: Shapes, name: str, given: Shapes) -> Fit:
    counts = [given[key][0] for key, shape in wanted.items() if shape[:1] == (ODD,) and given.get(key)]
    classes = counts[0] if counts else 0
    told = {key: (classes, *shape[1:]) if shape[:1] == (ODD,) else shape for key, shape in wanted.items()}
    return _fit(name, told, given, classes)


def _fit(name: str, wanted: Shapes, given: Shapes, classes: int) -> Fit:
    """What counts batches may be missing, and heads that only training uses may be there."""
    missing = tuple(key for key in wanted if key not in given and not key.endswith(COUNTER))
    unexpected = tuple(key for key in given if key not in wanted and not AUXILIARY.match(key))
    other = (key for key in wanted if key in given and wanted[key] != given[key])
    return Fit(name, missing, unexpected, tuple(f"{key} {given[key]} for {wanted[key]}" for key in other), classes)


def filled(fit: Fit, state: Mapping[str, Tensor], find: Find) -> Built:
    """The network itself with the weights in it. Raises ValueError where they do not fit."""
    if not fit.exact:
        raise ValueError(f"it does not fit {fit.name}: {fit.reasons()}")
    built = find(fit.name, classes=fit.classes, pretrained=False)
    fill(built.module, state)
    return built


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The weights into a network. Raises ValueError with what does not fit."""
    wanted = shapes_of(module.state_dict())
    fit = _fit("", wanted, shapes_of(state), 0)
    if not fit.exact:
        raise ValueError(fit.reasons())
    module.load_state_dict({name: value for name, value in state.items() if name in wanted}, strict=False)


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(value.shape) for name, value in state.items()}


# ------------------------------------------------------------------------------------------------ which to look at


def _spoken_of(hint: str, sizes: list[str]) -> list[str]:
    """The networks of whose names the file's name holds the longest: ours, torchvision's, timm's."""
    import timm
    from torchvision import models

    sources = {"": sizes, "torchvision:": models.list_models(module=models), "timm:": timm.list_models()}
    longest = {origin: _longest(hint, names) for origin, names in sources.items()}
    most = max((len(name) for name in longest.values() if name), default=0)
    return [f"{origin}{name}" for origin, name in longest.items() if name and len(name) == most]


def _of_shelf(given: Shapes, find: Find, shelf: Mapping[str, tuple[str, str]]) -> list[str]:
    families: dict[str, list[str]] = {}
    for name, (family, size) in shelf.items():
        if name == size:
            families.setdefault(family, []).append(name)
    words = _words(given)
    near: list[str] = []
    for sizes in families.values():
        ours = _words(_shapes(sizes[0], find))
        if len(ours & words) >= ALIKE * len(ours):
            near += sizes
    return near


def _of_torchvision(given: Shapes) -> list[str]:
    """Those with about as many parameters, the head aside, whose layers are called alike."""
    from torchvision import models

    statistics = (COUNTER, "running_mean", "running_var")
    count = sum(prod(shape) for name, shape in given.items() if not name.endswith(statistics))
    found = []
    for name in models.list_models(module=models):
        published = models.get_model_weights(name).DEFAULT.meta["num_params"]
        if abs(published - count) <= NEARLY * published + 3_000_000:
            found.append((abs(published - count), f"torchvision:{name}"))
    return [name for _, name in sorted(found)][:16]


def _of_timm(given: Shapes) -> list[str]:
    """Those whose first and last layer are called so."""
    import timm

    found = []
    for name in timm.list_models():
        told = timm.models.get_pretrained_cfg(name)
        ends = [*_several(told.first_conv), *_several(told.classifier)] if told is not None else []
        if ends and all(f"{end}.weight" in given for end in ends):
            found.append(f"timm:{name}")
    return found


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _longest(hint: str, names: Iterable[str]) -> str | None:
    """The longest of the names that stands in the file's name."""
    spoken = [name for name in names if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", hint.lower())]
    return max(spoken, key=len, default=None)


def _words(names: Iterable[str]) -> set[str]:
    """The names without their numbers, in which the sizes of a family differ."""
    return {re.sub(r"\d+", "#", name) for name in names}


# ----------------------------------------------------------------------------------------------------- comparing


def _shapes(name: str, find: Find) -> Shapes:
    """The names and shapes of a network's tensors, with a head of `ODD` classes."""
    try:
        with torch.device("meta"):
            built = find(name, classes=ODD, pretrained=False)
    except NotImplementedError:  # some take numbers out of tensors while they are built, which meta tensors lack
        built = find(name, classes=ODD, pretrained=False)
    return shapes_of(built.module.state_dict())


def _answer_alike(fits: list[Fit], state: Mapping[str, Tensor], find: Find) -> bool:
    """Whether networks with these weights say the same of an image: then it does not matter which is taken."""
    answers: list[Tensor] = []
    for fit in fits[:MOST_COMPARED]:
        built = filled(fit, state, find)
        side = built.preprocessing.size if built.preprocessing else (224, 224)
        image = torch.rand(1, 3, *side, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            answers.append(built.module.eval()(image))
    same = all(torch.allclose(answer, answers[0], rtol=1e-3, atol=1e-4, equal_nan=True) for answer in answers)
    return same and len(fits) <= MOST_COMPARED


def _counted(names: tuple[str, ...], what: str) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(name[:80] for name in names[:3])}{more})"
