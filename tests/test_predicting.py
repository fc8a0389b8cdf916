"""One pass makes a table; tables come back from disk; tables that others made are read with care."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from seewhy import data, predicting
from seewhy.loading import Loader
from seewhy.storage import predicted
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing


class Brightness(nn.Module):
    """Says "light" of a light image and "dark" of a dark one."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[-4.0], [4.0]]))

    def forward(self, image):
        return self.last(image.mean((1, 2, 3))[:, None] - 0.5)


def finished(work):
    """What the work returns, and what it told on the way."""
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return end.value, told


def asked(levels, labels, batch=2):
    images = np.stack([np.full((4, 4, 3), level, np.uint8) for level in levels])
    dataset = data.open((images, labels))
    task = Classify(("dark", "light"), Preprocessing((4, 4), "squash"))
    network = Brightness().train()
    found, told = finished(predicting.predict(network, Loader(dataset, task), batch=batch))
    assert network.training
    return found, told


def test_a_row_says_what_was_answered_how_surely_and_how_rightly():
    found, told = asked((0, 255, 51), ["dark", "dark", "dark"])
    assert list(found["answer"]) == ["dark", "light", "dark"]
    assert list(found["right"]) == [1.0, 0.0, 1.0]
    logits = 4 * (np.array([0, 1, 0.2]) - 0.5)  # of light; of dark the same with the other sign
    sure = 1 / (1 + np.exp(-2 * np.abs(logits)))
    assert found["confidence"] == pytest.approx(sure, rel=1e-5)
    assert found["logodds_true"] == pytest.approx(-2 * logits, rel=1e-5)
    assert found["loss"] == pytest.approx(np.log1p(np.exp(2 * logits)), rel=1e-4)
    assert np.exp(found.log_probabilities.astype(float)).sum(1) == pytest.approx(np.ones(3), abs=1e-2)
    assert found.embeddings[:, 0] == pytest.approx([-0.5, 0.5, -0.3], abs=1e-3)
    assert [progress.done for progress in told if progress.stage == "predict"] == [2, 3]


def test_a_batch_size_changes_nothing():
    assert asked(range(0, 250, 25), ["dark"] * 10, batch=3)[0].table.equals(
        asked(range(0, 250, 25), ["dark"] * 10, batch=99)[0].table
    )


def test_what_was_saved_comes_back_and_the_table_is_written_last(tmp_path):
    found, _ = asked((0, 255), ["dark", "light"])
    predicted.save(found, tmp_path)
    back = predicted.load(tmp_path)
    assert back.table.equals(found.table)
    assert back.classes == found.classes
    assert (back.log_probabilities == found.log_probabilities).all()
    (tmp_path / "predictions.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        predicted.load(tmp_path)
