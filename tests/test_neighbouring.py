"""Which training images speak for an answer: closed forms beside autograd, and planted copies that must come first."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import seewhy
from seewhy import predicting
from seewhy.images import decoding
from seewhy.neighbouring import influence, learn, near, settings_for
from seewhy.storage.cache import Cache
from seewhy.storage.run import Run
from seewhy.tables import baseline
from seewhy.types import finished

QUICK = {"network": "resnet_tiny", "steps": 24, "threads": 1, "batch": 8}


# ------------------------------------------------------------------------------------------------- closed forms


class Head(nn.Module):
    """A layer to embed by and the last linear layer."""

    def __init__(self, bias):
        super().__init__()
        self.body, self.last = nn.Linear(5, 4), nn.Linear(4, 3, bias=bias)

    def forward(self, x):
        return self.last(self.body(x).tanh())


def gradient(network, score):
    """d score / d the last layer, all of it in one row."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(score, list(network.last.parameters()))])


def setting(bias):
    torch.manual_seed(0)
    network, images, labels = Head(bias).double(), torch.randn(20, 5).double(), torch.arange(20) % 3
    asked = torch.randn(1, 5).double()
    with torch.no_grad():
        reads = [network.body(x).tanh() for x in (images, asked)]
        logs = [network.last(x).log_softmax(1) for x in reads]
    return network, images, labels, asked, reads, logs


@pytest.mark.parametrize("bias", [True, False])
def test_influence_is_the_product_of_gradients_that_autograd_takes_example_by_example(bias):
    network, images, labels, asked, reads, logs = setting(bias)
    slope = functional.one_hot(torch.tensor(1), 3) - logs[1][0].exp()  # of the log-probability of class 1
    given = [logs[0].numpy(), reads[0].numpy(), labels.numpy()]
    found = influence(*given, slope.numpy(), reads[1][0].numpy(), bias=bias)
    of_asked = gradient(network, functional.cross_entropy(network(asked), torch.tensor([1])))
    slow = [
        float(of_asked @ gradient(network, functional.cross_entropy(network(image[None]), label[None])))
        for image, label in zip(images, labels, strict=True)
    ]
    assert found == pytest.approx(slow, rel=1e-9)
    contrast = influence(*given, np.array([1.0, -1.0, 0.0]), reads[1][0].numpy(), bias=bias)
    output = network(asked)[0]
    of_contrast = gradient(network, output[0] - output[1])
    slow = [
        -float(of_contrast @ gradient(network, functional.cross_entropy(network(image[None]), label[None])))
        for image, label in zip(images, labels, strict=True)
    ]
    assert contrast == pytest.approx(slow, rel=1e-9)


def test_influence_is_what_a_small_step_on_the_example_adds_to_the_log_probability():
    network, images, labels, _asked, reads, logs = setting(bias=True)
    slope = (functional.one_hot(torch.tensor(2), 3) - logs[1][0].exp()).numpy()
    found = influence(logs[0].numpy(), reads[0].numpy(), labels.numpy(), slope, reads[1][0].numpy(), bias=True)
    rate, before = 1e-5, logs[1][0, 2]
    for row in range(len(images)):
        loss = functional.cross_entropy(network(images[row : row + 1]), labels[row : row + 1])
        weights = list(network.last.parameters())
        steps = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            moved = [weight - rate * step for weight, step in zip(weights, steps, strict=True)]
            after = functional.linear(reads[1], *moved).log_softmax(1)[0, 2]
        assert float((after - before) / rate) == pytest.approx(found[row], rel=1e-3, abs=1e-6)


def test_a_row_without_a_label_has_no_influence_and_many_rows_are_those_of_few():
    random = np.random.default_rng(0)
    logs = np.log(random.dirichlet(np.ones(3), 9000))
    rows, labels, reads = random.normal(size=(9000, 4)), random.integers(0, 3, 9000), random.normal(size=4)
    slope = np.array([0.5, -0.2, -0.3])
    whole = influence(logs, rows, labels, slope, reads, bias=True)
    assert whole[5000:5003] == pytest.approx(
        influence(logs[5000:5003], rows[5000:5003], labels[5000:5003], slope, reads, bias=True)
    )
    labels[7] = -1
    assert influence(logs, rows, labels, slope, reads, bias=True)[7] == 0


