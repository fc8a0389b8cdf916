"""The formulas compute: LibreOffice works them out, from wrong remembered values, as PyTorch does in double precision."""

import libreoffice
import numpy as np
import pytest
import torch
from sheeted import Book, images, in_double, levels_of, model_of, probabilities, small_net
from torch import nn

from seewhy import networks, sheets
from seewhy.sheets import graph, steps

pytestmark = [
    libreoffice.needed,
    pytest.mark.filterwarnings("ignore:.* extension is not supported", "ignore:Data Validation extension"),
]
#: How many workbooks one call of LibreOffice recalculates.
AT_ONCE = 6


class Branches(nn.Module):
    """Whatever a step may be, in one network: both ways meet again by a sum and by concatenation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1))
        self.wide = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.narrow = nn.Conv2d(4, 4, 1, bias=False)
        self.bend = nn.ModuleList([nn.ReLU6(), nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.ELU(), nn.Hardtanh(-0.2, 0.3)])
        self.norm = nn.BatchNorm2d(4)
        self.most, self.mean = nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1)
        self.same = nn.Conv2d(24, 5, 3, padding=1, padding_mode="reflect")
        self.fit = nn.AdaptiveAvgPool2d((2, 3))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(30, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, image):
        x = self.stem(image)
        x = x + self.narrow(x) + self.wide(x)
        x = torch.cat([bend(x) for bend in self.bend], 1)
        x = torch.cat(
            [self.most(x[:, :8]), self.mean(x[:, 8:20]), torch.roll(self.norm(x[:, 20:])[:, :, ::2, ::2], 1, 3)], 1
        )
        return self.head(self.fit(self.same(x)))


def resnet8(width=4):
    return networks.find("resnet_small", classes=3, pretrained=False, depth=8, width=width, stem="full").module


def recalculated(path, edits):
    """The probabilities that LibreOffice finds after each of the edits, every remembered value being wrong before."""
    book = Book(path)
    sheet, cells = book.named("probabilities")
    copies = [libreoffice.edited(path, edit, name=f"edited-{number}.xlsx") for number, edit in enumerate(edits)]
    found = []
    for start in range(0, len(copies), AT_ONCE):
        for values in libreoffice.values(copies[start : start + AT_ONCE]):
            assert values.errors == ()
            found.append(values.numbers(sheet, cells)[:, 0])
    return np.array(found)


@pytest.mark.parametrize(
    ("body", "side"), [(small_net(), 10), (Branches(), 14), (resnet8(), 12)], ids=["small", "branches", "resnet8"]
)
def test_every_cell_comes_out_as_it_was_written(tmp_path, body, side):
    model = model_of(body, side=side)
    sheets.sheet(model, images(2, side), tmp_path / "x.xlsx")
    written = libreoffice.read(tmp_path / "x.xlsx")
    (found,) = libreoffice.values([libreoffice.edited(tmp_path / "x.xlsx")])
    assert found.errors == ()
    for name, cells in written.sheets.items():
        for place, value in np.ndenumerate(cells):
            if isinstance(value, float):
                assert found.sheets[name][place] == pytest.approx(value, abs=1e-9), (name, place)
            elif value:
                assert found.sheets[name][place] == value, (name, place)


def test_images_pixels_weights_labels_and_switches_move_what_follows(tmp_path):
    """One edit of each kind, against PyTorch."""
    model, three = model_of(small_net()), images(3)
    sheets.sheet(model, three, tmp_path / "x.xlsx", labels=("one", "two", "three"))
    book = Book(tmp_path / "x.xlsx")
    read = graph.steps_of(model.network, (10, 10), "mine")
    levels = levels_of(three[0])
    pixel, other = levels.clone(), in_double(model)
    pixel[0, 2, 4, 5] = 255
    with torch.no_grad():
        other.body[3].weight[2, 1, 0, 2] = 0.75

    def switched(**off):
        return steps.run(read, levels, **off)[read[-1].name].flatten().softmax(0).numpy()

    cases = [
        ({book.place("image"): 3.0}, probabilities(in_double(model), levels_of(three[2]))),
        ({book.pixel(2, 4, 5): 255.0}, probabilities(in_double(model), pixel)),
        ({book.kernel(5, 2, 1, 0, 2, width=3): 0.75}, probabilities(other, levels)),
        ({book.switch(5, 0): 0.0}, switched(filters_off=[("3", 0)])),
        ({book.switch(8, 4): 0.0}, switched(filters_off=[("6", 4)])),
        *[
            ({book.place("switches", row): 0.0}, switched(off=[step.name]))
            for row, step in enumerate(read)
            if step.name in ("normalise", "1", "2", "9")
        ],
    ]
    found = recalculated(tmp_path / "x.xlsx", [edit for edit, _ in cases])
    wanted = np.array([wanted for _, wanted in cases])
    assert np.abs(found - wanted).max() < 1e-9
    plain = probabilities(in_double(model), levels)
    assert (np.abs(wanted - plain).max(1) > 1e-4).all()


def test_the_label_and_the_learning_rate_move_the_loss_and_the_step_of_training(tmp_path):
    model, image = model_of(small_net()), images(1)[0]
    sheets.sheet(model, [image], tmp_path / "x.xlsx", labels=("one",))
    book = Book(tmp_path / "x.xlsx")
    path = libreoffice.edited(tmp_path / "x.xlsx", {book.place("label"): 3.0, book.place("learning_rate"): 0.5})
    (found,) = libreoffice.values([path])
    network = in_double(model).requires_grad_(False)
    last = network.body[-1].requires_grad_(True)
    loss = nn.functional.cross_entropy(network(levels_of(image) / 255), torch.tensor([2]))
    loss.backward()
    with torch.no_grad():
        for part in (last.weight, last.bias):
            part -= 0.5 * part.grad
        after = nn.functional.cross_entropy(network(levels_of(image) / 255), torch.tensor([2]))
    assert found.errors == ()
    assert found.cell(*book.place("loss")) == pytest.approx(loss.item(), abs=1e-9)
    sheet, first = book.named("loss")[0], "Loss"
    readings = [found.cell(first, f"K{row}") for row in (10, 11, 12)]
    assert sheet == "Cover"
    assert readings == pytest.approx([loss.item()] * 3, abs=1e-9)
    assert found.cell(first, "K13") == pytest.approx(0, abs=1e-12)
    assert found.cell(*book.place("loss_after")) == pytest.approx(after.item(), abs=1e-9)
    wanted = last.weight.detach().numpy().T
    assert np.abs(found.numbers(*book.named("new_weights")) - wanted).max() < 1e-9
    assert found.cell("Cover", "C5") == "three"


def test_logits_far_apart_and_units_far_from_0_give_no_error(tmp_path):
    """The powers of e that a cell cannot hold are never asked for."""
    body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sigmoid(), nn.SiLU(), nn.Flatten(), nn.Linear(128, 3))
    model = model_of(body)
    with torch.no_grad():
        model.network.body[0].weight *= 1e4
        model.network.body[-1].bias += torch.tensor([2e3, 0.0, -2e3])
    sheets.sheet(model, images(1), tmp_path / "x.xlsx", labels=("three",))
    (found,) = libreoffice.values([libreoffice.edited(tmp_path / "x.xlsx")])
    assert found.errors == ()
    assert found.cell("Cover", "B8") == pytest.approx(4e3, rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("body", "side"),
    [(networks.find("lenet5_relu", classes=3, pretrained=False, input_size=16).module, 16), (resnet8(2), 8)],
    ids=["lenet", "resnet8"],
)
def test_100_images_100_pixels_50_weights_and_every_switch(tmp_path, body, side):
    """Each of 100 workbooks has another image chosen, another pixel, and every second another weight; each filter is
    silent in one of those that follow, and each step is off in one."""
    model, random = model_of(body, side=side), np.random.default_rng(1)
    hundred = images(100, side)
    sheets.sheet(model, hundred, tmp_path / "x.xlsx")
    book = Book(tmp_path / "x.xlsx")
    read = graph.steps_of(model.network, (side, side), "mine")
    edits, wanted = [], []
    for number, image in enumerate(hundred):
        channel, row, column = random.integers(0, 3), *random.integers(0, side, 2)
        levels = levels_of(image)
        levels[0, channel, row, column] = level = float(random.integers(0, 256))
        edit = {book.place("image"): number + 1.0, book.pixel(channel, row, column): level}
        changed = read
        if number % 2:
            changed, cell, weight = with_another_weight(book, read, random)
            edit[cell] = weight
        edits.append(edit)
        wanted.append(answered(changed, levels))
    filters = [
        (place, step, channel)
        for place, step in enumerate(read, start=1)
        if step.has_filters
        for channel in range(step.shape[0])
    ]
    for start in range(0, len(filters), 8):
        silent = filters[start : start + 8]
        edits.append({book.switch(place, channel): 0.0 for place, _, channel in silent})
        wanted.append(
            answered(read, levels_of(hundred[0]), filters_off=[(step.name, channel) for _, step, channel in silent])
        )
    for row, step in enumerate(read):
        if step.off:
            edits.append({book.place("switches", row): 0.0})
            wanted.append(answered(read, levels_of(hundred[0]), off=[step.name]))
    found = recalculated(tmp_path / "x.xlsx", edits)
    off = np.abs(found - np.array(wanted))
    assert off.max() < 1e-9


def answered(read, levels, **off):
    return steps.run(read, levels, **off)[read[-1].name].flatten().softmax(0).numpy()


def with_another_weight(book, read, random):
    """The steps with one weight of a convolution or a linear layer changed, its cell, and what it then is."""
    place = random.choice([place for place, step in enumerate(read) if step.has_filters])
    step, value = read[place], float(random.normal())
    weight = step.weight.clone()
    where = tuple(int(random.integers(0, size)) for size in weight.shape)
    weight[where] = value
    if isinstance(step, steps.Convolve):
        cell = book.kernel(place + 1, *where, width=weight.shape[3])
    else:
        cell = book.place(f"weights_{place + 1}", where[1], where[0])
    changed = steps.replace(step, weight=weight)
    return (*read[:place], changed, *read[place + 1 :]), cell, value
