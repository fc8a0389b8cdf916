"""All that a run may be asked, each thing said once: flags, the TOML file, `settings.json` and the docs come from here.

Imports nothing heavy, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from seewhy import shelf
from seewhy.shelf import nearest

POSITIVE = frozenset(
    {"minutes", "epochs", "steps", "batch", "learning_rate", "image_size", "threads", "accumulate", "clip"}
)
NOT_NEGATIVE = frozenset({"mixup", "cutmix", "workers", "keep_checkpoints"})
BELOW_ONE = frozenset({"label_smoothing", "ema"})
UP_TO_ONE = frozenset({"layer_decay", "grow_from"})
UP_TO_TEN = frozenset({"rand_augment"})


def _asked(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is asked to do. None means that it is decided from the data, and said in the report."""

    data: str = _asked(
        "A folder with a sub-folder a class (train/ val/ test/ may stand above), a folder with metadata.csv, a Parquet "
        "file or folder, MNIST-style idx files, a table predictions.csv, `digits`, or `made`.",
        dataclasses.MISSING,
    )
    model: str | None = _asked("Audit this model (see `seewhy predict --help`); without it one is trained first.")
    test: str | None = _asked("A separate test set.")
    groups: tuple[str, ...] | None = _asked("Tags to compare groups by, with commas: sex,scanner. [all tags]")
    unit: str | None = _asked("A tag whose rows belong together, such as patient: they count as one draw, not many.")
    confounders: tuple[str, ...] | None = _asked(
        "Tags to hold alike when asking whether another tag itself makes the network err, with commas: age,site."
    )
    graph: str | None = _asked(
        "What may act on what, from which it follows what to hold alike: 'age -> label; site -> scanner'."
    )
    audits: tuple[str, ...] | None = _asked("Only these audits, with commas. [all]")
    set: Mapping[str, Mapping[str, Any]] | None = _asked(
        "A setting of an audit, such as calibration.bins=20; as often as needed. In a TOML file a table of its name."
    )
    images: bool = _asked("Whether the report may hold pictures.", True)
    network: str | None = _asked(
        "What to train; see `seewhy networks`. With --model: what bare weights belong to, or your own factory again. "
        "[by the images' size and number]"
    )
    classes: tuple[str, ...] | None = _asked(
        "With --model: what its outputs are called, in their order, with commas, or a file with a name a line. "
        "[as the model tells]"
    )
    mapping: tuple[str, ...] | None = _asked(
        "With --model: answer in other classes: cat=tabby,tiger cat,dog=beagle. [its own]"
    )
    pretrained: bool | None = _asked(
        "Start from published weights or from nothing. [from weights where they come along]"
    )
    minutes: float | None = _asked("Train no longer than this. [10 on a CPU, if nothing else is said]")
    epochs: float | None = _asked("Passes over the training images. [by their number]")
    steps: int | None = _asked("Training steps; wins over epochs. With the count a run wrote down, reproduces it.")
    batch: int | None = _asked("Images a training step.")
    accumulate: int | None = _asked("Work each batch off in so many pieces: less memory, the same gradient. [1]")
    learning_rate: float | None = _asked("The largest learning rate; `seewhy lr DATA` suggests one.")
    layer_decay: float | None = _asked("Each block before the answer learns at so much of the next one's rate. [1]")
    optimizer: Literal["adamw", "sgd"] | None = _asked("adamw or sgd.")
    schedule: Literal["cosine", "one-cycle", "constant"] | None = _asked("cosine, one-cycle or constant.")
    weight_decay: float | None = _asked("How strongly weights are pulled to zero.")
    clip: float | None = _asked("The longest gradient; a longer one is shortened to it.")
    ema: float | None = _asked("Validate and keep a moving average of the weights: its decay, such as 0.999. [0: none]")
    rand_augment: float | None = _asked("RandAugment's strength, 0 to 10: two more changes to each training image. [0]")
    mixup: float | None = _asked("Blend pairs of training images: Beta's parameter, such as 0.2. [0: never]")
    cutmix: float | None = _asked("Paste a box of one training image into another: Beta's, such as 1. [0: never]")
    grow_from: float | None = _asked("Begin with images of so much of the side, then grow in 4 steps. [1: full size]")
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = _asked(
        "The numbers that training computes in; auto is bf16 or fp16 on a GPU, else fp32. [auto]"
    )
    compile: bool | None = _asked("Whether to compile the network first: a minute or more, then quicker steps. [no]")
    tta: Literal["none", "flip", "crops"] = _asked(
        "Answer by the mean over views of an image: flip, 2 passes; crops, 10. The model keeps it.", "none"
    )
    tensorboard: bool = _asked("Whether to log for TensorBoard, in the run's folder.", False)
    keep_checkpoints: int = _asked(
        "Keep the weights of so many moments of the training, for `seewhy explain --neighbours`.", 0
    )
    label_smoothing: float = _asked("0 to 1; smoothed labels make a network less sure than it is right.", 0.0)
    class_weights: Literal["none", "balanced"] = _asked("balanced: rare classes weigh more; none.", "none")
    patience: int | None = _asked("Stop after so many epochs without a better validation result. [never]")
    image_size: int | None = _asked("The side, in pixels, that images are fitted to. [by the network and the images]")
    label: str | None = _asked("The column of a table that holds the class.")
    split: Literal["grouped", "random"] = _asked(
        "grouped: look-alikes stay in one split; random: every image for itself.", "grouped"
    )
    split_by: str | None = _asked("A tag whose rows stay in one split, such as patient.")
    allow_outside: bool = _asked("A table may name files outside its own folder.", False)
    seed: int = _asked("Split, first weights, order and augmentation follow from it.", 0)
    device: str = _asked("auto, cpu, cuda, cuda:1, mps.", "auto")
    threads: int | None = _asked("CPU threads. [all]")
    workers: int = field(
        default=0,
        compare=False,  # it changes no result, so a run may be resumed with another number
        metadata={"help": "Processes that decode images; 0: threads do. The same batches either way."},
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Raises ValueError for a setting that does not exist, naming the nearest, and for a value that cannot be."""
        known = kinds()
        of_audits = {name: value for name, value in values.items() if name not in known and isinstance(value, Mapping)}
        values = {name: value for name, value in values.items() if name not in of_audits}
        if of_audits or values.get("set"):
            values["set"] = _of_audits({**(values.get("set") or {}), **of_audits})
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"No setting {name!r}. {nearest(name, known)}There are: {', '.join(known)}.")
            kind, choices = known[name]
            expected: Any = (int, float) if kind is float else (list, tuple) if kind is tuple else kind
            if value is None:
                continue
            if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"Setting {name} is {value!r}; it must be of type {kind.__name__}")
            if choices and value not in choices:
                raise ValueError(
                    f"Setting {name} is {value!r}. {nearest(str(value), choices)}It may be {' or '.join(choices)}."
                )
            if kind is tuple and not all(isinstance(entry, str) for entry in value):
                raise ValueError(f"Setting {name} is {value!r}; it must be a list of names")
            if name in POSITIVE and not 0 < float(value) < math.inf:
                raise ValueError(f"Setting {name} is {value!r}; it must be more than 0")
            if kind is int and not -(2**63) <= value < 2**63:
                raise ValueError(f"Setting {name} is {value!r}; it must fit into 64 bits")
            if name in NOT_NEGATIVE and not 0 <= float(value) < math.inf:
                raise ValueError(f"Setting {name} is {value!r}; it must be at least 0")
            if name in UP_TO_ONE and not 0 < float(value) <= 1:
                raise ValueError(f"Setting {name} is {value!r}; it must be more than 0 and at most 1")
            if name in UP_TO_TEN and not 0 <= float(value) <= 10:
                raise ValueError(f"Setting {name} is {value!r}; it must be at least 0 and at most 10")
            if name in BELOW_ONE and not 0 <= float(value) < 1:
                raise ValueError(f"Setting {name} is {value!r}; it must be at least 0 and less than 1")
        chosen: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**chosen)

    def as_dict(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values."""
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        defaults = {entry.name: entry.default for entry in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != defaults[name]
        }


def class_names(given: Sequence[str]) -> tuple[str, ...]:
    """The names themselves, or those in the one file that is named. Raises ValueError for fewer than two."""
    names = tuple(given)
    if len(names) == 1 and Path(names[0]).is_file():
        lines = Path(names[0]).read_text(encoding="utf-8").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"Setting classes is {', '.join(given)!r}; it must be two different names or more, or their file"
        )
    return names


