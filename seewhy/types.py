"""What flows through SeeWhy: examples, batches, predictions, questions, explanations, findings, a report.

Every other file speaks in these nouns, and this one imports nothing of ours. Two conventions hold everywhere:

* **An image is float32 RGB in [0, 1], 3 x height x width.** Resizing happens in `Task.collate`; normalisation is the
  first layer of the network. So an epsilon, "black = 0" and a transplanted patch mean what they say.
* **A class is its name, never its index.** Indices exist only inside a task and a network's output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Result = TypeVar("Result")

# --------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, eq=False)
class Boxes:
    """Labelled rectangles on one image: corners as (left, top, right, bottom) in pixels, one label each."""

    corners: Float[Tensor, "boxes 4"]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.corners):
            raise ValueError(f"{len(self.corners)} boxes came with {len(self.labels)} labels; each box needs one")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Example:
    """One thing to look at, before any resizing. `target` is in the user's words; None where nobody labelled it."""

    id: str
    inputs: Mapping[str, Any]
    target: Any = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    mask: Bool[Tensor, "height width"] | None = None
    boxes: Boxes | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples stacked by a task's `collate`; a network is called by name, as `network(**batch.inputs)`.

    `targets` is whatever the task's own loss reads (for classification a LongTensor, -1 where unlabelled).
    """

    ids: tuple[str, ...]
    inputs: Mapping[str, Any]
    targets: Any = None
    tags: tuple[Mapping[str, Any], ...] = ()
    masks: Bool[Tensor, "batch height width"] | None = None
    boxes: tuple[Boxes | None, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on `device`."""

        def moved(value: Any) -> Any:
            return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

        inputs = {name: moved(value) for name, value in self.inputs.items()}
        return replace(self, inputs=inputs, targets=moved(self.targets), masks=moved(self.masks))

    def with_inputs(self, **inputs: Any) -> Batch:
        """The same examples with some inputs exchanged: what an intervention returns."""
        return replace(self, inputs={**self.inputs, **inputs})

    def rows(self, index: Sequence[int]) -> Batch:
        """The examples at these places, in this order; a place may come more than once."""

        def chosen(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value[torch.as_tensor(index, device=value.device)]
            return type(value)(value[i] for i in index) if isinstance(value, (list, tuple)) and value else value

        return Batch(
            ids=chosen(self.ids),
            inputs={name: chosen(value) for name, value in self.inputs.items()},
            targets=chosen(self.targets),
            tags=chosen(self.tags),
            masks=chosen(self.masks),
            boxes=chosen(self.boxes),
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the data: a stable code, where, in plain words what, and how many bytes it concerns."""

    code: str
    where: str
    what: str
    size: int = 0


@runtime_checkable
class Source(Protocol):
    """Where rows come from. It can be pickled, so that worker processes can hold one; it never writes.

    One whose `content` is an image file, so that `pixels` is `decoding.decode` of it, says so by a further method,
    `file_name(row) -> str`; a scan then decodes it in a process of its own.
    """

    def content(self, row: int) -> bytes:
        """The stored bytes of a row's image, before decoding: what is hashed and what duplicates are judged by."""

    def pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The decoded RGB image. Raises ValueError with a plain sentence if it cannot be decoded."""

    def mask(self, row: int) -> Bool[np.ndarray, "height width"] | None:
        """Where the object is, if the data says so."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows that are known before a single pixel is decoded; `dataset[i]` decodes one Example.

    `splits` holds "train", "val", "test" or None a row (None: not decided by the data). `tags` are columns. `problems`
    is what was noticed on opening. A user's files are only ever read.
    """

    name: str
    source: Source
    ids: tuple[str, ...]
    targets: tuple[Any, ...]
    classes: tuple[str, ...]
    rows: Int[np.ndarray, " rows"]
    tags: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    splits: tuple[str | None, ...] = ()
    boxes: tuple[Boxes | None, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        columns = {"targets": self.targets, "rows": self.rows, **self.tags}
        columns |= {name: value for name, value in (("splits", self.splits), ("boxes", self.boxes)) if value}
        for name, column in columns.items():
            if len(column) != len(self.ids):
                raise ValueError(f"Column {name!r} of {self.name!r} has {len(column)} entries for {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels(index)))
        mask = self.source.mask(int(self.rows[index]))
        return Example(
            id=self.ids[index],
            inputs={"image": pixels.permute(2, 0, 1).float().div_(255)},  # 3, height, width in [0, 1]
            target=self.targets[index],
            tags={name: column[index] for name, column in self.tags.items()},
            mask=None if mask is None else torch.from_numpy(mask),
            boxes=self.boxes[index] if self.boxes else None,
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    def pixels(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """The decoded image as bytes, for whoever keeps many of them."""
        return self.source.pixels(int(self.rows[index]))

    def content(self, index: int) -> bytes:
        """The stored bytes of the image."""
        return self.source.content(int(self.rows[index]))

    def file_name(self, index: int) -> str | None:
        """What the image file is called whose bytes `content` gives, so that whoever likes may decode them elsewhere;
        None where the source says nothing of files: then only its `pixels` knows how."""
        named = getattr(self.source, "file_name", None)
        return None if named is None else named(int(self.rows[index]))

    def subset(self, index: Sequence[int] | Int[np.ndarray, " chosen"]) -> Dataset:
        """The rows at these places, in this order; classes stay, so that a missing one shifts no other."""
        places = [int(place) for place in index]

        def pick(column: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(column[place] for place in places)

        return replace(
            self,
            ids=pick(self.ids),
            targets=pick(self.targets),
            rows=self.rows[np.asarray(places, dtype=np.int64)],
            tags={name: pick(column) for name, column in self.tags.items()},
            splits=pick(self.splits) if self.splits else (),
            boxes=pick(self.boxes) if self.boxes else (),
        )

    def split(self, name: str) -> Dataset:
        """The rows of one split."""
        return self.subset([index for index, split in enumerate(self.splits) if split == name])


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes a network's input: fitted to `size` (height, width), then (x - mean) / std a channel.

    `fit`: "crop" scales the short side and cuts the centre, "squash" ignores the aspect ratio, "pad" adds black bars.
    The normalisation is done by the network's first layer, not by the loader.
    """

    size: tuple[int, int]
    fit: Literal["crop", "squash", "pad"] = "crop"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


# ------------------------------------------------------------------------------------- asking and answering


@dataclass(frozen=True, eq=False)
class Question:
    """Something to ask of a network: `score` gives one number an example, in logits or log-odds.

    What Captum calls a target and Lucid an objective: a label's logit, a box's score, a sentence's log-odds, a neuron's
    activation. Logits, because a probability stands still near 1. With `at`, the score is read from the activation of
    the layer of that name instead of from the network's output. A question may hold one answer an example; then it
    speaks of the batch it was made for, row by row.

    Questions are values: `cat - dog` is a question too, and its text says "cat rather than dog".
    """

    text: str
    score: Callable[[Any], Float[Tensor, " batch"]]
    at: str | None = None

    def __sub__(self, other: Question) -> Question:
        return self._with(other, f"{self.text} rather than {other.text}", -1.0)

    def __add__(self, other: Question) -> Question:
        return self._with(other, f"{self.text} and {other.text}", 1.0)

    def __mul__(self, weight: float) -> Question:
        return replace(self, text=f"{weight:g} x {self.text}", score=lambda output: weight * self.score(output))

    __rmul__ = __mul__

    def __neg__(self) -> Question:
        return replace(self, text=f"not {self.text}", score=lambda output: -self.score(output))

    def _with(self, other: Question, text: str, sign: float) -> Question:
        if self.at != other.at:
            here, there = (question.at or "the output" for question in (self, other))
            raise ValueError(f"{self.text!r} is asked at {here} and {other.text!r} at {there}; ask both at one place")
        return Question(text, lambda output: self.score(output) + sign * other.score(output), self.at)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of an answer: a box, a mask or a word, with how sure the network was of it."""

    kind: Literal["box", "mask", "word"]
    label: str
    confidence: float = math.nan
    right: float = math.nan
    corners: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network said of one example, in the user's words. `top` is the few likeliest with their probabilities."""

    value: Any
    confidence: float = math.nan
    top: tuple[tuple[str, float], ...] = ()
    parts: tuple[Part, ...] = ()


@runtime_checkable
class Task(Protocol):
    """What a network is for. Five small functions; the loop is somewhere else."""

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack examples into what the network eats, fitted to `preprocessing.size`."""

    def loss(self, output: Any, batch: Batch) -> Float[Tensor, " batch"] | None:
        """How wrong, one number an EXAMPLE: the loop takes the mean, the table keeps each. None where meaningless."""

    def objective(self, output: Any, batch: Batch) -> Float[Tensor, ""]:
        """The scalar that training lowers; the mean of `loss` unless a task says otherwise."""

    def decode(self, output: Any) -> list[Answer]:
        """Read the output as answers, one an example, in the user's words."""

    def logodds_true(self, output: Any, batch: Batch) -> Float[Tensor, " batch"] | None:
        """log(p / (1 - p)) of the true answer, one number an example; None where the task has no such probability."""

    def log_probabilities(self, output: Any) -> Float[Tensor, "batch classes"] | None:
        """Natural logarithms of all classes' probabilities; None where an answer is not one of the classes."""

    def right(self, answer: Answer, target: Any) -> float:
        """0 wrong to 1 right; nothing to find and nothing found is 1."""

    def question(self, answers: Any) -> Question:
        """Ask about an answer: one for all examples, or a list with one an example."""

    def prepare(self, batch: Batch, answers: Any) -> Batch:
        """Ready the inputs for a question (teacher forcing); the same batch where there is nothing to do."""


# ---------------------------------------------------------------------------------------------- predictions

#: The columns of Predictions; a tag named `scanner` stands in a further column `tag:scanner`.
PREDICTION_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),  # "" is the baseline; otherwise which change was made, such as "background:plain"
        ("target", pa.string()),
        ("answer", pa.string()),
        ("confidence", pa.float32()),  # probability of the answer given
        ("right", pa.float32()),  # 0 wrong to 1 right
        ("logodds_true", pa.float32()),
        ("loss", pa.float32()),
        ("top_answers", pa.list_(pa.string())),
        ("top_probabilities", pa.list_(pa.float32())),
    ]
)

