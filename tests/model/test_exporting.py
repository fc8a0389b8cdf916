"""A model as a file that other programs run, and that answers as the network does."""

import importlib.util
import json

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from seewhy import networks
from seewhy.model import Model, exporting
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

CLASSES = ("=cat", "Köter\x1b", "<b>cow")


def small_model(network="resnet_tiny", side=16, **settings):
    built = networks.find(network, classes=3, pretrained=False, **settings)
    fitted = Preprocessing((side, side), "pad", mean=(0.1, 0.4, 0.7), std=(0.2, 0.3, 0.4))
    model = Model.assemble(built, Classify(CLASSES, fitted))
    model.network.eval()
    return model


def answers_of(model, images):
    with torch.no_grad():
        return model.network(images)


def test_an_onnx_file_takes_any_number_of_images_and_tells_classes_and_preprocessing(tmp_path):
    model = small_model()
    exported = exporting.export(model, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("image", ["batch", 3, 16, 16])
    images = torch.rand(7, 3, 16, 16)
    found = torch.from_numpy(session.run(["logits"], {"image": images.numpy()})[0])
    assert torch.allclose(found, answers_of(model, images), atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(told["classes"])) == CLASSES
    assert json.loads(told["preprocessing"]) == {"size": [16, 16], "fit": "pad", "values": "float32 RGB in [0, 1]"}
    onnx.checker.check_model(onnx.load(tmp_path / "x.onnx"), full_check=True)
    assert exported.bytes == (tmp_path / "x.onnx").stat().st_size
    assert 0 <= exported.difference < 1e-5


def test_an_exported_program_takes_any_number_of_images_and_tells_its_classes(tmp_path):
    model = small_model().subset({"pet": CLASSES[:2], "cow": CLASSES[2]})
    assert exporting.export(model, tmp_path / "x.pt2").format == "exported-program"
    extra = {exporting.METADATA: ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=extra)
    images = torch.rand(3, 3, 16, 16)
    assert torch.allclose(program.module()(images), answers_of(model, images), atol=1e-5)
    assert json.loads(extra[exporting.METADATA])["classes"] == ["pet", "cow"]


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_torchscript_takes_any_number_of_images_and_tells_its_classes(tmp_path):
    model = small_model("vit_mini", side=32, depth=1)
    assert exporting.export(model, tmp_path / "x.bin", format="torchscript").format == "torchscript"
    extra = {exporting.METADATA: ""}
    program = torch.jit.load(tmp_path / "x.bin", _extra_files=extra)
    images = torch.rand(3, 3, 32, 32)
    assert torch.allclose(program(images), answers_of(model, images), atol=1e-5)
    assert tuple(json.loads(extra[exporting.METADATA])["classes"]) == CLASSES


def test_the_model_stays_as_it_was(tmp_path):
    model = small_model("lenet5", side=32)
    model.network.train()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    exporting.export(model, tmp_path / "x.pt2")
    assert all(module.training for module in model.network.modules())
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())


class ByBatch(nn.Module):
    """Answers by how many images there are, which no trace of one batch can know."""

    def forward(self, image):
        return image.mean((2, 3)) * (1.0 if torch.jit.is_tracing() or torch.compiler.is_exporting() else 2.0)


class Unclear(nn.Module):
    def forward(self, image):
        return image.mean((2, 3)) if image.sum().item() > 3 else image.amax((2, 3))


def of_users(network):
    built = networks.Built(network, "mine", {}, None, None)
    return Model.assemble(built, Classify(CLASSES, Preprocessing((8, 8))))


@pytest.mark.parametrize("ending", ["onnx", "pt2", "torchscript"])
def test_nothing_is_written_if_the_file_would_answer_otherwise(tmp_path, ending):
    (tmp_path / f"x.{ending}").write_text("what was there")
    with pytest.raises(ValueError, match=r"otherwise: for 1 images a logit is off by 0\.\d+, where at most 0\.0001"):
        exporting.export(of_users(ByBatch()), tmp_path / f"x.{ending}")
    assert (tmp_path / f"x.{ending}").read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_network_that_cannot_be_written_so_is_named_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match="mine cannot be written as exported-program: .*[Gg]uard"):
        exporting.export(of_users(Unclear()), tmp_path / "x.pt2")
    assert not list(tmp_path.iterdir())


def test_a_name_that_does_not_tell_the_format_and_a_format_that_is_not_there_are_named(tmp_path):
    model = small_model()
    with pytest.raises(ValueError, match=r"'x.png' does not tell the format; end it in .onnx \(onnx\), .pt2"):
        exporting.export(model, tmp_path / "x.png")
    with pytest.raises(ValueError, match="No format 'torch_script'. Did you mean 'torchscript'"):
        exporting.export(model, tmp_path / "x.png", format="torch_script")


def test_without_the_packages_of_onnx_the_error_says_how_to_get_them(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ValueError, match=r"To write ONNX takes onnxscript: pip install seewhy\[onnx\]"):
        exporting.export(small_model(), tmp_path / "x.onnx")


def test_weights_that_no_onnx_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="An ONNX file holds 2 GB, and the weights are 0.0; take exported-program"):
        exporting.export(small_model(), tmp_path / "x.onnx")


def test_the_command_writes_a_saved_model_and_says_how_near_it_is(here, command):
    small_model().save("mine")
    told = json.loads(command("export", "mine", "out/x.pt2", "--json").out)
    assert told["format"] == "exported-program"
    assert told["batches"] == [1, 2, 5]
    assert told["difference"] < 1e-5
    assert command("export", "mine", "x.bin", "--format", "torchscript").out.startswith("x.bin: torchscript, 1.")