# ------------------------------------------------------------------------------------------------ planted copies


@pytest.fixture(scope="module")
def made(tmp_path_factory, write):
    """Photos of cats and dogs, one of them thrice more: twice as a cat, once as a dog; and a run that learnt them."""
    folder = tmp_path_factory.mktemp("made")
    photos = write(folder / "photos", each=24)
    for label, name in (("cat", "copy-a.png"), ("cat", "copy-b.png"), ("dog", "mislabelled.png")):
        shutil.copy(photos / "cat" / "0.png", photos / label / name)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (photos / split / name).mkdir(parents=True)
    for name in ("cat", "dog"):
        for number, path in enumerate(sorted((photos / name).iterdir())):
            path.rename(photos / ("test" if 20 <= number < 22 else "train") / name / path.name)
        (photos / name).rmdir()
    (folder / "asked.png").write_bytes((photos / "train" / "cat" / "0.png").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SEEWHY_CACHE", str(folder / "tables"))
        seewhy.train("photos", out="run", keep_checkpoints=3, **QUICK)
    return folder


@pytest.fixture
def trained(here, made):
    """All that in the current folder."""
    shutil.copytree(made, here, dirs_exist_ok=True)
    return here


def learnt(model, name="run", data="photos"):
    return finished(learn(model, settings_for(name, data), Cache("tables")))


def test_a_mislabelled_copy_comes_first_against_and_copies_first_for(trained):
    model = seewhy.load("run")
    known = learnt(model)
    assert known.known
    assert [moment.step for moment in known.before] == [4, 12, 20]
    assert len(known.dataset) == known.dataset.splits.count("train") > 30
    found = near(known, model.example("asked.png"), "cat", content=(trained / "asked.png").read_bytes())
    for by, ranking in found.items():
        first = ranking.opposing[0]
        assert (first.id, first.target, first.same) == ("train/dog/mislabelled.png", "dog", True), by
    copies = {"train/cat/0.png", "train/cat/copy-a.png", "train/cat/copy-b.png"}
    by_likeness = found["embedding"].supporting
    assert {each.id for each in by_likeness[:3]} == copies
    assert [each.score for each in by_likeness[:3]] == pytest.approx([1, 1, 1], abs=1e-3)
    assert all(each.target == "cat" for each in by_likeness)
    assert not by_likeness[3].same
    assert all(each.score > 0 for each in found["tracin"].supporting)
    assert all(each.score < 0 for each in found["tracin"].opposing)
    assert found["tracin"].unit == "nats"
    assert found["tracin"].note == "over the weights after steps 4, 12, 20, each at its learning rate"
    rather = near(known, model.example("asked.png"), "dog - cat")
    assert rather["tracin"].unit == "logits"
    assert rather["tracin"].supporting[0].id == "train/dog/mislabelled.png"
    assert {each.id for each in rather["embedding"].opposing[:3]} == copies


def test_moments_add_up_each_at_its_learning_rate(trained):
    """TracIn over three moments against autograd, example by example, on the networks as they were."""
    model = seewhy.load("run")
    known, example = learnt(model), model.example("asked.png")
    found = near(known, example, "cat", count=len(known.dataset))["tracin"]
    scores = {each.id: each.score for each in (*found.supporting, *found.opposing)}
    expected = dict.fromkeys(known.dataset.ids, 0.0)
    for weights, _, rate in Run("run").kept_weights():
        network = model.holding(weights).network
        last = list(predicting.last_linear(network).parameters())

        def slope(one, network=network, last=last):
            batch = model.task.collate([one])
            loss = model.task.loss(network(**batch.inputs), batch).sum()
            return torch.cat([part.flatten() for part in torch.autograd.grad(loss, last)])

        asked = slope(replace(example, target="cat"))
        for one in known.dataset:
            expected[one.id] += rate * float(asked @ slope(one))
    largest = max(map(abs, expected.values()))
    assert {id: scores.get(id, 0.0) for id in expected} == pytest.approx(expected, abs=5e-3 * largest)  # float16 tables


def test_tables_are_made_once_and_the_moments_have_their_own(trained, monkeypatch):
    made = []
    predict = baseline.predict
    monkeypatch.setattr(baseline, "predict", lambda *given, **named: made.append(1) or predict(*given, **named))
    model = seewhy.load("run")
    learnt(model)
    assert len(made) == 4  # the final weights and three moments
    learnt(model)
    assert len(made) == 4


def test_what_it_rests_on_is_said(trained, write):
    shutil.rmtree(trained / "run" / "checkpoints")
    model = seewhy.load("run")
    alone = near(learnt(model), model.example("asked.png"), "cat")["tracin"]
    assert alone.note == "over the final weights alone: the run kept none on the way (seewhy train --keep-checkpoints)"
    assert alone.unit == "nats a unit of learning rate"
    assert alone.opposing[0].id == "train/dog/mislabelled.png"
    write(trained / "others", each=4, side=20)
    other = learnt(model, data="others")
    assert (other.known, len(other.dataset)) == (False, 8)
    found = near(other, model.example("asked.png"), "cat")
    assert "it is not known that the model was trained on these images" in found["tracin"].note
    assert "it is not known that the model was trained on these images" in found["embedding"].note


class Twice(nn.Module):
    """Stands behind the last linear layer."""

    def forward(self, logits):
        return 2 * logits


def test_a_question_inside_the_network_is_no_answer_and_what_stands_behind_the_last_layer_has_no_closed_form(trained):
    model = seewhy.load("run")
    with pytest.raises(ValueError, match="for or against a class, not 'channel 3 of conv1'; name a class or A - B"):
        near(learnt(model), model.example("asked.png"), "conv1:3")
    renamed = model.subset({"cat": ["cat"], "dog": ["dog"]})
    found = near(learnt(renamed), renamed.example("asked.png"), "cat")
    assert found["tracin"].opposing[0].id == "train/dog/mislabelled.png"  # each class stands for one: nothing is merged
    model.network.merge = Twice()
    found = near(learnt(model), model.example("asked.png"), "cat")
    assert found["tracin"].note.startswith("The answer is not what the last linear layer gives")
    assert not (found["tracin"].supporting)
    assert not (found["tracin"].opposing)
    assert found["embedding"].opposing[0].id == "train/dog/mislabelled.png"


def test_the_command_writes_a_picture_and_tells_people_and_programs(trained, command):
    words = ("explain", "run", "asked.png", "--method", "gradient", "--neighbours", "photos", "--target", "cat")
    told = json.loads(command(*words, "--json").out)["explanations"][0]
    assert set(told["pictures"]) == {"gradient"}
    found = told["neighbours"]
    assert found["by"]["tracin"]["opposing"][0]["id"] == "train/dog/mislabelled.png"
    assert found["trained_on_these"] is True
    picture = decoding.decode((trained / found["picture"]).read_bytes())
    assert picture.shape[0] > 200
    (kept,) = (trained / "explained").glob("*.json")
    assert json.loads(kept.read_text())["neighbours"] == found
    shown = command(*words).out
    assert "opposing by tracin (nats): train/dog/mislabelled.png (dog, -" in shown
    assert ", the same file)" in shown
    assert "over the weights after steps 4, 12, 20" in shown
    ended = command("explain", "run", "asked.png", "--neighbours", "nowhere")
    assert ended.code == 2
    assert "nowhere" in ended.err


def test_from_python_a_model_by_name_or_in_memory(trained):
    found = seewhy.neighbours("run", "asked.png", "photos", count=2)
    assert len(found["embedding"].supporting) == len(found["embedding"].opposing) == 2
    model = seewhy.load("run")
    assert seewhy.neighbours(model, "asked.png", "photos")["embedding"].opposing[0].target == "dog"