#: The child table: one row a box, mask or word of an answer.
PART_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("part", pa.int32()),
        ("kind", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("right", pa.float32()),
        ("left", pa.float32()),
        ("top", pa.float32()),
        ("right_edge", pa.float32()),
        ("bottom", pa.float32()),
    ]
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network said, one row an example and condition; what every audit reads.

    `table` has PREDICTION_COLUMNS and a column `tag:NAME` a tag. Columns that a user's own table lacks hold nulls.
    `log_probabilities` (rows x classes) and `embeddings` (rows x width), both float16, stand beside the baseline only.
    """

    table: pa.Table
    classes: tuple[str, ...] = ()
    parts: pa.Table | None = None
    log_probabilities: Float[np.ndarray, "rows classes"] | None = None
    embeddings: Float[np.ndarray, "rows width"] | None = None

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {}

    def __getitem__(self, column: str) -> np.ndarray:
        """A column as an array: strings as objects, numbers as float64 with NaN for null."""
        if column not in self._columns:
            if column not in self.table.column_names:
                raise KeyError(f"Predictions have no column {column!r}; there are {', '.join(self.table.column_names)}")
            values = self.table.column(column)
            numeric = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
            array = values.to_numpy(zero_copy_only=False)
            self._columns[column] = array.astype(np.float64) if numeric else array.astype(object)
        return self._columns[column]

    def has(self, column: str) -> bool:
        """Whether the column is there and holds anything but nulls."""
        return column in self.table.column_names and self.table.column(column).null_count < len(self)

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the tags."""
        return tuple(name.removeprefix("tag:") for name in self.table.column_names if name.startswith("tag:"))

    def by(self, column: str) -> dict[str, Int[np.ndarray, " rows"]]:
        """Row numbers by the column's value, in order of value; rows without a value are under "(missing)"."""
        values = self[column]
        missing = np.array([value is None or value != value for value in values], dtype=bool)  # NaN differs from itself
        names, place = np.unique(np.where(missing, "(missing)", values.astype(str)), return_inverse=True)
        rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place, minlength=len(names)))[:-1])
        return dict(zip(names.tolist(), rows, strict=True)) if len(names) else {}

    def where(self, rows: Sequence[int] | np.ndarray) -> Predictions:
        """Some of the rows, by number or by a boolean for each."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)

        def beside(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[index]

        return Predictions(
            self.table.take(pa.array(index)),
            self.classes,
            self.parts,
            beside(self.log_probabilities),
            beside(self.embeddings),
        )

    def condition(self, name: str = "") -> Predictions:
        """The rows made under one condition; "" is the baseline."""
        return self.where(self["condition"] == name)


# ------------------------------------------------------------------------------------- findings and a report


@dataclass(frozen=True)
class Explanation:
    """Where a network looks to answer a question: heat over each input of one example, and what it cost.

    `heat` may be signed: positive speaks for the answer. `passes` are forward and backward runs of the whole network
    an example. `faithfulness` is None until something measured it.
    """

    id: str
    question: str
    method: str
    heat: Mapping[str, Float[np.ndarray, "height width"]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    passes: float = 0.0
    faithfulness: Mapping[str, float] | None = None


Pillar = Literal["performance", "see", "cause", "fair", "mistakes", "data"]
Severity = Literal["none", "minor", "moderate", "serious", "critical"]
PILLARS: tuple[Pillar, ...] = ("performance", "see", "cause", "fair", "mistakes", "data")
SEVERITIES: tuple[Severity, ...] = ("none", "minor", "moderate", "serious", "critical")


@dataclass(frozen=True)
class Finding:
    """One thing that was found, or looked for and not found, or could not be looked for: a sentence with its number.

    `found` is True, False, or None when the audit could not run. `low` and `high` bound `value` at `confidence_level`.
    `evidence` says what an export may draw, as plain JSON: each entry has a `kind` of "bars", "matrix", "curve",
    "table", "examples" or "explanations" (docs/findings.md). NaN becomes null on the way to JSON.
    """

    id: str
    audit: str
    pillar: Pillar
    statement: str
    found: bool | None = None
    value: float | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    confidence_level: float | None = None
    n: int | None = None
    severity: Severity = "none"
    examples: tuple[str, ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    doubts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    source: str = ""
    mitigation: str | None = None

    def __post_init__(self) -> None:
        if self.pillar not in PILLARS:
            raise ValueError(f"Finding {self.id!r} has pillar {self.pillar!r}; there are {', '.join(PILLARS)}")
        if self.severity not in SEVERITIES:
            raise ValueError(f"Finding {self.id!r} has severity {self.severity!r}; there are {', '.join(SEVERITIES)}")
        if not self.id.startswith(f"{self.audit}:"):
            raise ValueError(f"Finding {self.id!r} of audit {self.audit!r} must be named '{self.audit}:subject'")

    def as_json(self) -> dict[str, Any]:
        """Plain values only, in the documented order; NaN and infinities are None."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """The inverse of `as_json`; keys that a newer version wrote are ignored."""
        known = {entry.name for entry in fields(cls)}
        values: dict[str, Any] = {name: value for name, value in data.items() if name in known}
        for name in {"examples", "evidence", "doubts"} & values.keys():
            values[name] = tuple(values[name])
        return cls(**values)


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, Tensor)):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def picture_key(id: str, condition: str = "") -> str:
    """The name of a thumbnail: of an example as it is, or as it was changed under a condition."""
    return f"{condition} of {id}" if condition else id


@dataclass(frozen=True, eq=False)
class Report:
    """A run's facts and its findings, most severe first.

    `images` are the thumbnails (uint8, height x width x 3) of the examples that findings name, by `picture_key`;
    `explanations` the pictures' heat. Both may be empty: a report without images loses pictures, never findings.
    """

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]
    explanations: tuple[Explanation, ...] = ()
    images: Mapping[str, UInt8[np.ndarray, "height width 3"]] = field(default_factory=dict)
    render: Callable[[Report], str] | None = None

    def __post_init__(self) -> None:
        order = {name: place for place, name in enumerate(PILLARS)}
        ranked = sorted(self.findings, key=lambda finding: (-SEVERITIES.index(finding.severity), order[finding.pillar]))
        object.__setattr__(self, "findings", tuple(ranked))

    def __getitem__(self, id: str) -> Finding:
        for finding in self.findings:
            if finding.id == id:
                return finding
        raise KeyError(f"No finding {id!r}; there are {', '.join(finding.id for finding in self.findings)}")

    def __contains__(self, id: str) -> bool:
        return any(finding.id == id for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The documented JSON of a report, less the version that `exports.json` adds."""
        return {"run": _plain(self.facts), "findings": [finding.as_json() for finding in self.findings]}

    def _repr_html_(self) -> str | None:
        return self.render(self) if self.render else None


