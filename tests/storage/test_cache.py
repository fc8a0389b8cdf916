"""What is kept comes back equal; what is damaged is as good as nothing; the oldest goes first."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from seewhy.storage.cache import Cache
from seewhy.types import PREDICTION_COLUMNS, Explanation, Predictions, Problem, Scan, Weights


def make_predictions(rows=3):
    columns = {name: pa.nulls(rows, PREDICTION_COLUMNS.field(name).type) for name in PREDICTION_COLUMNS.names}
    columns["id"] = [f"{row}" for row in range(rows)]
    table = pa.table(columns, schema=PREDICTION_COLUMNS).append_column("tag:sex", pa.array(["f"] * rows))
    beside = np.arange(rows * 2, dtype=np.float16).reshape(rows, 2)
    return Predictions(table, ("a", "=1+1"), None, beside, beside + 1)


def test_predictions_come_back(tmp_path):
    cache, kept = Cache(tmp_path), make_predictions()
    cache.put("baseline-1", kept)
    back = cache.get("baseline-1")
    assert back.table.equals(kept.table)
    assert back.classes == kept.classes
    assert (back.log_probabilities == kept.log_probabilities).all()
    assert (back.embeddings == kept.embeddings).all()


def test_a_scan_explanations_and_plain_values_come_back(tmp_path):
    cache = Cache(tmp_path)
    files = pa.table({"id": ["a"], "sha256": ["0"]})
    scan = Scan(files, (Problem("broken", "b.jpg", "ends early", 3),), (("a", "c"),), ())
    heat = {"image": np.arange(4, dtype=np.float32).reshape(2, 2)}
    explanation = Explanation("a", "cat rather than dog", "occlusion", heat, {"patch": 4}, 17.0, {"deletion": 0.2})
    cache.put("scan", scan)
    cache.put("explanations", (explanation,))
    cache.put("leak", {"random": 0.9})
    back = cache.get("scan")
    assert (back.files, back.problems, back.same, back.near) == (scan.files, scan.problems, scan.same, scan.near)
    (again,) = cache.get("explanations")
    assert (again.heat["image"] == heat["image"]).all()
    assert {**vars(again), "heat": None} == {**vars(explanation), "heat": None}
    assert cache.get("leak") == {"random": 0.9}


def test_what_is_not_there_or_not_whole_is_nothing(tmp_path):
    cache = Cache(tmp_path)
    assert cache.get("baseline-1") is None
    cache.put("baseline-1", make_predictions())
    (tmp_path / "baseline-1" / "predictions.parquet").write_bytes(b"PAR1 broken")
    assert cache.get("baseline-1") is None
    assert not (tmp_path / "baseline-1").exists()


def test_the_least_recently_used_goes_when_the_limit_is_reached(tmp_path):
    import os

    cache = Cache(tmp_path)
    for number in range(3):
        cache.put(f"t{number}", {"x": "y" * 1000})
        os.utime(tmp_path / f"t{number}", (number, number))
    cache.get("t0")
    cache.limit = 2500
    cache.put("t3", {"x": "y" * 1000})
    assert {key for key, _, _ in cache.entries()} == {"t0", "t3"}
    assert cache.clear() > 2000
    assert cache.entries() == []


def test_a_remembered_table_that_was_poisoned_runs_nothing(tmp_path):
    mark = tmp_path / "mark"

    class Runs:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    evil = np.array([Runs()], dtype=object)
    cache = Cache(tmp_path / "cache")
    cache.put("predictions", make_predictions())
    cache.put(
        "explanations", (Explanation("a", "cat", "gradient", {"image": np.zeros((2, 2), np.float32)}, {}, 1.0, {}),)
    )
    np.save(cache.folder / "predictions" / "embeddings.npy", evil, allow_pickle=True)
    np.savez(cache.folder / "explanations" / "heat.npz", **{"0 image": evil})
    for key in ("predictions", "explanations"):
        assert cache.get(key) is None
        assert not (cache.folder / key).exists()
    assert not mark.exists()


def test_an_unknown_kind_of_table_is_refused(tmp_path):
    with pytest.raises(TypeError, match="The cache cannot keep a float"):
        Cache(tmp_path).put("x", 1.0)


def test_weights_come_back_and_damaged_ones_are_nothing(tmp_path):
    cache, kept = Cache(tmp_path), Weights({"head.weight": torch.rand(2, 3), "steps": torch.tensor(5)})
    cache.put("peer", kept)
    back = cache.get("peer")
    assert {name: value.tolist() for name, value in back.tensors.items()} == {
        name: value.tolist() for name, value in kept.tensors.items()
    }
    (tmp_path / "peer" / "weights.safetensors").write_bytes(b"nothing")
    assert cache.get("peer") is None
