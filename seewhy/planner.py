"""The tables that audits ask for: each made once, kept under a key that holds all it depends on, or refused with why.

So a second audit of the same model computes nothing, and a change of weights, data, split, seed, threads or code finds
no stale table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from seewhy import chance, explaining, fitting, imaging, ranks, shelf, splitting, statistics
from seewhy.cache import Cache
from seewhy.files import fingerprint, sha256
from seewhy.fitting import Material
from seewhy.loading import Loader
from seewhy.model import Model
from seewhy.predicting import column_of, predict
from seewhy.settings import Settings
from seewhy.types import PREDICTION_COLUMNS, Dataset, Explanation, Need, Predictions, Progress, Scan


class Unavailable(Exception):
    """A table that cannot be made here; its text says why, in the user's words."""


@dataclass(eq=False)
class Planner:
    """Makes tables by need. Without a model or images it has only the tables it was given."""

    settings: Settings
    cache: Cache
    given: Mapping[Need, Any]
    material: Material | None = None
    model: Model | None = None
    log: Sequence[Mapping[str, Any]] = ()

    def make(self, need: Need) -> Generator[Progress, None, Any]:
        """The table: given, remembered, or made now. Raises Unavailable with the reason."""
        if need in self.given:
            return self.given[need]
        if need.table not in MAKERS:
            raise Unavailable(f"no such table: {need}. {shelf.nearest(need.table, MAKERS)}")
        if self.material is None or self.model is None:
            raise Unavailable("it needs the images and the network; only a table of predictions was given")
        key = self._key(need, self.material, self.model)
        table = None if need.table in CHEAP else ranks.once(lambda: self.cache.get(key))
        if table is None:
            work = MAKERS[need.table](self, self.material, self.model, **dict(need.settings))
            table = yield from work if need.table in SHARED else ranks.once_through(work)
            if need.table not in CHEAP:
                self.cache.put(key, table)
        return table

    def _key(self, need: Need, material: Material, model: Model) -> str:
        asked = [self.settings.seed, self.settings.split_by, torch.get_num_threads()]
        depends = [model.digest, material.digest, *asked, fitting.code_version(), *_own_code(need, model)]
        return f"{need.table}-{fingerprint([need.settings, depends])}"

    def baseline(
        self, material: Material, model: Model, *, split: str = "test"
    ) -> Generator[Progress, None, Predictions]:
        """One pass over a split."""
        rows = material.dataset.split(split)
        if not len(rows):
            raise Unavailable(f"there is no image in the {split} split")
        device = fitting.chosen_device(self.settings.device)
        loader = Loader(rows, model.task, workers=self.settings.workers)
        return (yield from predict(model.network.to(device), loader, device=device))

    def linear_baseline(self, material: Material, model: Model) -> Generator[Progress, None, Predictions]:
        """Logistic regression on 16 x 16 pixels: what a network must beat to be worth its cost."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        train, test = material.dataset.split("train"), material.dataset.split("test")
        if len(set(train.targets)) < 2:
            raise Unavailable("there is no training split to fit a linear model on")
        chosen = chance.order(chance.keys(train.ids), seed=self.settings.seed, epoch=0)[:5000].tolist()
        fitted = yield from _small_pixels(train.subset(chosen), 16, "linear model")
        asked = yield from _small_pixels(test, 16, "linear model")
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-2))
        answers = linear.fit(fitted, [train.targets[place] for place in chosen]).predict(asked)
        columns: dict[str, Any] = {
            name: pa.nulls(len(test), PREDICTION_COLUMNS.field(name).type) for name in PREDICTION_COLUMNS.names
        }
        columns |= {
            "id": list(test.ids),
            "condition": [""] * len(test),
            "target": list(test.targets),
            "answer": [str(answer) for answer in answers],
            "right": [float(answer == target) for answer, target in zip(answers, test.targets, strict=True)],
        }
        return Predictions(pa.table(columns, schema=PREDICTION_COLUMNS), material.dataset.classes)

    def train_targets(self, material: Material, model: Model) -> Generator[Progress, None, np.ndarray]:
        """The class names of the training split, one an example."""
        yield Progress("count", 1, 1)
        targets = material.dataset.split("train").targets
        if not targets:
            raise Unavailable("there is no training split")
        return np.array(targets, dtype=object)

    def rows(self, material: Material, model: Model) -> Generator[Progress, None, pa.Table]:
        """All rows of the data: id, split, target as text, and `tag:NAME` a tag."""
        yield Progress("count", 1, 1)
        dataset = material.dataset
        columns = {"id": dataset.ids, "split": dataset.splits, "target": dataset.targets}
        table = {name: [None if value is None else str(value) for value in column] for name, column in columns.items()}
        return pa.table(table | {f"tag:{name}": column_of(values) for name, values in dataset.tags.items()})

    def scan(self, material: Material, model: Model) -> Generator[Progress, None, Scan]:
        """What the scan found, with the split each row ended up in and what splitting could not do."""
        yield Progress("scan", 1, 1)
        splits = dict(zip(material.dataset.ids, material.dataset.splits, strict=True))
        table = material.scan.files
        column = pa.array([splits.get(id) for id in table["id"].to_pylist()], pa.string())
        table = table.set_column(table.column_names.index("split"), "split", column)
        problems = dict.fromkeys((*material.scan.problems, *material.dataset.problems))
        return replace(material.scan, files=table, problems=tuple(problems))

    def leak(self, material: Material, model: Model) -> Generator[Progress, None, dict[str, Any]]:
        """What a plain random split would gain from look-alikes: the nearest neighbour on 32 x 32 grey pixels, under a
        random and under a grouped split of the same rows."""
        if not (material.scan.same or material.scan.near):
            raise Unavailable("no two images are alike")
        dataset = replace(material.dataset, splits=())
        order = chance.order(chance.keys(dataset.ids), seed=self.settings.seed, epoch=0)[:6000].tolist()
        dataset = dataset.subset(order)
        pixels = yield from _small_pixels(dataset, 32, "leak", grey=True)
        targets = np.array(dataset.targets, dtype=object)
        right: dict[str, np.ndarray] = {}
        for how in ("random", "grouped"):
            split = splitting.split(dataset, material.scan, seed=self.settings.seed, how=how, by=self.settings.split_by)
            splits = np.array(split.splits)
            known, asked = pixels[splits == "train"], pixels[splits == "test"]
            # The nearest by |k - a|^2 = |k|^2 - 2 k.a + |a|^2, where |a|^2 is the same for all k.
            nearest = (known @ asked.T - 0.5 * (known**2).sum(1)[:, None]).argmax(0)
            right[how] = targets[splits == "train"][nearest] == targets[splits == "test"]
        random, grouped = right["random"], right["grouped"]
        low, high = statistics.newcombe(random.sum(), len(random), grouped.sum(), len(grouped), 0.95)
        return {
            "random": float(random.mean()),
            "grouped": float(grouped.mean()),
            "low": float(low),
            "high": float(high),
            "n": len(random) + len(grouped),
            "method": "a nearest neighbour on 32 x 32 grey pixels",
        }

    def explanations(
        self, material: Material, model: Model, *, methods: tuple[str, ...], count: int
    ) -> Generator[Progress, None, tuple[Explanation, ...]]:
        """Heat for the answer given, on examples that are right, wrong and doubtful."""
        baseline = yield from self.make(Need("baseline"))
        places = _worth_a_look(baseline, count // 3, self.settings.seed)
        if not places:
            raise Unavailable("there is no answer to explain")
        test = material.dataset.split("test").subset(places)
        answers = [str(answer) for answer in baseline["answer"][places]]
        device = fitting.chosen_device(self.settings.device)
        model.network.to(device)
        return (yield from explaining.explain(model, test, answers, methods))

    def training_log(self, material: Material, model: Model) -> Generator[Progress, None, list[dict[str, Any]]]:
        """What happened in training, an entry a look at the validation split."""
        yield Progress("log", 1, 1)
        if not self.log:
            raise Unavailable("the model was not trained in this run")
        return [dict(row) for row in self.log]


def _own_code(need: Need, model: Model) -> list[str]:
    """Hashes of files that may be the user's own, which no version of ours speaks of: explainers and the network."""
    modules = [shelf.load("explainers", name) for name in dict(need.settings).get("methods", ())]
    modules += [module for name, module in sys.modules.items() if name == model.name.partition(":")[0]]
    return [sha256(module.__file__) for module in modules if module.__file__ is not None]


