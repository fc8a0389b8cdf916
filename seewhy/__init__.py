"""SeeWhy trains a vision network on your images, or takes the one you have, and then questions it.

    import seewhy

    report = seewhy.audit("photos/")            # train, question, report; shows itself in a notebook
    model = seewhy.train("photos/")
    model("cat.jpg").value                      # 'cat'
    seewhy.explain(model, "cat.jpg")["occlusion"].heat["image"]

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["audit", "explain", "export", "load", "neighbours", "sheet", "train"]

if TYPE_CHECKING:
    from seewhy.model import Model
    from seewhy.model.exporting import Exported
    from seewhy.neighbouring import Ranking
    from seewhy.sheets import Written
    from seewhy.types import Explanation, Report


def train(data: Any, *, out: str | Path | None = None, **settings: Any) -> Model:
    """Train a network on images and save it in a run's folder; the settings are those of `seewhy train`.

    `data` is whatever `seewhy audit` takes, or a pair (images, labels) of arrays. Raises ValueError for a setting that
    does not exist, naming the nearest that does.
    """
    from seewhy.settings import Settings
    from seewhy.training import fitting
    from seewhy.types import finished

    named, given = _data(data)
    model, _ = finished(fitting.train(Settings.from_dict({"data": named, **settings}), out=out, data=given))
    return model


def audit(
    data: Any, model: Model | str | Path | None = None, *, out: str | Path | None = None, **settings: Any
) -> Report:
    """Question a model on images; without a model, train one first. The settings are those of `seewhy audit`."""
    from seewhy import auditing
    from seewhy.settings import Settings
    from seewhy.types import finished

    named, given = _data(data)
    loaded = None if isinstance(model, (str, Path)) else model
    reference = model if loaded is None else f"{loaded.name} in memory, {loaded.digest[:12]}"
    chosen = Settings.from_dict({"data": named, "model": None if reference is None else str(reference), **settings})
    said = ", ".join(f"{name}={value!r}" for name, value in chosen.as_dict().items() if name != "data")
    command = f"seewhy.audit({named!r}{', ' if said else ''}{said})"
    report, _ = finished(auditing.audit(chosen, out=out, data=given, model=loaded, command=command))
    return report


def explain(
    model: Model | str | Path,
    image: Any,
    target: str | None = None,
    *,
    methods: list[str] | None = None,
    layer: str | None = None,
    design: str | None = None,
    budget: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Explanation]:
    """Why this answer? Heat over one image by each method; `target` is a class, a layer ("layer3"), a channel of it
    ("layer3:17"), a unit ("layer3:17,4,5": channel, row, column) or "A - B", else the answer given.

    `methods` are names on the shelf, or ["all"]; `layer` is for those that look at one; `design` for those that
    cover parts of the image ("own" or "shared" masks); `budget` is "2 s" or "300 forwards"; `settings` are those of
    single methods, {"lrp_gamma": {"gamma": 1.0}}.
    """
    from seewhy import explaining

    loaded = load(model) if isinstance(model, (str, Path)) else model
    wishes: dict[str, Any] = {"methods": methods, "target": target, "layer": layer, "design": design, "budget": budget}
    explaining.check(loaded, **wishes, chosen=settings)
    return explaining.explain_one(loaded, image, **wishes, chosen=settings)


def neighbours(
    model: Model | str | Path, image: Any, data: Any, target: str | None = None, *, count: int = 5
) -> dict[str, Ranking]:
    """Which training images speak for this answer, and which against it? By "embedding" and by "tracin".

    `data` are the images that the model was trained on; `target` is a class or "A - B", else the answer given. Where
    the model is named by its run, influence goes over the moments that the run kept (`keep_checkpoints`).
    """
    from seewhy import neighbouring
    from seewhy.types import finished

    loaded = load(model) if isinstance(model, (str, Path)) else model
    named, given = _data(data)
    settings = neighbouring.settings_for(str(model) if isinstance(model, (str, Path)) else None, named)
    learnt = finished(neighbouring.learn(loaded, settings, data=given))
    content = Path(image).read_bytes() if isinstance(image, (str, Path)) else None
    asked = loaded(image).value if target is None else target
    return neighbouring.near(learnt, loaded.example(image), asked, count=count, content=content)


def load(
    reference: str | Path,
    *,
    classes: Sequence[str] | None = None,
    network: str | None = None,
    mapping: Mapping[str, str | Sequence[str]] | None = None,
    device: str = "auto",
) -> Model:
    """A saved model or run, a file of weights (`.pt`, safetensors), a network with weights (`lite0`), timm:NAME,
    torchvision:NAME, package.module:factory.

    `classes` names the outputs where nothing else does, in their order; `network` says what bare weights belong to, or
    names your own factory again that a saved model was made with; `mapping` has it answer in other classes,
    {"cat": ["tabby", "tiger cat"], ...}.
    """
    from seewhy.model import Model
    from seewhy.training.choosing import chosen_device

    return Model.resolve(reference, classes=classes, network=network, mapping=mapping, device=chosen_device(device))


def export(model: Model | str | Path, path: str | Path, *, format: str | None = None) -> Exported:
    """Write the model for other programs to run, once what was written answers as the network does.

    The ending of the path says in which format, .onnx, .pt2 or .torchscript, or else `format`.
    """
    from seewhy.model import exporting

    return exporting.export(load(model) if isinstance(model, (str, Path)) else model, path, format=format)


def sheet(
    model: Model | str | Path,
    images: Any,
    path: str | Path,
    *,
    labels: Sequence[str] = (),
    unit: str | None = None,
    size_limit: int = 400_000,
) -> Written:
    """Write the model and one image, or a list of them, as a workbook that computes: each step in formulas.

    `labels` has a class for all images, or for each; `unit`, LAYER:CHANNEL,ROW,COLUMN, leaves in only what that one
    unit of a large network sees; `size_limit` is the most formulas that are written.
    """
    from seewhy import sheets
    from seewhy.images import reading

    several = [images] if reading.is_one(images) else list(images)
    loaded = load(model, device="cpu") if isinstance(model, (str, Path)) else model
    return sheets.sheet(loaded, several, path, labels=labels, unit=unit, size_limit=size_limit)


def _data(data: Any) -> tuple[str, Any]:
    """A name for the data, and the data itself where it is not a place on disk."""
    return (str(data), None) if isinstance(data, (str, Path)) else ("arrays", data)
