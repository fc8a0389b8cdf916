"""A saved model's file is checked wherever it is read, and its weights must be those it was written with."""

import json

import pytest
import torch
from safetensors.torch import save
from torch import nn

from seewhy import manifest
from seewhy.manifest import Manifest

DESCRIBED = {
    "seewhy": "0",
    "outputs": ["a", "b"],
    "settings": {"width": 8},
    "mapping": None,
    "preprocessing": {"size": [8, 9], "fit": "pad", "mean": [0, 0.5, 1], "std": [1, 1, 1]},
}


def written(folder, **changes):
    manifest.write(folder, {**DESCRIBED, **changes}, nn.Linear(2, 2))
    return folder


def test_what_was_written_is_read(tmp_path):
    told = Manifest.read(written(tmp_path, mapping={"x": ["a"], "y": ["b"]}))
    assert told.names("outputs") == ("a", "b")
    assert told.settings() == {"width": 8}
    assert told.mapping() == {"x": ("a",), "y": ("b",)}
    assert told.preprocessing().size == (8, 9)
    assert told.preprocessing().mean == (0.0, 0.5, 1.0)
    assert set(told.weights()) == {"weight", "bias"}


def test_tied_weights_are_written_as_they_count(tmp_path):
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    manifest.write(tmp_path, DESCRIBED, tied)
    loaded = Manifest.read(tmp_path).weights()
    assert torch.equal(loaded["0.weight"], loaded["1.weight"])


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("outputs", "ab", "'outputs' is 'ab', which should be a list"),
        ("outputs", ["a", "a"], "which should be a list of different names"),
        ("outputs", [], "which should be a list of different names"),
        ("settings", {"pretrained": True}, "a network cannot have the setting 'pretrained' = True"),
        ("settings", {"classes": 3}, "cannot have the setting 'classes'"),
        ("settings", {"width": [8]}, "cannot have the setting 'width'"),
        ("mapping", {"x": "a"}, "'mapping' is .* which should be lists of names"),
        ("preprocessing", {"size": [8, 10**9]}, "'preprocessing' is .* which is no size, fit, mean and std"),
        ("preprocessing", {**DESCRIBED["preprocessing"], "std": [0, 1, 1]}, "no size, fit, mean and std"),
        ("preprocessing", {**DESCRIBED["preprocessing"], "fit": "stretch"}, "no size, fit, mean and std"),
    ],
)
def test_an_entry_that_is_not_what_it_should_be_is_named(tmp_path, entry, value, words):
    told = Manifest.read(written(tmp_path, **{entry: value}))
    with pytest.raises(ValueError, match=words):
        told.names(entry) if entry == "outputs" else getattr(told, entry)()


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    for content in ("[]", "{}", '"model"', '{"format": true}'):
        (tmp_path / "model.json").write_text(content)
        with pytest.raises(ValueError, match=r"model.json: 'format' is .* which should be a int"):
            Manifest.read(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ValueError, match="not readable as JSON"):
        Manifest.read(tmp_path)


def test_a_newer_file_says_so(tmp_path):
    written(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text()) | {"format": 99, "seewhy": "9.9"}
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"written by SeeWhy 9\.9, which is newer"):
        Manifest.read(tmp_path)


def test_weights_of_another_time_are_refused(tmp_path):
    told = Manifest.read(written(tmp_path))
    (tmp_path / "weights.safetensors").write_bytes(save({"weight": torch.ones(2)}))
    with pytest.raises(ValueError, match=r"damaged or of another model: it is not what model\.json was written with"):
        told.weights()
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no weights\.safetensors"):
        told.weights()


def test_any_flipped_byte_of_the_weights_is_noticed(tmp_path):
    told = Manifest.read(written(tmp_path))
    path = tmp_path / "weights.safetensors"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            told.weights()


def test_weights_that_do_not_fit_show_both(tmp_path):
    state = {"weight": torch.zeros(3, 2), "other": torch.zeros(1)}
    with pytest.raises(
        ValueError, match=r"weight: \(3, 2\) in the file, \(2, 2\) in the network; bias: nothing in the file"
    ):
        manifest.fill(nn.Linear(2, 2), state, tmp_path / "model.json")
    with pytest.raises(ValueError, match=r"other: \(1,\) in the file, nothing in the network"):
        manifest.fill(nn.Linear(2, 2), state, tmp_path / "model.json")
