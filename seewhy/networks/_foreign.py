"""Networks of others: timm's, torchvision's, and the user's own factory.

Nothing is fetched unless weights are asked for. Settings are few and named here, for a saved model's file may carry
them: timm and torchvision also take paths and addresses of weights as settings, which a file must not choose.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from seewhy.networks._built import Built
from seewhy.networks._imagenet import class_names
from seewhy.shelf import nearest
from seewhy.types import Preprocessing

TIMM_SETTINGS = ("drop_path_rate", "drop_rate", "global_pool", "img_size")
TORCHVISION_SETTINGS = ("dropout", "image_size", "stochastic_depth_prob", "transform_input")
#: How timm names what we call the fit of an image.
FITS = {"center": "crop", "squash": "squash", "border": "pad"}


def from_timm(name: str, *, classes: int | None, pretrained: bool, settings: Mapping[str, Any]) -> Built:
    """`timm:NAME`; with `classes` a new head, without it the network's own.

    Raises KeyError for a name that timm does not know, ValueError for a setting, OSError if weights cannot be had.
    """
    import timm

    if not all(letter.isalnum() or letter in "_.-" for letter in name) or not timm.is_model(name):
        raise KeyError(
            f"timm has no network {name!r}. {nearest(name, timm.list_models())}timm.list_models() shows what it has."
        )
    _check(f"timm:{name}", settings, TIMM_SETTINGS)
    head: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    with _fetching(f"timm:{name}", pretrained):
        module: Any = timm.create_model(name, pretrained=pretrained, **head, **settings)
    told = module.pretrained_cfg
    size = settings.get("img_size", told["input_size"][-2:])
    size = (size, size) if isinstance(size, int) else tuple(size)
    wanted = replace(_as_timm_has_it(told), size=size)
    as_told = pretrained or told.get("fixed_input_size", False)
    names = _imagenet_names(module.num_classes) if classes is None else None
    return Built(module, f"timm:{name}", dict(settings), wanted if as_told else None, names, pretrained)


def from_torchvision(name: str, *, classes: int | None, pretrained: bool, settings: Mapping[str, Any]) -> Built:
    """`torchvision:NAME`, a classifier; as `from_timm`. Auxiliary heads are left out."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise KeyError(f"torchvision has no network {name!r}. {nearest(name, known)}It has: {', '.join(known)}.")
    _check(f"torchvision:{name}", settings, TORCHVISION_SETTINGS)
    told = models.get_model_weights(name).DEFAULT
    chosen, given = dict(settings), {} if pretrained else {"num_classes": classes or 1000}
    if name in ("googlenet", "inception_v3"):
        if pretrained:  # their weights want TensorFlow's normalisation, to which they then turn the image themselves
            chosen.setdefault("transform_input", True)
        else:
            given |= {"aux_logits": False, "init_weights": True}
    with _fetching(f"torchvision:{name}", pretrained):
        module = models.get_model(name, weights=told if pretrained else None, **chosen, **given)
    if pretrained and classes is not None:
        _exchange_head(module, classes, name)
    wanted = _as_torchvision_has_it(told)
    wanted = replace(wanted, size=(chosen.get("image_size", wanted.size[0]),) * 2)
    names = class_names() if classes is None else None
    as_told = pretrained or hasattr(module, "image_size")
    return Built(module, f"torchvision:{name}", chosen, wanted if as_told else None, names, pretrained)


def usual_preprocessing(name: str) -> Preprocessing:
    """How images are fitted and normalised for the published weights of `timm:NAME` or `torchvision:NAME`."""
    origin, _, rest = name.partition(":")
    if origin == "timm":
        import timm

        told = timm.models.get_pretrained_cfg(rest)
        assert told is not None  # timm has one for every network in its list
        return _as_timm_has_it(told.to_dict())
    from torchvision import models

    return _as_torchvision_has_it(models.get_model_weights(rest).DEFAULT)


