"""Networks small enough for a spreadsheet, the same networks in double precision, and where their numbers lie in a book."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openpyxl
import torch
from openpyxl.utils import get_column_letter, range_boundaries
from torch import Tensor, nn

from seewhy import networks
from seewhy.model import Model
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

MEAN, STD = (0.1, 0.4, 0.7), (0.2, 0.3, 0.4)
HOSTILE = ("=1+1", "a/b:c[d]", "'quoted'", "@SUM(A1)", "<b>&", "#N/A", "cat", "cat ", "-1", "\U0001f600")


def small_net(filters: int = 3, side: int = 10, classes: int = 3) -> nn.Sequential:
    """Two convolutions with pooling, two linear layers; with weights of which no channel is silent by itself."""
    torch.manual_seed(4)
    after = (side - 2) // 2 - 2
    return nn.Sequential(
        nn.Conv2d(3, filters, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(filters, filters + 1, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear((filters + 1) * after * after, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, classes),
    )  # fmt: skip


class TinyVGG(nn.Sequential):
    """Four convolutions of ten filters, for images of 64 pixels a side."""

    def __init__(self, classes: int = 10) -> None:
        def block(before: int) -> list[nn.Module]:
            return [nn.Conv2d(before, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 3), nn.ReLU(), nn.MaxPool2d(2)]

        super().__init__(*block(3), *block(10), nn.Flatten(), nn.Linear(1690, classes))


def model_of(
    body: nn.Module, *, side: int = 10, classes: Sequence[str] = ("one", "two", "three"), seed: int = 0
) -> Model:
    """A model whose normalisations have statistics of their own, as after training."""
    torch.manual_seed(seed)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    task = Classify(tuple(classes), Preprocessing((side, side), "squash", MEAN, STD))
    model = Model.assemble(networks.Built(body, "mine", {}, None, None), task)
    model.network.eval()
    return model


def images(count: int, side: int = 10, seed: int = 0) -> list[np.ndarray]:
    """Levels of pixels, height x width x 3."""
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def in_double(model: Model) -> nn.Module:
    return copy.deepcopy(model.network).double().eval()


def levels_of(image: np.ndarray) -> Tensor:
    """As a batch of one, in double precision."""
    return torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]


def probabilities(network: nn.Module, levels: Tensor) -> np.ndarray:
    with torch.no_grad():
        return network(levels / 255).softmax(1)[0].numpy()


class Book:
    """A workbook as a reader sees it, by the names of its cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.formulas = openpyxl.load_workbook(path)
        self.values = openpyxl.load_workbook(path, data_only=True)

    def named(self, name: str) -> tuple[str, str]:
        """The sheet and the range of a name, "B3:C5"."""
        sheet, _, cells = self.formulas.defined_names[name].attr_text.rpartition("!")
        return sheet.strip("'").replace("''", "'"), cells.replace("$", "")

    def shown(self, name: str) -> np.ndarray:
        """The numbers of a named range, as they were written."""
        sheet, cells = self.named(name)
        found = self.values[sheet][cells]
        rows = found if isinstance(found, tuple) else ((found,),)
        return np.array([[cell.value for cell in row] for row in rows], dtype=np.float64)

    def place(self, name: str, row: int = 0, column: int = 0) -> tuple[str, str]:
        """A cell of a named range, counted from its first."""
        sheet, cells = self.named(name)
        left, top, _, _ = range_boundaries(cells)
        return sheet, f"{get_column_letter(left + column)}{top + row}"

    def pixel(self, channel: int, row: int, column: int) -> tuple[str, str]:
        return self.place(("red", "green", "blue")[channel], row, column)

    def row_of(self, sheet: str, label: str) -> int:
        """In which row a label stands in the first column, from 1."""
        return next(cell.row for cell in self.formulas[sheet]["A"] if cell.value == label)

    def kernel(self, step: int, filter: int, channel: int, row: int, column: int, width: int) -> tuple[str, str]:
        """A weight of a convolution whose kernels are so wide."""
        sheet, cells = self.named(f"weights_{step}")
        left, _, _, _ = range_boundaries(cells)
        top = self.row_of(sheet, f"filter {filter}")
        return sheet, f"{get_column_letter(left + channel * (width + 1) + column)}{top + row}"

    def switch(self, step: int, filter: int) -> tuple[str, str]:
        """The switch of a filter; those of a linear layer stand one below the other."""
        sheet, cells = self.named(f"filters_{step}")
        left, top, _, _ = range_boundaries(cells)
        labelled = [cell.row for cell in self.formulas[sheet]["A"] if cell.value == f"filter {filter}"]
        return sheet, f"{get_column_letter(left)}{labelled[0] if labelled else top + filter}"
