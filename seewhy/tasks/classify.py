"""Which of the classes is it?

The network gives one logit a class; the answer is the class with the largest. A question about a class is its logit,
so that differences of questions ("cat rather than dog") are log-odds between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from seewhy.images import imaging
from seewhy.shelf import nearest
from seewhy.types import Answer, Batch, Boxes, Example, Preprocessing, Question

#: How many of the likeliest classes an answer keeps.
TOP = 5


class Classify:
    """Classification into named classes. Label smoothing and class weights shape training, never the tables."""

    name = "classify"

    def __init__(
        self,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        *,
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self._index = {name: place for place, name in enumerate(self.classes)}
        if len(self._index) != len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise ValueError(f"Classes must have different names; given more than once: {', '.join(twice)}")

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Images, masks and boxes fitted to the network's size; a target becomes its place among the classes, -1 where
        there is none. Where some have a mask, the others' are empty."""
        places = [self._index.get(example.target, -1) for example in examples]
        return Batch(
            ids=tuple(example.id for example in examples),
            inputs={"image": imaging.fit([example.inputs["image"] for example in examples], self.preprocessing)},
            targets=torch.tensor(places, dtype=torch.int64),
            tags=tuple(example.tags for example in examples),
            masks=self._masks(examples),
            boxes=tuple(self._boxes(example) for example in examples),
        )

    def _masks(self, examples: Sequence[Example]) -> Bool[Tensor, "batch height width"] | None:
        masks = [example.mask for example in examples]
        if all(mask is None for mask in masks):
            return None
        nowhere = torch.zeros(self.preprocessing.size, dtype=torch.bool)
        return torch.stack([nowhere if mask is None else imaging.fit_mask(mask, self.preprocessing) for mask in masks])

    def _boxes(self, example: Example) -> Boxes | None:
        height, width = example.inputs["image"].shape[-2:]
        boxes = example.boxes
        return None if boxes is None else imaging.fit_boxes(boxes, (height, width), self.preprocessing)

    def loss(self, output: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, " batch"]:
        """Cross-entropy in nats, NaN where unlabelled."""
        loss = functional.cross_entropy(output, batch.targets, reduction="none", ignore_index=-1)
        return loss.masked_fill(batch.targets < 0, torch.nan)

    def objective(self, output: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
        """Mean cross-entropy with this task's smoothing and weights; unlabelled examples do not count.

        The weighted losses are shared out among examples, not among weights: a batch in pieces has the same mean.
        """
        how: dict[str, Any] = {"ignore_index": -1, "label_smoothing": self.label_smoothing}
        if self.class_weights is None:
            return functional.cross_entropy(output, batch.targets, **how)
        weights = output.new_tensor(self.class_weights)
        whole = functional.cross_entropy(output, batch.targets, weight=weights, reduction="sum", **how)
        return whole / (batch.targets >= 0).sum()

    def decode(self, output: Float[Tensor, "batch classes"]) -> list[Answer]:
        """The likeliest class, its probability, and the five likeliest."""
        probabilities, places = output.float().softmax(1).topk(min(TOP, output.shape[1]), dim=1)
        rows = zip(probabilities.tolist(), places.tolist(), strict=True)
        answers = []
        for row, chosen in rows:
            top = tuple((self.classes[place], probability) for place, probability in zip(chosen, row, strict=True))
            answers.append(Answer(top[0][0], top[0][1], top))
        return answers

    def logodds_true(self, output: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, " batch"]:
        """logit of the true class minus the log-sum-exp of all others; NaN where unlabelled."""
        true = batch.targets.clamp(min=0)[:, None]
        others = output.scatter(1, true, -torch.inf).logsumexp(1)
        return (output.gather(1, true)[:, 0] - others).masked_fill(batch.targets < 0, torch.nan)

    def log_probabilities(self, output: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """Log-softmax over the classes."""
        return output.float().log_softmax(1)

    def right(self, answer: Answer, target: Any) -> float:
        """1 if the names are equal."""
        return float(answer.value == target)

    def question(self, answers: str | Sequence[str]) -> Question:
        """The logit of a class, by name; with a list, one class an example. "A - B" asks for A rather than B."""
        if isinstance(answers, str):
            if answers not in self._index and " - " in answers:
                for place in _breaks(answers):  # a class name may itself hold " - "
                    first, second = answers[:place], answers[place + 3 :]
                    if first in self._index and second in self._index:
                        return self.question(first) - self.question(second)
            place = self._place(answers)
            return Question(answers, lambda output: output[:, place])
        places = torch.tensor([self._place(answer) for answer in answers], dtype=torch.int64)
        text = answers[0] if len(set(answers)) == 1 else "the answer given"
        return Question(text, lambda output: _each(output, places))

    def prepare(self, batch: Batch, answers: Any) -> Batch:
        """Nothing to do: the whole image is seen at once."""
        return batch

    def _place(self, answer: str) -> int:
        if answer not in self._index:
            shown = ", ".join(self.classes[:12]) + (f" and {len(self.classes) - 12} more" if len(self) > 12 else "")
            raise KeyError(f"No class {answer!r}. {nearest(answer, self.classes)}There are: {shown}.")
        return self._index[answer]

    def __len__(self) -> int:
        return len(self.classes)


def _each(output: Float[Tensor, "batch classes"], places: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """One logit a row."""
    return output.gather(1, places.to(output.device)[:, None])[:, 0]


def _breaks(text: str) -> list[int]:
    return [place for place in range(len(text)) if text.startswith(" - ", place)]
