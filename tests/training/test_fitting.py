"""From images to a model: what is chosen, what is remembered, and how a stopped training goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seewhy.material import opening
from seewhy.model import Model
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.storage.run import Run
from seewhy.training import fitting
from seewhy.types import Problem, Progress


def finished(work):
    """What the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def pixels(count=40, side=8, colour=True):
    """Light and dark images, no two alike, as (images, labels)."""
    random = np.random.default_rng(0)
    labels = ["dark", "light"] * (count // 2)
    channels = 3 if colour else 1
    images = [random.integers(0, 128, (side, side, channels)) + 120 * (label == "light") for label in labels]
    return np.stack(images).repeat(1 if colour else 3, axis=3).astype(np.uint8), labels


def asked(**settings):
    return Settings(**{"data": "arrays", "network": "resnet_tiny", "steps": 8, "threads": 1, **settings})


def train(out, given=None, **settings):
    return finished(fitting.train(asked(**settings), out=out, data=given or pixels()))


def equal(first: Model, second: Model) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_same_settings_give_the_same_weights_and_another_seed_others(here):
    first, run = train("a")
    torch.rand(7)  # what was drawn in this process before changes nothing
    assert equal(first, train("b")[0])
    assert not equal(first, train("c", seed=1)[0])
    assert equal(first, Model.load(run.model_folder))


@pytest.mark.parametrize("step", [1, 4])
def test_a_training_that_is_stopped_between_steps_goes_on_to_the_same_weights(here, step):
    whole, _ = train("whole")
    work = fitting.train(asked(), out="stopped", data=pixels())
    for progress in work:
        if progress.stage == "train" and progress.done == step:
            work.close()
    run = Run("stopped")
    assert run.load_checkpoint()[1]["step"] == step
    assert not run.model_folder.exists()
    resumed, _ = train("stopped")
    assert equal(resumed, whole)
    assert run.load_checkpoint() is None
    steps = [row["step"] for row in run.logged()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 8


def test_a_kill_costs_what_came_after_the_last_save_and_changes_nothing(here, monkeypatch):
    whole, _ = train("whole")
    saves = []
    save = Run.save_checkpoint

    def save_at_first(run, tensors, plain):
        if plain["step"] <= 3:  # the steps after it are lost, and what they logged comes again
            saves.append(plain["step"])
            save(run, tensors, plain)

    with monkeypatch.context() as killed:
        killed.setattr(fitting, "SAVE_EVERY", 0.0)
        killed.setattr(Run, "save_checkpoint", save_at_first)
        work = fitting.train(asked(), out="killed", data=pixels())
        for progress in work:
            if progress.done == 6 and progress.stage == "train":
                work.close()
    assert saves[-1] == 3
    assert [row["step"] for row in Run("killed").logged()] == [1, 2, 3, 4, 5]
    resumed, run = train("killed")
    assert equal(resumed, whole)
    assert [row["step"] for row in run.logged()] == list(range(1, 9))


def test_what_a_run_asks_of_the_loop_reaches_it_and_the_models_past(here):
    asked_for = {"ema": 0.9, "mixup": 0.2, "accumulate": 2, "precision": "bf16", "layer_decay": 0.8, "clip": 2.0}
    model, _ = train("a", rand_augment=4, **asked_for)
    how = model.provenance["training"]
    assert {name: how[name] for name in asked_for} == asked_for
    assert how["augmentation"]["rand_augment"] == 4
    assert how["augmentation"]["shift"] > 0  # what is usual stays
    assert model.provenance["notes"] == []
    assert not equal(model, train("b")[0])


def test_the_views_that_a_model_answers_by_are_kept_with_it(here):
    model, run = train("a", tta="flip")
    assert (model.views, model.provenance["views"]) == ("flip", "flip")
    assert Model.load(run.model_folder).views == "flip"
    assert equal(model, train("b")[0])  # training itself knows nothing of it


def test_weights_that_are_not_finite_reach_no_file(here, monkeypatch):
    made = []
    made_ready = fitting._made_ready

    def remembered(*given):
        model, loop = made_ready(*given)
        made.append(loop)
        return model, loop

    monkeypatch.setattr(fitting, "_made_ready", remembered)
    work = fitting.train(asked(), out="a", data=pixels())
    with pytest.raises(FloatingPointError, match=r"stopped after step 3: '\S+' is no longer finite"):  # noqa: PT012
        for progress in work:
            if progress.stage == "train" and progress.done == 3:
                (loop,) = made
                torch.nn.init.constant_(next(loop.network.parameters()), torch.inf)
                work.close()
    assert Run("a").load_checkpoint() is None
    assert not Run("a").model_folder.exists()


def test_a_rate_is_suggested_and_nothing_is_written(here):
    curve = finished(fitting.find_rate(asked(optimizer="sgd"), data=pixels()))
    assert curve.rates[0] < curve.suggested < curve.rates[-1]
    assert list(here.iterdir()) == []


def test_a_finished_training_is_not_done_again(here, monkeypatch):
    first, _ = train("a")
    monkeypatch.setattr(fitting.training, "Training", None)
    assert equal(first, train("a")[0])


def test_a_scan_is_remembered_by_content_and_an_edited_file_is_seen(here, photos, monkeypatch):
    cache, settings = Cache(here / "cache"), Settings(data=str(photos))
    first = finished(opening.open_material(settings, cache))
    scans = []
    scan = opening.scanning.scan
    monkeypatch.setattr(opening.scanning, "scan", lambda *given, **named: scans.append(1) or scan(*given, **named))
    assert finished(opening.open_material(settings, cache)).digest == first.digest
    assert not scans
    (photos / "cat" / "1.png").write_bytes((photos / "cat" / "2.png").read_bytes())
    changed = finished(opening.open_material(settings, cache))
    assert scans
    assert changed.digest != first.digest
    assert changed.scan.same == (("cat/1.png", "cat/2.png"),)


def test_a_scan_that_hung_on_the_moment_is_made_again(here, photos, monkeypatch):
    """A file that was too slow for a busy machine is not left out for ever."""
    scan, codes = opening.scanning.scan, iter(["too-slow", "broken-image", "never asked"])

    def once(*given, **named):
        found = yield from scan(*given, **named)
        return replace(found, quarantine=(Problem(next(codes), "cat/1.png", "words"),))

    monkeypatch.setattr(opening.scanning, "scan", once)
    dataset, cache = opening.sources.open(photos), Cache(here / "cache")
    seen = [finished(opening.remembered_scan(dataset, cache, 1)).quarantine[0].code for _ in range(3)]
    assert seen == ["too-slow", "broken-image", "broken-image"]


def test_the_digest_names_content_labels_tags_and_split(here, photos):
    cache = Cache(here / "cache")
    digests = [
        finished(opening.open_material(Settings(data=str(photos), **settings), cache)).digest
        for settings in ({}, {"seed": 1}, {"split": "random", "seed": 2})
    ]
    (photos / "cat" / "1.png").rename(photos / "dog" / "other.png")
    digests.append(finished(opening.open_material(Settings(data=str(photos)), cache)).digest)
    assert len(set(digests)) == 4


def test_small_images_keep_their_size_and_are_normalised_by_the_training_split(here):
    model, _ = train("a", pixels(side=12))
    assert model.preprocessing.size == (12, 12)
    assert all(0.3 < mean < 0.6 for mean in model.preprocessing.mean)
    assert train("b", pixels(side=12), image_size=24)[0].preprocessing.size == (24, 24)


def test_the_network_is_chosen_and_the_reason_is_kept(here):
    model, _ = train("a", network=None)
    assert model.name == "resnet_tiny"
    assert model.provenance["network_reason"].startswith("28 images of 2 classes, usually 8 x 8 pixels: tiny images")
    assert train("b")[0].provenance["network_reason"] == "named by you"


def test_a_classifier_needs_two_classes(here):
    images, _ = pixels(8)
    with pytest.raises(ValueError, match=r"has 1 class\(es\); a classifier needs 2. . rows of the classes 'cat'"):
        train("a", (images, ["cat"] * 8))


def test_data_without_a_usable_image_say_what_is_wrong_with_the_first(here):
    (here / "photos" / "cat").mkdir(parents=True)
    (here / "photos" / "cat" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no image that can be used: 1 problem\(s\), the first: cat/a.png: "):
        finished(opening.open_material(Settings(data="photos"), Cache(here / "cache")))


def test_a_network_and_a_device_are_checked_before_anything_is_read(here):
    with pytest.raises(KeyError, match="No network 'lenett'. Did you mean 'lenet'"):
        next(fitting.train(asked(network="lenett", data="nowhere")))
    with pytest.raises(ValueError, match="The device 'cuda:77' cannot be used here"):
        next(fitting.train(asked(device="cuda:77", data="nowhere")))


def test_work_tells_how_far_it_is(here):
    stages = {
        progress.stage for progress in fitting.train(asked(), out="a", data=pixels()) if isinstance(progress, Progress)
    }
    assert {"open", "read", "scan", "decode", "train", "validate"} <= stages


def test_a_run_that_would_go_on_with_changed_files_names_them(here, photos):
    settings = Settings(data=str(photos), network="resnet_tiny", steps=4, threads=1)
    work = fitting.train(settings, out="run")
    for progress in work:
        if progress.stage == "train" and progress.done == 2:
            work.close()
    path = photos / "cat" / "1.png"
    before = path.read_bytes()
    path.write_bytes((photos / "cat" / "2.png").read_bytes())
    (photos / "dog" / "new.png").write_bytes((photos / "dog" / "3.png").read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"1 changed \('cat/1.png'\), 1 new \('dog/new.png'\)\. Put them back"):
        finished(fitting.train(settings, out="run"))
    path.write_bytes(before)
    (photos / "dog" / "new.png").unlink()
    model, run = finished(fitting.train(settings, out="run"))
    assert (run.folder / "quarantine.csv").read_text() == "path,code,bytes,what\n"
    path.write_bytes((photos / "cat" / "2.png").read_bytes())
    material = finished(opening.open_material(Settings(data=str(photos), model=str(run.folder)), Cache(), model=model))
    assert [(problem.code, problem.where) for problem in material.dataset.problems] == [
        ("changed-since-training", "cat/1.png")
    ]


def test_a_few_weights_of_the_training_are_kept_and_a_stopped_one_keeps_the_same(here, content):
    plain, bare = train("plain")
    whole, run = train("whole", keep_checkpoints=3)
    assert equal(whole, plain)
    assert not (bare.folder / "checkpoints").exists()
    kept = list(run.kept_weights())
    assert [step for _, step, _ in kept] == [2, 4, 7]  # the middles of three parts of 8 steps, the next whole step
    assert all(weights.keys() == whole.network.body.state_dict().keys() for weights, _, _ in kept)
    assert len({float(weights["conv1.weight"].sum()) for weights, _, _ in kept}) == 3
    for stop in (1, 4, 7):
        work = fitting.train(asked(keep_checkpoints=3), out=f"stopped-{stop}", data=pixels())
        for progress in work:
            if progress.stage == "train" and progress.done == stop:
                work.close()
        resumed, again = train(f"stopped-{stop}", keep_checkpoints=3)
        assert equal(resumed, whole)
        assert content(again.folder / "checkpoints") == content(run.folder / "checkpoints")


def test_what_is_kept_is_written_before_the_state_that_goes_on_from_it(here, monkeypatch, content):
    """A kill right after the state of a step was saved: the weights of that step are there already."""
    whole, run = train("whole", keep_checkpoints=2)
    with monkeypatch.context() as killed:
        killed.setattr(fitting, "SAVE_EVERY", 0.0)
        work = fitting.train(asked(keep_checkpoints=2), out="killed", data=pixels())
        for progress in work:
            if progress.stage == "train" and progress.done == 3:  # the state of step 2, a kept one, is the last on disk
                break
        assert Run("killed").load_checkpoint()[1]["step"] == 2
        assert [step for _, step, _ in Run("killed").kept_weights()] == [2]
        killed.setattr(Run, "save_checkpoint", lambda *given: None)
        work.close()
    resumed, again = train("killed", keep_checkpoints=2)
    assert equal(resumed, whole)
    assert content(again.folder / "checkpoints") == content(run.folder / "checkpoints")


def test_a_training_that_begins_anew_drops_what_an_earlier_one_kept(here):
    work = fitting.train(asked(keep_checkpoints=2), out="a", data=pixels())
    for progress in work:
        if progress.stage == "train" and progress.done == 2:
            work.close()
    Run("a").keep_weights({"x": torch.zeros(1)}, step=3, learning_rate=1.0)  # as from other minutes
    (here / "a" / "checkpoint.safetensors").unlink()
    _, run = train("a", keep_checkpoints=2)
    assert [step for _, step, _ in run.kept_weights()] == [2, 6]


def test_a_damaged_file_of_kept_weights_is_named(here):
    run = Run("a")
    run.keep_weights({"x": torch.zeros(1)}, step=3, learning_rate=1.0)
    (file,) = (here / "a" / "checkpoints").iterdir()
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(ValueError, match="00000003.safetensors is damaged"):
        list(run.kept_weights())
