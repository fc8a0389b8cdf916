"""The workbook of a network, as a reader of the file sees it: formulas, the values beside them, names, links, words."""

import json
import re

import numpy as np
import openpyxl
import pytest
import torch
from sheeted import HOSTILE, Book, images, in_double, levels_of, model_of, probabilities, small_net
from torch import nn

import seewhy
from seewhy import networks, sheets
from seewhy.images.imaging import encode_png

#: What a formula may call: in every Excel since 2007, and in LibreOffice; none is recomputed without need.
FUNCTIONS = {"SUM", "SUMPRODUCT", "MAX", "MIN", "EXP", "LN", "IF", "INDEX", "MATCH", "TANH"}

pytestmark = pytest.mark.filterwarnings("ignore:.* extension is not supported", "ignore:Data Validation extension")


def formulas(book):
    """Sheet, cell and formula of each cell that has one."""
    for sheet in book.formulas:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    yield sheet.title, cell.coordinate, cell.value


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small network with three images, of which the second has a label."""
    model = model_of(small_net(), classes=("=1+1", "b", "c"))
    path = tmp_path_factory.mktemp("sheets") / "x.xlsx"
    done = sheets.sheet(model, images(3), path, labels=("b", "=1+1", "c"))
    return model, done, Book(path)


def test_every_formula_is_an_ordinary_one_of_old_functions_and_has_a_value(written):
    _, done, book = written
    count = 0
    for sheet, cell, formula in formulas(book):
        count += 1
        assert isinstance(formula, str), f"{sheet}!{cell} is an array formula"
        assert len(formula) < 8192
        assert set(re.findall(r"([A-Z]+)\(", formula)) <= FUNCTIONS, formula
        value = book.values[sheet][cell].value
        assert value is not None or "INDEX" in formula
        assert not (isinstance(value, str) and value.startswith("#"))
    assert count == pytest.approx(done.formulas, rel=0.25)


def test_the_values_beside_the_formulas_are_those_of_the_network_in_double_precision(written):
    model, done, book = written
    wanted = probabilities(in_double(model), levels_of(images(3)[0]))
    assert np.abs(book.shown("probabilities")[:, 0] - wanted).max() < 1e-14
    assert done.probability == pytest.approx(wanted.max(), abs=1e-14)
    assert done.answer == model.classes[wanted.argmax()]
    assert done.loss == pytest.approx(-np.log(wanted[1]), abs=1e-12)
    assert done.difference < 1e-12
    assert book.shown("loss")[0, 0] == pytest.approx(done.loss, abs=1e-12)
    activations = {}
    network = in_double(model)
    for name, module in network.body.named_children():
        module.register_forward_hook(lambda _, given, made, name=name: activations.__setitem__(name, made[0]))
    probabilities(network, levels_of(images(3)[0]))
    sheet = book.values["4 pool"]
    top = book.row_of("4 pool", "map 1")
    cells = [[sheet.cell(top + row, 5 + column).value for column in range(4)] for row in range(4)]
    assert np.abs(np.array(cells) - activations["2"][1].numpy()).max() < 1e-13
    assert np.abs(book.shown("values_8")[:, 0] - activations["6"].numpy()).max() < 1e-13


def test_the_step_of_training_is_that_of_pytorch(written):
    model, _, book = written
    network = in_double(model)
    network.requires_grad_(False)
    last = network.body[-1].requires_grad_(True)
    nn.functional.cross_entropy(network(levels_of(images(3)[0]) / 255), torch.tensor([1])).backward()
    with torch.no_grad():
        last.weight -= 0.1 * last.weight.grad
        last.bias -= 0.1 * last.bias.grad
        after = network(levels_of(images(3)[0]) / 255)
    assert np.abs(book.shown("new_probabilities")[:, 0] - after.softmax(1)[0].numpy()).max() < 1e-12
    wanted = nn.functional.cross_entropy(after, torch.tensor([1])).item()
    assert book.shown("loss_after")[0, 0] == pytest.approx(wanted, abs=1e-12)
    assert np.abs(book.shown("new_weights") - last.weight.detach().numpy().T).max() < 1e-12
    assert np.abs(book.shown("gradients") - last.weight.grad.numpy().T).max() < 1e-12


def test_each_sheet_opens_with_a_sentence_a_comparison_and_links_back_and_forth(written):
    _, done, book = written
    assert done.sheets == tuple(book.formulas.sheetnames)
    assert done.sheets[:6] == ("Cover", "Images", "Red", "Green", "Blue", "1 normalise")
    assert done.sheets[-4:] == ("Logits", "Softmax", "Loss", "Training")
    for place, name in enumerate(done.sheets[1:], start=1):
        sheet = book.formulas[name]
        assert all(str(sheet.cell(row, 1).value).endswith(".") for row in (2, 3)), name
        assert sheet.freeze_panes == "E10"
        links = [cell.hyperlink.location for cell in sheet[5] if cell.hyperlink]
        assert links[:2] == [f"'{done.sheets[place - 1]}'!A1", "'Cover'!A1"]
        assert name == done.sheets[-1] or links[2] == f"'{done.sheets[place + 1]}'!A1"
    cover = {cell.hyperlink.location for row in book.formulas["Cover"].iter_rows() for cell in row if cell.hyperlink}
    assert {f"'{name}'!A1" for name in done.sheets[5:]} <= cover


def test_switches_choices_and_values_have_names(written):
    _, _, book = written
    names = set(book.formulas.defined_names)
    assert {"image", "label", "answer", "probability", "loss", "logits", "probabilities", "learning_rate"} <= names
    assert {
        "red",
        "green",
        "blue",
        "switches",
        "filters_2",
        "values_2",
        "weights_2",
        "filters_8",
        "weights_10",
    } <= names
    assert (book.shown("filters_8") == 1).all()
    checked = {str(rule.sqref) for rule in book.formulas["Cover"].data_validations.dataValidation}
    assert {"B4", "B5"} <= checked
    assert book.formulas["Cover"]["D5"].value == "the label that was given"


def test_weights_stand_on_the_sheet_as_the_network_has_them(written):
    model, _, book = written
    weight = model.network.body[3].weight.double()
    sheet, cell = book.kernel(5, 2, 1, 0, 2, width=3)
    assert book.values[sheet][cell].value == pytest.approx(weight[2, 1, 0, 2].item(), rel=1e-15)
    assert np.abs(book.shown("weights_10") - model.network.body[-1].weight.double().detach().numpy().T).max() < 1e-15


def test_one_image_stands_in_numbers_to_type_over(tmp_path):
    sheets.sheet(model_of(small_net()), images(1), tmp_path / "x.xlsx")
    book = Book(tmp_path / "x.xlsx")
    assert (book.shown("green") == images(1)[0][:, :, 1]).all()
    assert not any(sheet in ("Red", "Green", "Blue") and cell[0] > "D" for sheet, cell, _ in formulas(book))
    assert "Images" not in book.formulas.sheetnames
    assert "no label was given" in book.formulas["Cover"]["D5"].value


def test_names_that_look_like_formulas_stay_text_and_the_book_opens(tmp_path):
    model = model_of(small_net(classes=len(HOSTILE)), classes=HOSTILE)
    sheets.sheet(model, images(1), tmp_path / "=2+2.xlsx", labels=("=1+1",))
    book = Book(tmp_path / "=2+2.xlsx")
    assert [book.formulas["Logits"].cell(10 + place, 1).value for place in range(len(HOSTILE))] == list(HOSTILE)
    assert {
        cell.data_type for sheet in book.formulas for row in sheet.iter_rows() for cell in row if cell.value in HOSTILE
    } == {"s"}


def test_the_same_model_and_images_give_the_same_bytes(tmp_path):
    model = model_of(small_net())
    for name in ("a", "b"):
        sheets.sheet(model, images(2), tmp_path / f"{name}.xlsx")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_the_label_of_an_image_is_the_folder_it_lies_in(tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "x.png").write_bytes(encode_png(images(1)[0]))
    done = seewhy.sheet(model_of(small_net()), tmp_path / "two" / "x.png", tmp_path / "x.xlsx")
    assert done.label == "two"
    assert Book(tmp_path / "x.xlsx").formulas["Cover"]["D5"].value == "the name of the image's folder"


def test_a_unit_brings_only_what_it_sees(tmp_path):
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    model = model_of(body, side=40)
    done = sheets.sheet(model, images(1, 40), tmp_path / "x.xlsx", unit="2:4,0,7")
    assert done.sheets == ("Cover", "Red", "Green", "Blue", "1 normalise", "2 conv", "3 relu", "4 conv")
    assert done.formulas < 1000
    with torch.no_grad():
        wanted = in_double(model).body[:3](
            (levels_of(images(1, 40)[0]) / 255 - model.network.mean.double()) / model.network.std.double()
        )
    book = Book(tmp_path / "x.xlsx")
    assert book.shown("unit")[0, 0] == pytest.approx(wanted[0, 4, 0, 7].item(), abs=1e-12)
    assert done.value == pytest.approx(wanted[0, 4, 0, 7].item(), abs=1e-12)
    assert book.shown("values_4").shape == (1, 1)
    assert (book.shown("red") == images(1, 40)[0][0:6, 13:20, 0]).all()


WRONG = {
    "a label that is no class": ({"labels": ("tow",)}, "No class 'tow'. Did you mean 'two'"),
    "too many labels": ({"labels": ("one", "two")}, "2 labels for 1 images; give one for all, or one each"),
    "a unit without a place": ({"unit": "0"}, "The unit is '0'; it must be LAYER:CHANNEL,ROW,COLUMN, such as 9:0"),
    "a layer that is not there": ({"unit": "00:1,2,3"}, "mine has no layer '00'. Did you mean '0'"),
    "a place that is not there": (
        {"unit": "0:3,0,0"},
        "'0' has no unit 3,0,0: it has 3 channels of 8 x 8, counted from 0",
    ),
    "too many formulas": (
        {"size_limit": 100},
        r"would have [\d,]+ formulas in 18 sheets, and at most 100 are written \(the size limit\); look at one unit alone",
    ),
}


@pytest.mark.parametrize(("wish", "says"), WRONG.values(), ids=WRONG)
def test_a_wish_that_cannot_be_met_is_named_and_nothing_is_written(tmp_path, wish, says):
    with pytest.raises(ValueError, match=says):
        sheets.sheet(model_of(small_net()), images(1), tmp_path / "x.xlsx", **wish)
    assert not list(tmp_path.iterdir())


def test_a_network_too_large_is_refused_before_it_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "run", None)
    model = model_of(networks.find("vgg11_cifar", classes=3, pretrained=False).module, side=32)
    with pytest.raises(ValueError, match=r"would have [\d,]+ formulas|characters"):
        sheets.sheet(model, images(1, 32), tmp_path / "x.xlsx")


def test_a_sheet_that_would_answer_otherwise_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "TOLERANCE", -1.0)
    with pytest.raises(
        ValueError, match="As a sheet mine answers otherwise: a logit is off by .*; nothing was written"
    ):
        sheets.sheet(model_of(small_net()), images(1), tmp_path / "x.xlsx")
    assert not list(tmp_path.iterdir())


def test_the_model_stays_as_it_was(tmp_path):
    model = model_of(small_net())
    model.network.train()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    sheets.sheet(model, images(1), tmp_path / "x.xlsx")
    assert all(module.training for module in model.network.modules())
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())


def test_a_network_that_ends_otherwise_says_why_no_step_of_training_is_shown(tmp_path):
    body = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    done = sheets.sheet(model_of(body), images(1), tmp_path / "x.xlsx")
    assert done.sheets[-1] == "Loss"
    words = [cell.value for cell in openpyxl.load_workbook(tmp_path / "x.xlsx")["Cover"]["A"]]
    assert any(
        str(word).startswith("No step of training is shown: the last layer is no linear layer") for word in words
    )


def test_the_command_writes_a_book_and_says_what_it_is(here, command):
    built = networks.find("lenet5", classes=3, pretrained=False, input_size=16)
    model = seewhy.model.Model.assemble(built, model_of(small_net(), side=16).task)
    model.save("mine")
    (here / "pictures").mkdir()
    for number, image in enumerate(images(2, 16)):
        (here / "pictures" / f"{number}.png").write_bytes(encode_png(image))
    told = json.loads(command("sheet", "mine", "pictures", "out/x.xlsx", "--label", "two", "--json").out)
    assert told["label"] == "two"
    assert told["sheets"][:3] == ["Cover", "Images", "Red"]
    assert told["bytes"] == (here / "out" / "x.xlsx").stat().st_size
    said = command("sheet", "mine", "pictures/0.png", "y.xlsx", "--unit", "conv2:0,1,1").out
    assert re.match(r"y.xlsx: 9 sheets, [\d,]+ formulas, 0\.\d MB; conv2:0,1,1 is -?\d", said)
    ended = command("sheet", "mine", "pictures/0.png", "y.csv")
    assert (ended.code, ended.err) == (2, "The name of a workbook ends in .xlsx, and 'y.csv' does not\n")
