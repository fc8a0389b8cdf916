"""A file is the old one or the new one, whatever fails."""

import csv
import os

import pytest

from seewhy.storage import files


def test_a_written_file_can_be_read_and_leaves_nothing_else(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"x": [1, None, "ü"]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"x": [1, None, "ü"]}
    assert os.listdir(tmp_path / "deep") == ["a.json"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_the_old_file_stays_if_writing_fails(tmp_path, monkeypatch, broken):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def fails(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (type(target), "replace")}[broken], fails)
    with pytest.raises(OSError, match=r"No space left on device \(needed 0.0 MB, free .* MB\)") as error:
        files.write_text(target, "new")
    assert error.value.filename == str(target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert not (tmp_path / "a.json").exists()


def test_reading_what_is_no_json_names_the_file(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json is not readable as JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_log_survives_a_broken_last_line(tmp_path):
    log = tmp_path / "log.jsonl"
    files.append_line(log, {"step": 1})
    with log.open("a") as file:
        file.write('{"step": 2')
    assert files.read_lines(log) == [{"step": 1}]
    files.append_line(log, {"step": 3})
    assert files.read_lines(log) == [{"step": 1}, {"step": 3}]
    assert files.read_lines(tmp_path / "none.jsonl") == []


def test_sweep_removes_unfinished_files_only(tmp_path):
    (tmp_path / f"a.json.123{files.UNFINISHED}").write_text("half")
    (tmp_path / "b.json").write_text("whole")
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["b.json"]


def test_equal_values_have_equal_fingerprints():
    assert files.fingerprint({"a": 1, "b": 2}) == files.fingerprint({"b": 2, "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_a_table_for_spreadsheets_holds_no_formula(tmp_path):
    files.write_csv(tmp_path / "a.csv", ("name", "count"), [("=1+1", -3), ("@x", 0), ("a,b\n", 1)])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "count"], ["'=1+1", "-3"], ["'@x", "0"], ["a,b\n", "1"]]
