"""Heat for a data set, for one image, and on disk, under any file name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seewhy import data, explaining, networks, passes, shelf
from seewhy.images import decoding
from seewhy.model import Model
from seewhy.storage import files
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing, finished


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
    row = finished(explaining.write_pictures(model, path, model(path), methods=["gradient"], out=out))
    (file,) = out.glob("*.png")
    assert row["pictures"] == {"gradient": str(file)}
    assert decoding.decode(file.read_bytes()).shape[2] == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "out"]
    assert file.name.isprintable()
    assert not file.name.startswith("=")


def test_two_files_of_one_name_get_pictures_of_their_own(tmp_path):
    model, out = corner(), tmp_path / "out"
    for folder in ("a", "b"):
        path = picture(tmp_path / folder)
        finished(explaining.write_pictures(model, path, model(path), methods=["gradient"], out=out))
    assert len(list(out.glob("*.png"))) == len(list(out.glob("*.npz"))) == len(list(out.glob("*.json"))) == 2


def test_the_heat_and_what_was_asked_lie_beside_the_pictures(tmp_path):
    model, path = corner(), picture(tmp_path)
    row = finished(
        explaining.write_pictures(
            model,
            path,
            model(path),
            methods=["gradient", "grad_cam"],
            target="light - dark",
            layer="look",
            out=tmp_path / "out",
        )
    )
    (told,) = (tmp_path / "out").glob("*.json")
    assert files.read_json(told) == row
    assert row["question"] == "light rather than dark"
    with np.load(row["heat"], allow_pickle=False) as heat:
        assert set(heat) == {"gradient", "grad_cam"} == set(row["pictures"]) == set(row["passes"])
        assert heat["grad_cam"].shape == (16, 16)
        assert heat["gradient"].dtype == np.float32


def test_the_whole_shelf_is_asked_by_one_word_and_what_is_unsuitable_says_why(tmp_path):
    model, path = corner(), picture(tmp_path)
    row = finished(explaining.write_pictures(model, path, model(path), methods=["all"], out=tmp_path / "out"))
    assert row["pictures"].keys() | row["unsuitable"].keys() == shelf.members("explainers").keys()
    assert "no attention" in row["unsuitable"]["chefer"]
    assert "grad_cam" in row["pictures"]
    with pytest.raises(passes.Unsuitable, match="no attention between all places"):
        explaining.explain_one(model, path, methods=["chefer"])


def test_all_methods_share_one_table_of_masks_and_one_alone_has_its_own(tmp_path):
    model, path = corner(), picture(tmp_path)
    every = explaining.explain_one(model, path, methods=["all"])
    assert every["occlusion"].settings == every["sobol"].settings == {"design": "shared"}
    assert not explaining.explain_one(model, path, methods=["occlusion"])["occlusion"].settings
    alone = explaining.explain_one(model, path, methods=["occlusion"], design="shared")["occlusion"]
    assert np.array_equal(alone.heat["image"], every["occlusion"].heat["image"])


def test_without_a_method_named_a_few_cheap_ones_are_used(tmp_path):
    assert tuple(explaining.explain_one(corner(), picture(tmp_path))) == explaining.USUAL


def test_a_budget_leaves_out_what_it_does_not_reach(tmp_path):
    found = explaining.explain_one(corner(), picture(tmp_path), methods=["occlusion", "gradient"], budget="2 forwards")
    assert set(found) == {"gradient"}


def test_a_layer_a_design_and_a_budget_are_checked_before_any_image_is_read():
    with pytest.raises(ValueError, match="No design 'shard'. Did you mean 'shared'\\? There are: own, shared"):
        explaining.check(corner(), design="shard")
    with pytest.raises(KeyError, match="No layer 'loko'. Did you mean 'look'?"):
        explaining.check(corner(), layer="loko")
    with pytest.raises(
        ValueError, match="The budget is 'much'; it must be a time or a number of passes: '2 s', '300 f"
    ):
        explaining.check(corner(), budget="much")


def test_a_setting_of_a_method_reaches_it_and_one_that_there_is_not_is_named(tmp_path):
    model, path = corner(), picture(tmp_path)
    plain, black = (
        explaining.explain_one(model, path, methods=["occlusion"], chosen=chosen)["occlusion"]
        for chosen in (None, {"occlusion": {"fill": "black", "patch": 4}})
    )
    assert black.settings == {"fill": "black", "patch": 4}
    assert not np.array_equal(plain.heat["image"], black.heat["image"])
    for chosen, words in (
        ({"occlusion": {"fil": "black"}}, "The explainer 'occlusion' has no setting 'fil'. Did you mean 'fill'?"),
        ({"occlusion": {"patch": "x"}}, "occlusion.patch is 'x'; it must be of type int"),
        (
            {"oclusion": {}},
            "There is a setting of 'oclusion', which is not used. Did you mean 'occlusion'? There are: oc",
        ),
        ({"deletion": {"stps": 1}}, "The measure 'deletion' has no setting 'stps'. Did you mean 'steps'?"),
    ):
        with pytest.raises(ValueError) as error:
            explaining.check(model, methods=["occlusion"], measured=["deletion"], chosen=chosen)
        assert words in str(error.value)


def test_what_explaining_costs_is_told_beforehand_and_is_not_less_than_it_does_cost(tmp_path):
    model, path = corner(), picture(tmp_path)
    for methods in (["gradient", "grad_cam"], ["occlusion"], ["integrated_gradients", "rise", "smooth_grad"]):
        told = explaining.forecast(model, path, methods=methods)
        found = explaining.explain_one(model, path, methods=methods)
        assert told["alone"] == {name: each.passes for name, each in found.items()}
        assert max(told["alone"].values()) <= told["passes"] <= sum(told["alone"].values())
        assert told["seconds"] > 0
        assert told["bytes"] > 0
    assert explaining.forecast(model, path, methods=["gradient"], target="look:1")["question"] == "channel 1 of look"


def test_maps_are_measured_beside_maps_that_never_asked_the_network(tmp_path):
    model, path, out = corner(), picture(tmp_path), tmp_path / "out"
    row = finished(
        explaining.write_pictures(
            model,
            path,
            model(path),
            methods=["gradient", "lrp_gamma"],
            measured=["complexity", "random_logit"],
            out=out,
        )
    )
    assert set(row["pictures"]) == {"gradient", "lrp_gamma"}
    assert set(row["faithfulness"]) == {"gradient", "lrp_gamma", "control: edges", "control: centre", "control: random"}
    assert set(row["faithfulness"]["lrp_gamma"]) == {"conserved", "complexity", "random_logit"}
    assert row["faithfulness"]["control: random"]["random_logit"] == pytest.approx(1)
    with pytest.raises(KeyError, match="No measure 'complexiti'. Did you mean 'complexity'"):
        explaining.check(model, measured=["complexiti"])


def test_what_a_measure_lacks_is_told_beside_what_methods_lack(tmp_path):
    model, path = corner(), picture(tmp_path)
    wishes = {"methods": ["gradient"], "target": "look:1", "measured": ["pointing", "random_logit", "complexity"]}
    row = finished(explaining.write_pictures(model, path, model(path), out=tmp_path / "out", **wishes))
    assert set(row["faithfulness"]["gradient"]) == {"complexity"}
    assert row["unsuitable"] == {
        "pointing": "The images have no masks of their objects",
        "random_logit": "There is no rival answer to explain",
    }


def whole_files(folder):
    """The one JSON of a folder and the heat beside it, once every file of it is seen to be whole."""
    assert not list(folder.glob("*.unfinished"))
    (told,) = map(files.read_json, folder.glob("*.json"))
    with np.load(told["heat"], allow_pickle=False) as arrays:
        heat = dict(arrays)
    assert set(heat) == set(told["pictures"]) == set(told["passes"])
    for file in told["pictures"].values():
        assert decoding.decode(Path(file).read_bytes()).shape[2] == 3
    return told, heat


def test_what_is_given_up_leaves_the_last_maps_and_says_how_many_passes_they_rest_on(tmp_path):
    model, path, out = corner(), picture(tmp_path), tmp_path / "out"
    work = explaining.write_pictures(model, path, model(path), methods=["gradient", "rise"], out=out)
    steps = [next(work) for _ in range(4)]
    assert not out.exists()  # nothing is written twice where all is over soon
    work.close()
    told, sketch = whole_files(out)
    assert (steps[-1].stage, steps[-1].total) == ("passes", 4002)
    assert told["unfinished"] == {"passes": steps[-1].done, "of": 4002}
    assert told["passes"] == {"gradient": 2, "rise": steps[-1].done}
    assert 2 < steps[-1].done < 4002
    said = explaining.unfinished(path, out)
    assert (
        said == f"The maps that {next(out.glob('*.json'))} tells of rest on {steps[-1].done:,} of at most 4,002 passes."
    )
    finished(explaining.write_pictures(model, path, model(path), methods=["gradient", "rise"], out=out))
    told, heat = whole_files(out)
    assert "unfinished" not in told
    assert explaining.unfinished(path, out) is None
    assert np.array_equal(sketch["gradient"], heat["gradient"])
    assert np.corrcoef(sketch["rise"].ravel(), heat["rise"].ravel())[0, 1] > 0.7
    assert not np.array_equal(sketch["rise"], heat["rise"])


def test_pictures_are_written_over_with_better_ones_and_come_to_the_same(tmp_path, monkeypatch):
    model, path, out = corner(), picture(tmp_path), tmp_path / "out"
    wishes = {"methods": ["occlusion", "rise", "gradient"], "out": out}
    plain = finished(explaining.write_pictures(model, path, model(path), **wishes))
    at_the_end = {file.name: file.read_bytes() for file in out.iterdir()}
    for file in out.iterdir():
        file.unlink()
    monkeypatch.setattr(explaining, "EVERY", 0.0)
    work = explaining.write_pictures(model, path, model(path), **wishes)
    first = next(work)
    told, heat = whole_files(out)
    assert told["unfinished"]["passes"] == first.done
    assert set(heat) == {"gradient"}
    assert finished(work) == plain
    assert list(plain["pictures"]) == wishes["methods"]
    assert {file.name: file.read_bytes() for file in out.iterdir()} == at_the_end