# --------------------------------------------------------------------------------- what is asked of the planner


@dataclass(frozen=True)
class Need:
    """A table that an audit asks the planner for: its name, and the settings it is to be made with.

    `Need("baseline")` is the audited split, `Need("baseline", split="val")` another.
    """

    table: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __init__(self, table: str, **settings: Any) -> None:
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "settings", tuple(sorted(settings.items())))

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings)
        return f"{self.table}({settings})" if settings else self.table


@dataclass(frozen=True, eq=False)
class Tables:
    """What the planner hands an audit: `tables.baseline`, or `tables[Need("baseline", split="val")]`.

    `absent` tells why a table that was asked for could not be had; an audit that can do without looks there.
    """

    made: Mapping[Need, Any]
    classes: tuple[str, ...] = ()
    split: str = "test"
    seed: int = 0
    absent: Mapping[Need, str] = field(default_factory=dict)

    def __getitem__(self, need: Need) -> Any:
        if need not in self.made:
            raise KeyError(f"The table {need} was not asked for in `needs`; there are {', '.join(map(str, self.made))}")
        return self.made[need]

    def __contains__(self, need: Need) -> bool:
        return need in self.made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[Need(name)]


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found out about the files before the first step, one row an example of the data set.

    `files` has the columns id, split, target, bytes, sha256, width, height. `same` and `near` are groups of two or more
    ids whose images are equal, or so alike that they must not stand on both sides of a split. `quarantine` are those of
    the problems for which a file is left out, one a file.
    """

    files: pa.Table
    problems: tuple[Problem, ...] = ()
    same: tuple[tuple[str, ...], ...] = ()
    near: tuple[tuple[str, ...], ...] = ()
    quarantine: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's tensors by name, for one that is remembered as a table."""

    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
    """What just happened in long work, and how far it is. Whoever iterates decides what to do with it."""

    stage: str
    done: int
    total: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def finished(work: Generator[Any, None, Result]) -> Result:
    """What long work returns at its end, for whoever does not ask how far it is."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
