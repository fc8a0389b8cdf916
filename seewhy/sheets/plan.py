"""What goes into a workbook: the steps, where their cells are, the images, and the values that are shown at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64

from seewhy import workbook
from seewhy.sheets import grids
from seewhy.sheets.grids import HEAD, Grid
from seewhy.sheets.steps import IMAGE, Linear, Step
from seewhy.workbook import Book, Sheet

COVER, IMAGES = "Cover", "Images"
LOGITS, SHARES, LOSS, TRAINING = ENDING = ("Logits", "Softmax", "Loss", "Training")
#: Rows and columns of the cover: what is chosen, what comes of it, and the switches of the steps.
CHOSEN_IMAGE, CHOSEN_LABEL, ANSWER, PROBABILITY, LOSS_SHOWN = ((row, 1) for row in (3, 4, 5, 6, 7))
FIRST_STEP = 11
#: The cell of the first of the three readings of the loss.
READINGS = (HEAD, 10)
#: How many weights the sheet of the training step shows at most: each is two formulas.
MOST_TRAINED = 50_000


@dataclass(frozen=True)
class Unit:
    """One number of a network: the value of a step at one place."""

    step: str
    channel: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.step}:{self.channel},{self.row},{self.column}"


@dataclass(frozen=True)
class Picture:
    """An image of the book: its name, its levels from 0 to 255, and the place of its label among the classes, None as
    long as that is what the network will answer."""

    name: str
    levels: Float64[np.ndarray, "3 height width"]
    label: int | None
    label_from: str


@dataclass(frozen=True)
class Plan:
    """All that is written. `values` are those of the first image, by step; `names` the sheet of each step."""

    title: str
    classes: tuple[str, ...]
    steps: tuple[Step, ...]
    grids: Mapping[str, Grid]
    names: Mapping[str, str]
    pictures: tuple[Picture, ...]
    values: Mapping[str, Float64[np.ndarray, "channels height width"]] = field(default_factory=dict)
    unit: Unit | None = None

    def filled_in(
        self, values: Mapping[str, Float64[np.ndarray, "channels height width"]], answers: Sequence[int]
    ) -> Plan:
        """With the values of the first image, and each image's answer as its label where it has none."""
        pairs = zip(self.pictures, answers, strict=True)
        pictures = tuple(replace(one, label=place if one.label is None else one.label) for one, place in pairs)
        return replace(self, values=values, pictures=pictures)

    @property
    def label(self) -> int:
        """The place of the first image's label among the classes."""
        label = self.pictures[0].label
        assert label is not None, "a plan is filled in before it is written"
        return label

    @property
    def last(self) -> Step:
        return self.steps[-1]

    @property
    def several(self) -> bool:
        return len(self.pictures) > 1

    @property
    def trains(self) -> bool:
        """Whether the last layer is one whose step of training is shown."""
        return self.unit is None and isinstance(self.last, Linear) and self.last.weight.numel() <= MOST_TRAINED

    @property
    def sheets(self) -> tuple[str, ...]:
        """The names of all sheets, in order."""
        ending = () if self.unit else ENDING if self.trains else ENDING[:-1]
        images = (IMAGES,) if self.several else ()
        return (COVER, *images, *grids.COLOURS, *(self.names[step.name] for step in self.steps), *ending)

    @property
    def formulas(self) -> int:
        """About how many formulas there are."""
        count = sum(grid.region.cells for name, grid in self.grids.items() if name != IMAGE or self.several)
        return count + (2 * self.last.weight.numel() if self.trains and isinstance(self.last, Linear) else 0)

    def switch(self, step: Step) -> tuple[int, int]:
        """The cell of the cover that switches a step on and off."""
        return FIRST_STEP + self.steps.index(step), 1

    def filled(self, step: str, channel: int) -> Float64[np.ndarray, "rows columns"]:
        """The values of a map's cells."""
        region = self.grids[step].region
        return self.values[step][channel][
            region.rows.start : region.rows.stop, region.columns.start : region.columns.stop
        ]


@dataclass(frozen=True)
class Bound:
    """A plan, and the book it is written into."""

    plan: Plan
    book: Book
    sheets: Mapping[str, Sheet]

    @classmethod
    def begun(cls, plan: Plan) -> Bound:
        book = Book()
        return cls(plan, book, {name: book.sheet(name) for name in plan.sheets})

    def column(self, sheet: str, column: int, count: int) -> str:
        """The first `count` cells below the head of a column, as a formula on any sheet has them."""
        letter = grids.LETTERS[column]
        return f"{workbook.quoted(sheet)}!${letter}${HEAD + 1}:${letter}${HEAD + count}"


def on_cover(cell: tuple[int, int]) -> str:
    """A cell of the cover, as a formula on another sheet has it."""
    return f"{COVER}!{workbook.address(cell, fixed=True)}"


def sheet_names(steps: Sequence[Step]) -> dict[str, str]:
    """A short name for the sheet of each step, for it stands in many formulas."""
    taken: list[str] = [COVER, IMAGES, *grids.COLOURS, *ENDING]
    found = {}
    for number, step in enumerate(steps, start=1):
        found[step.name] = workbook.safe_name(f"{number} {step.word}", taken)
        taken.append(found[step.name])
    return found
