"""What TensorBoard shows is what happened, once, also after a kill."""

import importlib.util

import pytest

from seewhy.training import board
from seewhy.types import Progress

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_numbers_become_curves_and_a_run_that_goes_on_takes_back_what_came_after_its_last_save(tmp_path):
    with board.opened(tmp_path, 0) as shown:
        for step in (1, 2, 3):
            shown.add(Progress("train", step, 4, {"loss": 1.0 / step}))
        shown.add(Progress("decode", 1, 4, {"images": 7.0}))
    with board.opened(tmp_path, 2) as shown:
        shown.add(Progress("train", 3, 4, {"loss": 8.0}))
        shown.add(Progress("validate", 3, 4, {"val_accuracy": 0.5}))
    assert curves(tmp_path) == {"train/loss": [(1, 1.0), (2, 0.5), (3, 8.0)], "validate/val_accuracy": [(3, 0.5)]}


def test_without_tensorboard_a_sentence_says_how_to_get_it_before_anything_is_read(monkeypatch):
    from seewhy.settings import Settings
    from seewhy.training import fitting

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"TensorBoard is not installed; `pip install seewhy\[tensorboard\]` brings it"
    ):
        next(fitting.train(Settings(data="nowhere", tensorboard=True)))