def class_mapping(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """("cat=tabby", "tiger cat", "dog=beagle") as what each new class stands for; one without = belongs to the one
    before. Raises ValueError where the first has none."""
    groups: dict[str, tuple[str, ...]] = {}
    new = ""
    for entry in given:
        before, found, old = entry.partition("=")
        if not found and not new:
            raise ValueError(f"Setting mapping begins with {entry!r}; it must be like cat=tabby,tiger cat,dog=beagle")
        new, old = (before.strip(), old.strip()) if found else (new, entry)
        groups[new] = (*groups.get(new, ()), old)
    return groups


def _of_audits(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by audit, checked against what each has."""
    found = {}
    for audit, settings in given.items():
        if not isinstance(settings, Mapping):
            raise ValueError(f"The settings of {audit!r} are {settings!r}; they must be names with values")
        found[audit] = shelf.fitting("audits", audit, settings)
    return found


def kinds() -> dict[str, tuple[type, tuple[str, ...]]]:
    """The plain type of each setting (str, int, float, bool, tuple, dict) and its words, where it has but a few."""
    found: dict[str, tuple[type, tuple[str, ...]]] = {}
    for name, hint in get_type_hints(Settings).items():
        options = [option for option in get_args(hint) if option is not type(None)]
        if hint in (str, int, float, bool):
            found[name] = (hint, ())
        elif options and get_origin(options[0]) is Mapping:
            found[name] = (dict, ())
        elif options and all(isinstance(option, str) for option in options):
            found[name] = (str, tuple(options))
        elif options and get_args(options[0]) and isinstance(get_args(options[0])[0], str):
            found[name] = (str, get_args(options[0]))
        else:
            found[name] = (options[0], ()) if options[0] in (str, int, float, bool) else (tuple, ())
    return found


def help_of(name: str) -> str:
    """What a setting is for, as its flag and the docs say it."""
    return next(entry.metadata["help"] for entry in dataclasses.fields(Settings) if entry.name == name)
