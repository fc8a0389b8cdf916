"""A run's folder remembers what was asked and what came of it, and belongs to one process at a time."""

import csv
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from seewhy.settings import Settings
from seewhy.storage.run import Run, pictures
from seewhy.types import Problem, Scan


def test_the_same_command_goes_on_with_an_unfinished_run_and_leaves_a_finished_one(tmp_path):
    asked = Settings(data="some/photos", seed=1)
    first = Run.start(asked, root=tmp_path)
    assert first.folder.name == "photos"
    assert Run.start(asked, root=tmp_path).folder == first.folder
    assert Run.start(Settings(data="some/photos", seed=2), root=tmp_path).folder.name == "photos-2"
    (first.folder / "findings.json").write_text("{}")
    assert Run.start(asked, root=tmp_path).folder.name == "photos-3"


def test_a_hostile_data_name_makes_a_harmless_folder(tmp_path):
    run = Run.start(Settings(data='../=1+1 <script>"; rm -rf'), root=tmp_path / "runs")
    assert run.folder.parent == tmp_path / "runs"
    assert re.fullmatch(r"[\w.-]+", run.folder.name)


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="is not empty and holds no run; name a new folder with --out"):
        Run.start(Settings(data="x"), out=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_of_other_settings_is_refused_naming_what_differs(tmp_path):
    Run.start(Settings(data="x", seed=1), out=tmp_path / "a")
    with pytest.raises(ValueError, match=r"holds a run with other settings \(minutes, seed\)"):
        Run.start(Settings(data="x", seed=2, minutes=3), out=tmp_path / "a")


def test_a_run_goes_on_with_another_number_of_workers(tmp_path):
    first = Run.start(Settings(data="photos"), root=tmp_path)
    assert Run.start(Settings(data="photos", workers=2), root=tmp_path).folder == first.folder


HOLD = "import sys, time; from seewhy.storage.run import Run, pictures\nwith Run(sys.argv[1]).locked(): print('held', flush=True); time.sleep(60)"


def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "a")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.folder)], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(RuntimeError, match=f"is in use by process {other.pid}"), run.locked():
                pass
        finally:
            other.kill()
    with run.locked():  # a killed holder holds nothing
        assert (run.folder / "holder").exists()
    assert not (run.folder / "holder").exists()


def test_a_checkpoint_comes_back_and_a_damaged_one_is_named(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "a")
    assert run.load_checkpoint() is None
    run.save_checkpoint({"w": torch.arange(3.0), "random": torch.get_rng_state()}, {"step": 3, "history": [{"a": 1.5}]})
    tensors, plain = run.load_checkpoint()
    assert torch.equal(tensors["w"], torch.arange(3.0))
    assert plain == {"step": 3, "history": [{"a": 1.5}]}
    path = run.folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"checkpoint.safetensors is damaged \(.*\); delete it"):
        run.load_checkpoint()


def test_pictures_come_back_under_any_name(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "a")
    images = {"../=1+1/<script>.png": np.full((4, 5, 3), 7, np.uint8), "é": np.zeros((2, 2, 3), np.uint8)}
    name = run.save_shown(images, [("beside.txt", b"text")])
    back = pictures(run.shown(name))
    assert (run.shown(name) / "beside.txt").read_bytes() == b"text"
    assert run.shown("../../etc") is None
    assert list(back) == list(images)
    assert all((back[name] == images[name]).all() for name in images)


def test_a_models_run_is_found_around_it_and_a_file_of_the_users_own_is_not_taken_for_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.start(Settings(data="x"), out="run")
    (run.model_folder).mkdir()
    (run.model_folder / "model.json").write_text("{}")
    assert Run.holding("run").folder == Run.holding("run/model").folder == run.folder
    (tmp_path / "data.parquet").write_bytes(b"the user's own")
    assert Run.holding("lite0").splits_of(["a"], ["0"]) is None


def test_content_that_was_trained_on_counts_as_seen_wherever_it_lies(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "run")
    assert run.splits_of(["a"], ["0"]) is None
    table = pa.table({"id": ["a", "b", "c"], "split": ["train", "test", "val"], "sha256": ["0", "0", "1"]})
    pa.parquet.write_table(table, run.folder / "data.parquet")
    assert run.splits_of(["b", "new", "moved", "x"], ["0", "0", "1", "2"]) == ("test", "train", "val", "test")


def test_a_run_does_not_lie_in_the_data(tmp_path):
    with pytest.raises(ValueError, match="lies inside the data, which are only read; name a folder with --out"):
        Run.start(Settings(data=str(tmp_path)), out=tmp_path / "runs" / "a")
    with pytest.raises(ValueError, match="lies inside the data"):
        Run.start(Settings(data="digits", test=str(tmp_path)), root=tmp_path)
    assert not any(tmp_path.iterdir())


def written(run, rows):
    table = pa.table(
        {"id": [row[0] for row in rows], "split": [row[1] for row in rows], "sha256": [row[2] for row in rows]}
    )
    pa.parquet.write_table(table, run.folder / "data.parquet")


def test_what_has_changed_since_is_named(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "run")
    assert run.changes(["a"], ["0"]) is None
    written(run, [("a", "train", "0"), ("b", "test", "1"), ("c", "train", "2")])
    assert not run.changes(["c", "b", "a"], ["2", "1", "0"])
    changes = run.changes(["a", "b", "d", "e"], ["0", "9", "3", "4"])
    assert (changes.kept, changes.changed, changes.missing, changes.new) == (1, ("b",), ("c",), ("d", "e"))
    assert str(changes) == "1 changed ('b'), 1 missing ('c'), 2 new ('d', 'e')"
    assert [(problem.code, problem.where) for problem in changes.problems()] == [
        ("changed-since-training", "b"),
        ("missing-since-training", "c"),
        ("new-since-training", "d"),
    ]
    with pytest.raises(
        ValueError, match=r"not those that .*run was trained on: 1 changed \('b'\), 1 missing .* with --out"
    ):
        run.check_data(["a", "b", "d", "e"], ["0", "9", "3", "4"])


def test_other_data_are_no_changed_data_but_no_run_goes_on_with_them(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "run")
    written(run, [("a", "train", "0"), ("b", "test", "1")])
    changes = run.changes(["a", "b"], ["8", "9"])
    assert list(changes.problems()) == []
    with pytest.raises(ValueError, match="2 changed"):
        run.check_data(["a", "b"], ["8", "9"])


def test_a_file_that_changed_stays_on_the_side_it_was_on(tmp_path):
    """Else a training image with one flipped bit would be tested on."""
    run = Run.start(Settings(data="x"), out=tmp_path / "run")
    written(run, [("a", "train", "0"), ("b", "test", "1")])
    assert run.splits_of(["a", "b", "c"], ["9", "1", "2"]) == ("train", "test", "test")
    assert run.splits_of(["a", "b"], ["8", "9"]) == ("test", "test")  # other data of the same names


def test_the_quarantine_is_a_table_that_no_spreadsheet_runs(tmp_path):
    run = Run.start(Settings(data="x"), out=tmp_path / "run")
    problem = Problem("broken-image", "=1+1,\n.png", '"it" is cut', 12)
    run.save_quarantine(Scan(pa.table({"id": ["a"]}), quarantine=(problem,)))
    with (run.folder / "quarantine.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["path", "code", "bytes", "what"],
            ["'=1+1,\n.png", "broken-image", "12", '"it" is cut'],
        ]
