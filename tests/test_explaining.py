"""Heat for a data set, for one image, and on disk, under any file name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seewhy import data, decoding, explaining, networks
from seewhy.model import Model
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing


class Corner(nn.Module):
    """Decides by the upper left quarter alone."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.look.weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))

    def forward(self, x):
        return self.look(x)[:, :, :8, :8].mean((2, 3))


def corner():
    task = Classify(("dark", "light"), Preprocessing((16, 16), "squash"))
    return Model.assemble(networks.Built(Corner(), "corner", {}, None, None, False), task)


def picture(folder, name="photo.png"):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name, "PNG")
    return folder / name


def test_every_method_sees_that_only_a_corner_matters(tmp_path):
    found = explaining.explain_one(corner(), picture(tmp_path))
    assert {"gradient", "occlusion"} <= set(found)
    for method in ("gradient", "occlusion"):
        heat = np.abs(found[method].heat["image"])
        assert heat.shape == (16, 16)
        assert heat[:8, :8].sum() > 0.9 * heat.sum(), method


def test_without_a_target_the_answer_given_is_asked_about(tmp_path):
    model, image = corner(), picture(tmp_path)
    answer = model(image).value
    assert explaining.explain_one(model, image, methods=["gradient"])["gradient"].question == answer
    rather = explaining.explain_one(model, image, methods=["gradient"], target="light - dark")["gradient"]
    assert rather.question == "light rather than dark"


def test_a_data_set_is_explained_row_by_row_whatever_the_batch():
    images = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    dataset = data.open((images, ["dark", "light"] * 2 + ["dark"]))
    answers = ["dark", "light", "light", "dark", "dark"]
    runs = []
    for batch in (2, 8):
        work = explaining.explain(corner(), dataset, answers, ["gradient"], batch=batch)
        while True:
            try:
                next(work)
            except StopIteration as end:
                runs.append(end.value)
                break
    for first, second in zip(*runs, strict=True):
        assert (first.id, first.question, first.method) == (second.id, second.question, second.method)
        assert first.heat["image"] == pytest.approx(second.heat["image"], abs=1e-6)
    assert [each.question for each in runs[0]] == answers


def test_a_method_and_a_class_are_checked_by_name():
    with pytest.raises(KeyError, match="No explainer 'gradiant'. Did you mean 'gradient'?"):
        explaining.check(corner(), methods=["gradiant"])
    with pytest.raises(KeyError, match="No class 'lihgt'. Did you mean 'light'?"):
        explaining.check(corner(), target="lihgt")
    explaining.check(corner(), methods=["gradient"], target="light - dark")


@pytest.mark.parametrize(
    "name", ["..png", "=cmd|'.png", "a\nb.png", "\N{CAT FACE}" * 50 + ".png", "\u5199" * 80 + ".png", "\x1b[31m.png"]
)
def test_no_file_name_leads_out_of_the_folder(tmp_path, name):
    model, path, out = corner(), picture(tmp_path / "data", name), tmp_path / "out"
    row = explaining.write_pictures(model, path, model(path), methods=["gradient"], target=None, out=out)
    (file,) = out.iterdir()
    assert row["pictures"] == {"gradient": str(file)}
    assert decoding.decode(file.read_bytes()).shape[2] == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "out"]
    assert file.name.isprintable()
    assert not file.name.startswith("=")


def test_two_files_of_one_name_get_pictures_of_their_own(tmp_path):
    model, out = corner(), tmp_path / "out"
    for folder in ("a", "b"):
        path = picture(tmp_path / folder)
        explaining.write_pictures(model, path, model(path), methods=["gradient"], target=None, out=out)
    assert len(list(out.iterdir())) == 2
