"""A saved model's file is checked wherever it is read, and its weights must be those it was written with."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from seewhy import networks
from seewhy.model import Model, manifest
from seewhy.model.manifest import Manifest
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)
ENTRIES = [
    "format",
    "seewhy",
    "network",
    "settings",
    "task",
    "outputs",
    "mapping",
    "preprocessing",
    "provenance",
    "weights",
]
NETWORK_SETTINGS = st.dictionaries(
    st.sampled_from(["width", "norm", "depth", "bottleneck", "checkpoint_path"]),
    st.integers(-2, 10**12) | st.text(max_size=4),
)


def fuzzed(folder, examples):
    """A saved model whose manifest is changed in every entry, and its provenance and settings within."""
    built = networks.find("resnet_tiny", classes=2, width=4)
    Model.assemble(built, Classify(("a", "b"), Preprocessing((8, 8))), {"split": {"how": "grouped"}}).save(folder)
    path = folder / "model.json"
    true = json.loads(path.read_text())
    past = st.dictionaries(st.sampled_from(list(manifest.PAST)), JSON, max_size=3)

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.dictionaries(st.sampled_from(ENTRIES), JSON, min_size=1, max_size=2)
        | st.fixed_dictionaries({"settings": NETWORK_SETTINGS})
        | st.fixed_dictionaries({"provenance": past})
    )
    def changed(changes):
        path.write_text(json.dumps(true | changes))
        said = None
        try:
            Model.load(folder)
        except (ValueError, KeyError, FileNotFoundError) as error:
            said = str(error)
        assert said is None or len(said) > 20

    changed()


def test_any_manifest_ends_in_a_sentence(tmp_path):
    fuzzed(tmp_path, 12)


@pytest.mark.slow
def test_very_many_manifests_end_in_a_sentence(tmp_path):
    fuzzed(tmp_path, 400)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "1" * 10_000, "\ud800", "NaN", ""])
def test_json_that_is_none_or_without_end_is_refused(tmp_path, text):
    (tmp_path / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"model\.json(:| is not readable as JSON)"):
        Manifest.read(tmp_path)


def test_a_network_that_would_take_all_memory_is_refused_before_it_is_built(tmp_path):
    built = networks.find("resnet_tiny", classes=2, width=4)
    Model.assemble(built, Classify(("a", "b"), Preprocessing((8, 8)))).save(tmp_path)
    path = tmp_path / "model.json"
    true = json.loads(path.read_text())
    for width, words in (
        (65_536, r"the weights do not fit the network\. conv1\.weight"),
        (10**9, "cannot have the setting 'width'"),
    ):
        path.write_text(json.dumps(true | {"settings": {"width": width}}))
        with pytest.raises(ValueError, match=words):
            Model.load(tmp_path)


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
        manifest.check_fit(nn.Linear(2, 2), state, tmp_path / "model.json")
    with pytest.raises(ValueError, match=r"other: \(1,\) in the file, nothing in the network"):
        manifest.check_fit(nn.Linear(2, 2), state, tmp_path / "model.json")
