"""A model answers images however they are given, becomes a folder and comes back, and runs no code a file names."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seewhy import networks
from seewhy.images import imaging
from seewhy.model import Merge, Model, Normalised, manifest
from seewhy.tasks.classify import Classify
from seewhy.types import Answer, Preprocessing

CLASSES = ("red", "green", "blue")
PREPROCESSING = Preprocessing((8, 8), "squash", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


class Brightest(nn.Module):
    """Answers with the brightest channel."""

    def __init__(self, classes=3):
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.head = nn.Linear(3, classes)
        with torch.no_grad():
            self.head.weight.copy_(10 * torch.eye(classes, 3))

    def forward(self, image):
        return self.head(self.dropout(image).mean((2, 3)))


@pytest.fixture
def mine(monkeypatch):
    module = types.ModuleType("mine")
    module.brightest = Brightest
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def brightest():
    """Not normalised, so that the brightest channel of the image is that of the input."""
    task = Classify(CLASSES, Preprocessing((8, 8), "squash", (0.0,) * 3, (1.0,) * 3))
    return Model(Normalised(Brightest(), *[(v,) * 3 for v in (0.0, 1.0)]), task, "mine:brightest", {}, CLASSES)


def small_model(name="resnet_tiny", **settings):
    built = networks.find(name, classes=3, width=8, **settings)
    return Model.assemble(built, Classify(CLASSES, PREPROCESSING), {"data": "made up", "seed": 3})


def picture(channel, side=8):
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[..., channel] = 200
    return pixels


def change_manifest(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ------------------------------------------------------------------------------------------------- answering


def test_the_first_layer_normalises():
    network = Normalised(nn.Identity(), (0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    image = torch.rand(2, 3, 4, 5)
    expected = torch.stack([(image[:, c] - m) / s for c, m, s in ((0, 0.1, 1), (1, 0.2, 2), (2, 0.3, 4))], 1)
    assert torch.allclose(network(image=image), expected)


def test_an_image_gets_one_answer_however_it_is_given(tmp_path):
    model, green = brightest(), picture(1)
    path = tmp_path / "green.png"
    path.write_bytes(imaging.encode_png(green))
    floats = torch.from_numpy(green).permute(2, 0, 1) / 255
    answers = [model(way) for way in (path, str(path), Image.fromarray(green), green, floats, floats.numpy())]
    assert all(isinstance(answer, Answer) and answer == answers[0] for answer in answers)
    assert answers[0].value == "green"
    assert answers[0].top[0][0] == "green"


def test_several_images_get_a_list_whatever_their_sizes_and_the_batch():
    model = brightest()
    images = [picture(channel, side) for channel, side in ((0, 5), (1, 8), (2, 30), (0, 9), (1, 8))]
    expected = ["red", "green", "blue", "red", "green"]
    assert [answer.value for answer in model(images)] == expected
    assert [answer.value for answer in model(iter(images), batch=2)] == expected
    assert [answer.value for answer in model(np.stack([picture(0), picture(2)]))] == ["red", "blue"]
    assert len(model(torch.rand(4, 3, 8, 8), batch=3)) == 4
    assert model([]) == []


def test_answering_leaves_the_network_as_it_was():
    model = small_model()
    model.network.train()
    model.network.body.head.eval()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    first, second = model(picture(0)), model(picture(0))
    assert first == second
    assert model.network.training
    assert not model.network.body.head.training
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())


def test_files_that_cannot_be_read_stand_beside_the_answers(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(imaging.encode_png(picture(2)))
    bad.write_bytes(b"no image")
    answered, failed = brightest().answers([bad, good, tmp_path / "nowhere.png"], batch=2)
    assert [(path, answer.value) for path, answer in answered] == [(good, "blue")]
    assert [path for path, _ in failed] == [bad, tmp_path / "nowhere.png"]
    assert "bad.png" in failed[0][1]
    assert "No image file" in failed[1][1]


def test_an_example_of_an_image_keeps_its_size_and_its_path_as_id(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(imaging.encode_png(picture(2, 30)))
    example = brightest().example(path)
    assert example.id == str(path)
    assert example.inputs["image"].shape == (3, 30, 30)


# ------------------------------------------------------------------------------------------------- on disk


def test_a_saved_model_comes_back_whole(tmp_path):
    model = small_model()
    model.save(tmp_path / "mine")
    loaded = Model.load(tmp_path / "mine")
    assert (loaded.classes, loaded.preprocessing, loaded.name) == (model.classes, model.preprocessing, model.name)
    assert loaded.settings == {"width": 8}
    assert loaded.provenance == {"data": "made up", "seed": 3}
    assert loaded.digest == model.digest
    images = [picture(channel) for channel in range(3)]
    assert loaded(images) == model(images)
    assert not loaded.network.training
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["model.json", "weights.safetensors"]


def test_a_folder_a_run_and_a_path_name_the_same_model(tmp_path):
    model = small_model()
    model.save(tmp_path / "run" / "model")
    for reference in (tmp_path / "run" / "model", tmp_path / "run", str(tmp_path / "run")):
        assert Model.resolve(reference).digest == model.digest


def test_the_digest_changes_with_weights_classes_preprocessing_and_settings():
    digests = {small_model().digest, small_model(norm="group").digest, small_model(seed=1).digest}
    built = networks.find("resnet_tiny", classes=3, width=8)
    digests.add(Model.assemble(built, Classify(("x", "y", "z"), PREPROCESSING)).digest)
    digests.add(Model.assemble(built, Classify(CLASSES, Preprocessing((9, 9)))).digest)
    digests.add(small_model().subset({"a": "red", "b": "blue"}).digest)
    assert len(digests) == 6
    assert small_model().digest == small_model().digest


def test_a_model_that_cannot_be_saved_over_another_leaves_the_other_whole(tmp_path, monkeypatch):
    first, second = small_model(), small_model(seed=1)
    first.save(tmp_path)

    def fails(path, value):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(manifest.files, "write_json", fails)
        with pytest.raises(OSError, match="No space left"):
            second.save(tmp_path)
    assert Model.load(tmp_path).digest == first.digest
    for model in (second, first, first):
        model.save(tmp_path)
        assert Model.load(tmp_path).digest == model.digest
        assert len(list(tmp_path.iterdir())) == 2


def test_weights_of_another_width_are_refused_and_both_are_shown(tmp_path):
    small_model().save(tmp_path)
    change_manifest(tmp_path, settings={"width": 16})
    with pytest.raises(ValueError, match=r"conv1\.weight: \(8, 3, 3, 3\) in the file, \(16, 3, 3, 3\) in the network"):
        Model.load(tmp_path)


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "mine:brightest"])
def test_a_file_never_names_what_to_import(tmp_path, monkeypatch, name):
    small_model().save(tmp_path)
    change_manifest(tmp_path, network=name)
    ran = []
    monkeypatch.setattr(networks, "find", lambda *given, **settings: ran.append(given))
    with pytest.raises(ValueError, match=f"made by '{name}'. No file decides what is imported"):
        Model.load(tmp_path)
    assert not ran


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "os.system"}, "No network 'os.system'"),
        ({"network": "seewhy.networks.resnet"}, "No network 'seewhy.networks.resnet'"),
        ({"network": "timm:hf-hub:someone/thing"}, "timm has no network"),
        ({"network": "timm:resnet10t", "settings": {"checkpoint_path": "x.pth"}}, "takes no setting 'checkpoint_path'"),
        ({"network": "torchvision:resnet18", "settings": {"weights": "DEFAULT"}}, "takes no setting 'weights'"),
        ({"settings": {"pretrained": True}}, "cannot have the setting 'pretrained'"),
        ({"task": "os.path"}, "No task 'os.path'"),
        ({"network": "resnet_tini"}, "Did you mean 'resnet_tiny'"),
    ],
)
def test_a_file_names_only_what_stands_on_a_shelf(tmp_path, changes, words):
    small_model().save(tmp_path)
    change_manifest(tmp_path, **changes)
    with pytest.raises((KeyError, ValueError), match=words):
        Model.load(tmp_path)


def test_a_users_network_is_loaded_where_the_user_names_it(tmp_path, mine):
    model = brightest()
    model.save(tmp_path)
    loaded = Model.load(tmp_path, network="mine:brightest")
    assert loaded(picture(2)).value == "blue"
    assert loaded.digest == model.digest


def test_there_is_no_model_in_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no model.json"):
        Model.load(tmp_path)
    with pytest.raises(ValueError, match=r"holds no model: a saved model has a model.json, a run has one in model/"):
        Model.resolve(tmp_path)


# ------------------------------------------------------------------------------------------------- by name


def test_a_name_that_leads_nowhere_brings_the_nearest():
    with pytest.raises(
        KeyError, match=r"No model 'lite': there is no such folder.* Did you mean 'lite0'\? There are: lite0"
    ):
        Model.resolve("lite")


def test_a_network_without_weights_must_be_trained_first():
    with pytest.raises(ValueError, match="'resnet20' has no weights of its own: train it"):
        Model.resolve("resnet20")


def test_a_users_function_is_a_model_once_its_classes_are_named(mine):
    assert Model.resolve("mine:brightest", classes=CLASSES)(picture(1)).value == "green"
    with pytest.raises(ValueError, match="mine:brightest does not tell the names of its classes"):
        Model.resolve("mine:brightest")


def test_a_users_network_must_put_out_one_number_a_class(mine):
    mine.wide = lambda: Brightest(5)
    with pytest.raises(
        ValueError, match=r"mine:wide puts out \(5,\) an image for the 3 classes 'red', 'green', 'blue'"
    ):
        Model.resolve("mine:wide", classes=CLASSES)


def test_classes_that_differ_are_shown_on_both_sides(tmp_path):
    small_model().save(tmp_path)
    assert Model.resolve(tmp_path, classes=CLASSES).classes == CLASSES
    with pytest.raises(ValueError, match="other classes: 'red', 'green', 'blue' against 'red', 'blue'"):
        Model.resolve(tmp_path, classes=("red", "blue"))
    with pytest.raises(ValueError, match=r"lite0 and the task differ in their classes: 'tench', .* against 'a', 'b'"):
        Model.resolve("lite0", classes=("a", "b"))


# ------------------------------------------------------------------------------------------------- other classes


def test_merged_probabilities_are_summed_and_shared_out():
    logits = torch.randn(4, 5, dtype=torch.float64)
    probabilities = logits.softmax(1)
    sums = torch.stack([probabilities[:, 3], probabilities[:, [0, 1, 4]].sum(1)], 1)
    merged = Merge([[3], [0, 1, 4]])(logits)
    assert torch.allclose(merged.softmax(1), sums / sums.sum(1, keepdim=True))
    assert torch.equal(merged[:, 0], logits[:, 3])


def test_a_merge_passes_gradients_to_its_own_classes_only():
    logits = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(Merge([[0], [1, 2]])(logits).sum(), logits)
    assert gradient.isfinite().all()
    assert torch.equal(gradient[:, 3], torch.zeros(2))


def test_a_model_answers_in_the_users_words():
    model = brightest().subset({"warm": "red", "cold": ["green", "blue"]})
    assert model.classes == ("warm", "cold")
    assert [answer.value for answer in model([picture(0), picture(1), picture(2)])] == ["warm", "cold", "cold"]
    again = model.subset({"no": "cold", "yes": "warm"})
    assert [answer.value for answer in again([picture(0), picture(1)])] == ["yes", "no"]


def test_a_subset_is_saved_with_its_mapping(tmp_path):
    model = small_model().subset({"warm": "red", "cold": ["green", "blue"]})
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    assert loaded.classes == ("warm", "cold")
    assert loaded.outputs == CLASSES
    assert loaded(picture(0)) == model(picture(0))
    assert loaded.digest == model.digest


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (
            {"a": "rde", "b": "blue"},
            "stand for 'rde', which the network does not have. Did you mean 'red'. It has 'red'",
        ),
        ({"a": "red", "b": ["blue", "red"]}, "'red' of the network is given to 'a' and again to 'b'"),
        ({"a": "red", "b": []}, "The class 'b' stands for nothing; the network has 'red', 'green', 'blue'"),
        ({"a": "red"}, "two classes or more; named: 'a'"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(mapping, words):
    with pytest.raises((KeyError, ValueError), match=words):
        brightest().subset(mapping)


# ------------------------------------------------------------------------------------------------- bare weights


def bare(path, model):
    torch.save({"state_dict": model.network.body.state_dict()}, path)
    return path


def test_bare_weights_are_a_model_once_their_classes_are_named(tmp_path):
    kept = Model.assemble(networks.find("resnet_tiny", classes=3), Classify(CLASSES, PREPROCESSING))
    path = bare(tmp_path / "resnet_tiny.pt", kept)
    with pytest.raises(ValueError, match=r"does not tell the names of its classes, and no order of them is guessed"):
        Model.resolve(path)
    model = Model.resolve(path, classes=CLASSES)
    assert model.name == "resnet_tiny"
    assert model.provenance["weights"] == "resnet_tiny.pt"
    assert any("taken to be usual for resnet_tiny: 8 x 8 pixels" in one for one in model.provenance["assumed"])
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(model.network.body(image), kept.network.eval().body(image))
    model.save(tmp_path / "kept")
    assert Model.load(tmp_path / "kept").provenance == model.provenance
    with pytest.raises(ValueError, match=r"puts out \(3,\) an image for the 2 classes 'red', 'blue'"):
        Model.resolve(path, classes=("red", "blue"))
    with pytest.raises(ValueError, match=r"resnet_tiny\.pt: it does not fit resnet20: "):
        Model.resolve(path, network="resnet20", classes=CLASSES)


def test_bare_weights_of_a_users_own_network_need_its_name(tmp_path, mine):
    path = bare(tmp_path / "x.pt", brightest())
    model = Model.resolve(path, network="mine:brightest", classes=CLASSES)
    assert model(picture(2)).value == "blue"
    assert model.subset({"warm": "red", "cold": ["green", "blue"]})(picture(2)).value == "cold"
    mine.other = lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(3, classes))
    with pytest.raises(ValueError, match=r"x\.pt: 2 missing in the file \(1\.weight, 1\.bias\)"):
        Model.resolve(path, network="mine:other", classes=CLASSES)


def test_a_models_network_may_be_named_again_but_not_as_another(tmp_path, mine):
    small_model().save(tmp_path / "a")
    assert Model.resolve(tmp_path / "a", network="resnet_tiny").name == "resnet_tiny"
    with pytest.raises(ValueError, match=r"is a resnet_tiny, not a resnet20"):
        Model.resolve(tmp_path / "a", network="resnet20")
    with pytest.raises(ValueError, match=r"is a resnet_tiny, not a mine:brightest"):
        Model.resolve(tmp_path / "a", network="mine:brightest")
    brightest().save(tmp_path / "run" / "model")
    assert Model.resolve(tmp_path / "run", network="mine:brightest", mapping={"a": "red", "b": "blue"}).classes == (
        "a",
        "b",
    )
    with pytest.raises(ValueError, match=r"lite0 is itself a network, so that 'resnet20' is one too many"):
        Model.resolve("lite0", network="resnet20")


# ------------------------------------------------------------------------------------------------ several views


def test_a_model_that_sees_an_image_and_its_mirror_answers_alike_to_both_and_says_so_on_disk(tmp_path):
    plain = small_model()
    image = torch.rand(3, 8, 8)
    assert plain(image).confidence != pytest.approx(plain(image.flip(2)).confidence, abs=1e-4)
    model = plain.seeing("flip")
    assert model(image).confidence == pytest.approx(model(image.flip(2)).confidence, abs=1e-6)
    assert model.digest != plain.digest
    model.save(tmp_path)
    back = Model.load(tmp_path)
    assert (back.views, back.provenance["views"], back.digest) == ("flip", "flip", model.digest)
    assert back(image) == model(image)
    assert back.subset({"warm": "red", "cold": ["green", "blue"]}).views == "flip"
    assert back.seeing("none").digest == plain.digest


def test_views_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="No views 'flips'. Did you mean 'flip'. There are: none, flip, crops."):
        small_model().seeing("flips")