def _as_timm_has_it(told: Mapping[str, Any]) -> Preprocessing:
    fit: Any = FITS[told.get("crop_mode") or "center"]
    height, width = told["input_size"][-2:]
    return Preprocessing((height, width), fit, tuple(told["mean"]), tuple(told["std"]))


def _as_torchvision_has_it(weights: Any) -> Preprocessing:
    rule = weights.transforms()
    return Preprocessing((rule.crop_size[0],) * 2, "crop", tuple(rule.mean), tuple(rule.std))


def from_factory(name: str, *, classes: int | None, pretrained: bool | None, settings: Mapping[str, Any]) -> Built:
    """`package.module:factory`: what the function gives, called with `classes` or `num_classes` if it takes one.

    The network may tell the names of its classes in an attribute `classes`, and how it wants images in `preprocessing`.
    Raises KeyError where there is no such function, ValueError where what it gives is no network.
    """
    factory = _function(name)
    takes = inspect.signature(factory).parameters
    given = dict(settings)
    if classes is not None:
        given |= {key: classes for key in ("classes", "num_classes") if key in takes}
    if pretrained is not None:
        if "pretrained" not in takes:
            raise ValueError(f"{name} takes no setting `pretrained`; it decides itself what weights it starts from")
        given["pretrained"] = pretrained
    try:
        inspect.signature(factory).bind(**given)
    except TypeError as error:
        raise ValueError(f"{name} cannot be called with {_listed(given)}: {error}") from error
    module = factory(**given)
    if not isinstance(module, nn.Module):
        raise ValueError(f"{name} gave a {type(module).__name__}; a factory of networks gives a torch.nn.Module")
    told, wanted = getattr(module, "classes", None), getattr(module, "preprocessing", None)
    if wanted is not None and not isinstance(wanted, Preprocessing):
        raise ValueError(f"The network of {name} has a `preprocessing` that is a {type(wanted).__name__}, not ours")
    names = tuple(map(str, told)) if isinstance(told, (list, tuple)) and classes is None else None
    return Built(module, name, dict(settings), wanted, names, bool(pretrained))


def _function(name: str) -> Callable[..., Any]:
    path, _, attribute = name.partition(":")
    try:
        module: ModuleType = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise KeyError(f"No module {path!r} for the network {name!r}: {error}") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        there = [public for public, value in vars(module).items() if callable(value) and not public.startswith("_")]
        raise KeyError(f"{path} has no function {attribute!r}. {nearest(attribute, there)}")
    return factory


def _exchange_head(module: nn.Module, classes: int, name: str) -> None:
    """A new last linear layer, with so many outputs."""
    linear = [(place, layer) for place, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ValueError(f"torchvision:{name} ends in no linear layer, so that it cannot be given new classes")
    place, layer = linear[-1]
    owner, _, attribute = place.rpartition(".")
    setattr(module.get_submodule(owner), attribute, nn.Linear(layer.in_features, classes, bias=layer.bias is not None))


@contextmanager
def _fetching(name: str, pretrained: bool) -> Iterator[None]:
    """Weights only, never code, from a checkpoint that is fetched; and one kind of error where it cannot be had."""
    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    except TypeError as error:
        raise ValueError(f"{name} cannot be built so: {error}") from error
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise OSError(
            f"The weights of {name} could not be had: {str(error).strip() or type(error).__name__}. They are fetched "
            f"from the internet, once; lite0 has weights that are installed already."
        ) from error
    finally:
        if before is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


def _imagenet_names(count: int) -> tuple[str, ...] | None:
    """The names of ImageNet's subset of so many classes, if there is one."""
    from timm.data import infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": count})
    return None if subset is None else class_names(subset)


def _check(name: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"The network {name!r} takes no setting {setting!r} here. {nearest(setting, known)}"
                f"It takes: {', '.join(known)}."
            )


def _listed(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items()) or "no settings"
