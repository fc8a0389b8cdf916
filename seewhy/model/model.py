"""A network with all it takes to use it: task, classes, preprocessing, where it comes from; on disk and back.

    model = Model.resolve("runs/photos")            # or weights.pt, lite0, timm:resnet18, package.module:factory
    model("cat.jpg").value                          # 'cat'
    model.subset({"cat": ["tabby", "tiger cat"], "dog": "beagle"})
    model.save("mine")                              # weights.safetensors + model.json

A model that is read from a file runs no code of the file's choosing: the file names a network of the shelf, of timm or
of torchvision, with plain settings, and brings tensors. A network made by a user's own function is built again only if
the caller names that function.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from seewhy import hooks, networks, shelf
from seewhy.images import reading
from seewhy.model import manifest
from seewhy.model.normalised import Merge, Normalised
from seewhy.model.views import Views
from seewhy.storage.files import sha256
from seewhy.types import Answer, Example, Preprocessing, Task

#: Where a run keeps its model.
IN_RUN = "model"
#: What a network is taken to want that does not say: photos in [0, 1], which it normalises itself.
UNTOLD = Preprocessing(size=(224, 224), fit="crop", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Model:
    """A network that answers, and how it came about.

    `name` and `settings` find its network again. `outputs` are the classes of the network's own head, in order;
    `mapping` says which of them each class stands for, None where classes and outputs are the same. The weights of a
    Model do not change once its `digest` has been asked for.
    """

    network: Normalised
    task: Task
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    mapping: Mapping[str, tuple[str, ...]] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.task.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes its input."""
        return self.task.preprocessing

    @property
    def views(self) -> Views:
        """In which ways it sees each image."""
        return self.network.views

    # ------------------------------------------------------------------------------------------------ making

    @classmethod
    def assemble(cls, built: networks.Built, task: Task, provenance: Mapping[str, Any] | None = None) -> Model:
        """A network from `networks.find` and a task make a model. Raises ValueError where their classes differ."""
        if built.class_names is not None and built.class_names != task.classes:
            raise ValueError(
                _both(f"{built.name} and the task differ in their classes", built.class_names, task.classes)
            )
        network = Normalised(built.module, task.preprocessing.mean, task.preprocessing.std)
        if _is_factory(built.name):
            _check_outputs(network, task, built.name)
        return cls(network, task, built.name, built.settings, task.classes, provenance=dict(provenance or {}))

    @classmethod
    def resolve(
        cls,
        reference: str | Path,
        *,
        classes: Sequence[str] | None = None,
        network: str | None = None,
        mapping: Mapping[str, str | Sequence[str]] | None = None,
        device: str | torch.device = "cpu",
    ) -> Model:
        """The model that a person names: a saved folder, a run's folder, a file of bare weights (`.pt`, safetensors),
        a network of the shelf that has weights (`lite0`), `timm:NAME`, `torchvision:NAME` (whose weights may be
        fetched), or `package.module:factory`.

        `classes` names the outputs of a network that does not tell them itself, `network` the one that bare weights
        belong to, or the user's own that a saved model was made with. With `mapping` it answers in other classes, as
        `subset` has it. Raises KeyError for a name that does not exist, ValueError for a folder without a model, for
        weights that fit no network, and for a network without weights or names.
        """
        model = cls._resolve(Path(reference), str(reference), classes, network)
        model = model if mapping is None else model.subset(mapping)
        model.network.eval().to(_device(device))
        return model

    @classmethod
    def _resolve(cls, place: Path, reference: str, classes: Sequence[str] | None, network: str | None) -> Model:
        for folder in (place, place / IN_RUN):
            if (folder / manifest.MANIFEST).is_file():
                model = cls.load(folder, network=network)
                if classes is not None and tuple(classes) != model.classes:
                    raise ValueError(_both(f"The model in {folder} has other classes", model.classes, classes))
                return model
        if place.is_dir():
            raise ValueError(
                f"{place} holds no model: a saved model has a {manifest.MANIFEST}, a run has one in {IN_RUN}/"
            )
        if place.is_file():
            return cls._of_weights(place, classes, network)
        if network is not None:
            raise ValueError(f"{reference} is itself a network, so that {network!r} is one too many")
        built = _with_weights(reference, classes)
        names = built.class_names if classes is None else tuple(classes)
        if names is None:
            raise ValueError(f"{reference} does not tell the names of its classes; give them with `classes`")
        return cls.assemble(built, _task("classify", names, built.preprocessing or UNTOLD))

    @classmethod
    def _of_weights(cls, path: Path, classes: Sequence[str] | None, network: str | None) -> Model:
        """Bare weights, with what had to be assumed in the provenance."""
        built, assumed = networks.from_weights(path, name=network, classes=None if classes is None else len(classes))
        if classes is None and built.class_names is None:
            raise ValueError(
                f"{path} does not tell the names of its classes, and no order of them is guessed; give them in the "
                "order of its outputs with `classes`"
            )
        task = _task("classify", tuple(classes or built.class_names or ()), built.preprocessing or UNTOLD)
        if classes is not None:
            built, assumed = replace(built, class_names=None), tuple(one for one in assumed if "ImageNet's" not in one)
        told = {"weights": path.name, "weights_sha256": sha256(path), "assumed": list(assumed)}
        model = cls.assemble(built, task, told)
        _check_outputs(model.network, task, f"The network in {path}")
        return model

    def subset(self, mapping: Mapping[str, str | Sequence[str]]) -> Model:
        """The same network answering in other classes, each standing for one or several of the present ones.

        Probabilities are summed over what a class stands for and shared out among the new classes alone. Raises
        KeyError for a present class that does not exist, ValueError for one that is given to two new ones and where
        fewer than two new ones are named.
        """
        groups = {new: (old,) if isinstance(old, str) else tuple(old) for new, old in mapping.items()}
        _check_groups(groups, self.classes)
        if self.mapping is not None:
            groups = {new: tuple(name for one in old for name in self.mapping[one]) for new, old in groups.items()}
        place = {name: index for index, name in enumerate(self.outputs)}
        merge = Merge([[place[name] for name in group] for group in groups.values()])
        task = _task(self.task.name, tuple(groups), self.preprocessing)
        network = self._around_body(merge, self.views)
        return Model(network, task, self.name, self.settings, self.outputs, groups, dict(self.provenance))

    def seeing(self, views: str) -> Model:
        """The same network answering by the mean over several views of an image: none, flip (2), crops (10 passes).

        Raises ValueError for views that do not exist.
        """
        for known in get_args(Views):
            if views == known:
                network = self._around_body(self.network.merge, known)
                return replace(self, network=network, provenance={**self.provenance, "views": known})
        near = shelf.nearest(views, get_args(Views))
        raise ValueError(f"No views {views!r}. {near}There are: {', '.join(get_args(Views))}.")

    def holding(self, weights: Mapping[str, Tensor]) -> Model:
        """The same network with other weights of its body, as it was at another moment of its training.

        Raises ValueError where they do not fit.
        """
        body = copy.deepcopy(self.network.body)
        manifest.check_fit(body, weights, Path("the weights"))
        body.load_state_dict(weights)
        network = Normalised(body, self.preprocessing.mean, self.preprocessing.std, self.network.merge, self.views)
        return replace(self, network=network.eval().to(self.network.mean.device))

    def _around_body(self, merge: nn.Module | None, views: Views) -> Normalised:
        """The same body, which keeps the modes it has, where it is."""
        network = Normalised(self.network.body, self.preprocessing.mean, self.preprocessing.std, merge, views)
        network.training = self.network.training
        return network.to(self.network.mean.device)

    # ----------------------------------------------------------------------------------------------- answering

    def __call__(self, images: Any, *, batch: int = 32) -> Any:
        """The Answer to one image, or a list of them for several.

        An image is a path, a PIL image, an array or a tensor (see `reading.read`); several are a list of such, or an
        array or tensor with one axis more. Raises FileNotFoundError or ValueError for what cannot be read.
        """
        if reading.is_one(images):
            return self._answers([self.example(images)])[0]
        examples = (self.example(image, id=str(row)) for row, image in enumerate(images))
        return [answer for chunk in _chunks(examples, batch) for answer in self._answers(chunk)]

    def answers(
        self, paths: Iterable[str | Path], *, batch: int = 32
    ) -> tuple[list[tuple[Path, Answer]], list[tuple[Path, str]]]:
        """Answers to image files, and beside them the files that cannot be read, each with the reason."""
        answered: list[tuple[Path, Answer]] = []
        failed: list[tuple[Path, str]] = []
        for chunk in _chunks(map(Path, paths), batch):
            readable: list[tuple[Path, Example]] = []
            for path in chunk:
                try:
                    readable.append((path, self.example(path)))
                except (OSError, ValueError) as error:
                    failed.append((path, str(error)))
            if readable:
                found = self._answers([example for _, example in readable])
                answered += [(path, answer) for (path, _), answer in zip(readable, found, strict=True)]
        return answered, failed

    def example(self, image: Any, *, id: str = "image") -> Example:
        """One image, given in any of the ways of a call, as an Example; a path is its own id."""
        named = str(image) if isinstance(image, (str, Path)) else id
        return Example(named, {"image": reading.read(image)})

    def _answers(self, examples: Sequence[Example]) -> list[Answer]:
        batch = self.task.collate(examples).to(self.network.mean.device)
        with hooks.frozen(self.network), torch.inference_mode():
            return self.task.decode(self.network(**batch.inputs))

    # ------------------------------------------------------------------------------------------------- on disk

    @cached_property
    def digest(self) -> str:
        """One name for all that decides an answer: weights, architecture, classes, preprocessing."""
        digest = hashlib.sha256(json.dumps(self._described(), sort_keys=True).encode())
        digest.update(repr(self.network).encode())
        for name, value in sorted(self.network.body.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder, each file whole or not at all; returns the folder."""
        described = {"seewhy": version("seewhy"), **self._described(), "provenance": self.provenance}
        manifest.write(Path(folder), described, self.network.body)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, *, network: str | None = None, device: str | torch.device = "cpu") -> Model:
        """What `save` wrote. `network` is the `package.module:factory` of a network that only a user's code can build.

        Raises FileNotFoundError where there is no model, ValueError where the files are damaged, name code to import,
        or do not fit each other, KeyError where they name a network or a task that does not exist here.
        """
        told = manifest.Manifest.read(Path(folder))
        outputs, settings, name = told.names("outputs"), told.settings(), told.entry("network", str)
        if network is not None and network != name and not (_is_factory(name) and _is_factory(network)):
            raise ValueError(f"The model in {folder} is a {name}, not a {network}")
        if network is None and _is_factory(name):
            raise ValueError(
                f"The model in {folder} was made by {name!r}. No file decides what is imported: if you trust that "
                f"code, name it yourself: --network {name}, or network={name!r}."
            )
        name = network or name
        state = told.weights()
        if not _is_factory(name):
            _check_built(name, len(outputs), settings, state, told.path)
        built = networks.find(name, classes=len(outputs), pretrained=None if _is_factory(name) else False, **settings)
        manifest.check_fit(built.module, state, told.path)
        built.module.load_state_dict(state)
        task = _task(told.entry("task", str), outputs, told.preprocessing())
        body = Normalised(built.module, task.preprocessing.mean, task.preprocessing.std)
        model = cls(body, task, name, settings, outputs, provenance=told.provenance())
        model.network.eval().to(_device(device))
        mapping = told.mapping()
        model = model if mapping is None else model.subset(mapping)
        return model if told.views() == "none" else model.seeing(told.views())

    def _described(self) -> dict[str, Any]:
        """All but the weights and the past, in plain values."""
        fitted = self.preprocessing
        return {
            "network": self.name,
            "settings": dict(self.settings),
            "task": self.task.name,
            "outputs": list(self.outputs),
            "mapping": None if self.mapping is None else {new: list(old) for new, old in self.mapping.items()},
            "views": self.views,
            "preprocessing": {
                "size": list(fitted.size),
                "fit": fitted.fit,
                "mean": list(fitted.mean),
                "std": list(fitted.std),
            },
        }


def _check_built(name: str, classes: int, settings: Mapping[str, Any], state: Mapping[str, Tensor], path: Path) -> None:
    """Raises ValueError unless these settings make a network for these weights; found out without memory, since a few
    digits in a file could ask for any amount of it."""
    try:
        with torch.device("meta"):
            planned = networks.find(name, classes=classes, pretrained=False, **settings).module
    except NotImplementedError:  # a few of torchvision cannot be planned so; their settings change no size
        return
    except (TypeError, ArithmeticError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        if isinstance(error, KeyError):  # a name that does not exist, told with the nearest
            raise
        raise ValueError(f"{path}: {name} cannot be built with {dict(settings)}: {error}") from error
    manifest.check_fit(planned, state, path)


def _with_weights(reference: str, classes: Sequence[str] | None) -> networks.Built:
    """A network that already knows something, by its name; only a user's own function is told how many classes."""
    if _is_factory(reference):
        return networks.find(reference, classes=None if classes is None else len(classes))
    if ":" in reference:
        return networks.find(reference, pretrained=True)
    having = networks.with_weights()
    if reference in having:
        return networks.find(reference, pretrained=True)
    if reference in networks.names():
        raise ValueError(
            f"The network {reference!r} has no weights of its own: train it (seewhy train DATA --network {reference}) "
            "and give the run's folder"
        )
    raise KeyError(
        f"No model {reference!r}: there is no such folder, and no network of that name. "
        f"{shelf.nearest(reference, having)}There are: {', '.join(having)}; and timm:NAME, torchvision:NAME, "
        "package.module:factory."
    )


def _is_factory(name: str) -> bool:
    """Whether the name is that of a user's own function, `package.module:factory`."""
    return ":" in name and name.partition(":")[0] not in ("timm", "torchvision")


def _task(name: str, classes: Sequence[str], preprocessing: Preprocessing) -> Task:
    """A task of the shelf; a dotted path, which would import whatever it names, is none."""
    known = shelf.members("tasks")
    if name not in known:
        raise KeyError(f"No task {name!r}. {shelf.nearest(name, known)}There are: {', '.join(known)}.")
    return getattr(shelf.load("tasks", name), name.title().replace("_", ""))(classes, preprocessing)


def _check_outputs(network: Normalised, task: Task, name: str) -> None:
    """One black image through a network that is not ours: it must put out one number a class."""
    with hooks.frozen(network), torch.inference_mode():
        output = network(torch.zeros(1, 3, *task.preprocessing.size))
    if not isinstance(output, Tensor) or output.shape != (1, len(task.classes)):
        what = f"{tuple(output.shape[1:])} an image" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise ValueError(f"{name} puts out {what} for the {len(task.classes)} classes {_shown(task.classes)}")


def _check_groups(groups: Mapping[str, tuple[str, ...]], present: Sequence[str]) -> None:
    """Raises unless every present class that is named exists and is named once."""
    if len(groups) < 2:
        raise ValueError(f"A model answers in two classes or more; named: {_shown(tuple(groups)) or 'none'}")
    used: dict[str, str] = {}
    for new, old in groups.items():
        if not old:
            raise ValueError(f"The class {new!r} stands for nothing; the network has {_shown(present)}")
        for name in old:
            if name not in present:
                raise KeyError(
                    f"{new!r} is to stand for {name!r}, which the network does not have. "
                    f"{shelf.nearest(name, present)}It has {_shown(present)}; asked for: {_shown(tuple(groups))}."
                )
            if name in used:
                raise ValueError(f"{name!r} of the network is given to {used[name]!r} and again to {new!r}")
            used[name] = new


def _both(what: str, ours: Sequence[str], theirs: Sequence[str]) -> str:
    return f"{what}: {_shown(ours)} against {_shown(theirs)}"


def _shown(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _device(device: str | torch.device) -> torch.device:
    """`auto` is the accelerator if there is one, else the CPU."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    return torch.device(device)


def _chunks(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