#: Tables that ranks make together; the first makes all others alone.
SHARED = frozenset({"baseline"})

#: Tables that cost less to make than to keep.
CHEAP = frozenset({"train_targets", "rows", "scan", "log"})

MAKERS: dict[str, Callable[..., Generator[Progress, None, Any]]] = {
    "baseline": Planner.baseline,
    "linear_baseline": Planner.linear_baseline,
    "train_targets": Planner.train_targets,
    "rows": Planner.rows,
    "scan": Planner.scan,
    "leak": Planner.leak,
    "explanations": Planner.explanations,
    "log": Planner.training_log,
}


def _worth_a_look(baseline: Predictions, each: int, seed: int) -> list[int]:
    """Rows that were right (some of the surest), wrong (the surest) and doubtful (the least sure)."""
    right, confidence = baseline["right"], np.nan_to_num(baseline["confidence"], nan=0.5)
    drawn = chance.uniform(chance.keys(list(baseline["id"])), seed=seed, stream="worth a look")[:, 0].numpy()
    wrong = [int(row) for row in np.argsort(-confidence, kind="stable") if right[row] < 0.5][:each]
    doubtful = [int(row) for row in np.argsort(confidence, kind="stable") if row not in wrong][:each]
    sure = np.flatnonzero((right >= 0.5) & (confidence >= np.nanmedian(confidence)))
    picked = [int(row) for row in sure[np.argsort(drawn[sure], kind="stable")] if row not in doubtful][:each]
    return picked + wrong + doubtful


def _small_pixels(
    dataset: Dataset, side: int, stage: str, *, grey: bool = False
) -> Generator[Progress, None, np.ndarray]:
    """Each image as a row of side x side pixels in [0, 1], colours kept unless `grey`."""
    rows = []
    for index in range(len(dataset)):
        small = imaging.thumbnail_exact(dataset.pixels(index), side).astype(np.float32) / 255
        rows.append((small.mean(2) if grey else small).ravel())
        if index % 500 == 0:
            yield Progress(stage, index, len(dataset))
    return np.stack(rows)
