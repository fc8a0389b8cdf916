"""What does the network say? One pass over a data set, one row an example."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import torch
from torch import Tensor, nn

from seewhy import hooks
from seewhy.loading import Loader
from seewhy.processes import ranks
from seewhy.storage.predicted import LARGEST
from seewhy.types import PART_COLUMNS, PREDICTION_COLUMNS, Answer, Batch, Predictions, Progress


def predict(
    network: nn.Module,
    loader: Loader,
    *,
    batch: int = 128,
    condition: str = "",
    change: Callable[[Batch], Batch] | None = None,
    device: str | torch.device = "cpu",
) -> Generator[Progress, None, Predictions]:
    """Run the network once over all rows of the loader; returns the table, yields how far it is.

    Costs one forward pass an example. `change` makes of each batch, which is on the device by then, what the network is
    to see under the condition. For the baseline (condition "") the log-probabilities, and the embeddings, which are
    the inputs of the network's last linear layer, are kept beside the table. Ranks take a part of the rows each, and
    each gets the whole table.
    """
    yield from loader.prepare()
    dataset = loader.dataset
    rows = range(len(dataset))[ranks.share(len(dataset))]
    found = yield from ranks.from_each(_answered(network, loader, rows, batch, condition, change, device))
    table = pa.concat_tables([part for part, _, _ in found])
    for name, tag in dataset.tags.items():
        table = table.append_column(f"tag:{name}", column_of(tag))
    parts = [row for _, rows_of_parts, _ in found for row in rows_of_parts]
    beside = {
        name: [array for _, _, arrays in found for array in arrays[name]]
        for name in ("log_probabilities", "embeddings")
    }
    whole = {name: np.concatenate(each) for name, each in beside.items() if sum(map(len, each)) == len(dataset) > 0}
    children = pa.Table.from_pylist(parts, schema=PART_COLUMNS) if parts else None
    return Predictions(table, loader.task.classes, children, **whole)


def _answered(
    network: nn.Module,
    loader: Loader,
    rows: range,
    batch: int,
    condition: str,
    change: Callable[[Batch], Batch] | None,
    device: str | torch.device,
) -> Generator[Progress, None, tuple[pa.Table, list[dict[str, Any]], dict[str, list[np.ndarray]]]]:
    """The table of these rows, the parts of their answers, and the arrays beside them, a batch each."""
    dataset, task = loader.dataset, loader.task
    columns: dict[str, list[Any]] = {name: [] for name in PREDICTION_COLUMNS.names}
    parts: list[dict[str, Any]] = []
    beside: dict[str, list[np.ndarray]] = {"log_probabilities": [], "embeddings": []}
    began, done = time.perf_counter(), 0
    for chunk in loader.batches(rows, batch):
        moved = chunk.to(device) if change is None else change(chunk.to(device))
        with hooks.frozen(network), torch.inference_mode(), embedding(network) as seen:
            output = network(**moved.inputs)
            loss, logodds = task.loss(output, moved), task.logodds_true(output, moved)
            logs, answers = task.log_probabilities(output), task.decode(output)
        targets = [dataset.targets[row] for row in rows[done : done + len(chunk)]]
        labelled = [target is not None for target in targets]
        columns["id"] += chunk.ids
        columns["condition"] += [condition] * len(chunk)
        columns["target"] += [_text(target) for target in targets]
        columns["answer"] += [_text(answer.value) for answer in answers]
        columns["confidence"] += [answer.confidence for answer in answers]
        columns["right"] += [
            task.right(answer, target) if known else None
            for answer, target, known in zip(answers, targets, labelled, strict=True)
        ]
        columns["logodds_true"] += _numbers(logodds, labelled)
        columns["loss"] += _numbers(loss, labelled)
        columns["top_answers"] += [[name for name, _ in answer.top] for answer in answers]
        columns["top_probabilities"] += [[probability for _, probability in answer.top] for answer in answers]
        for id, answer in zip(chunk.ids, answers, strict=True):
            parts += _parts(id, condition, answer)
        if not condition:
            for name, values in (("log_probabilities", logs), ("embeddings", seen[-1] if seen else None)):
                if values is not None and values.ndim == 2 and len(values) == len(chunk):
                    beside[name].append(values.clamp(-LARGEST, LARGEST).cpu().numpy().astype(np.float16))
        done += len(chunk)
        speed = done / max(time.perf_counter() - began, 1e-9)
        yield Progress("predict", done, len(rows), {"images_per_second": speed})
    return pa.table(columns, schema=PREDICTION_COLUMNS), parts, beside


@contextmanager
def embedding(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that receives the input of the network's last linear layer at each pass; empty where there is none. Of
    several views of an image the last is the image as it is."""
    seen: list[Tensor] = []
    linear = last_linear(network)
    if linear is None:
        yield seen
        return
    handle = linear.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()


def last_linear(network: nn.Module) -> nn.Linear | None:
    """The network's last linear layer, whose inputs are the embeddings; None where it has none."""
    return next((module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear)), None)


def _numbers(values: Tensor | None, labelled: Sequence[bool]) -> list[float | None]:
    if values is None:
        return [None] * len(labelled)
    return [value if known else None for value, known in zip(values.tolist(), labelled, strict=True)]


def _parts(id: str, condition: str, answer: Answer) -> Iterator[dict[str, Any]]:
    for place, part in enumerate(answer.parts):
        left, top, right_edge, bottom = part.corners or (None,) * 4
        yield {
            "id": id,
            "condition": condition,
            "part": place,
            "kind": part.kind,
            "label": part.label,
            "confidence": part.confidence,
            "right": part.right,
            "left": left,
            "top": top,
            "right_edge": right_edge,
            "bottom": bottom,
        }


def _text(value: Any) -> str | None:
    """A target or an answer as one cell: words as they are, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def column_of(values: Sequence[Any]) -> pa.Array:
    """A tag as a column: numbers stay numbers, anything mixed becomes text."""
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
