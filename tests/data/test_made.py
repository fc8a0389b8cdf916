"""Made data are the world's own images, in memory and on the disk alike."""

import csv
import pickle

import numpy as np
import pytest

from seewhy import data
from seewhy.data import made
from seewhy.material import scanning
from seewhy.worlds import World

WORLD = World(classes=3, background=(0.9, 0.0), mark=0.5, noise=0.1, group=0.3, train=40, test=20)


def test_text_says_the_same_as_a_world():
    text = "made: background=.9:0, noise=.1,classes=3,mark=0.5,group=.3,train=40,test=20"
    assert made.world_of(text) == WORLD
    assert made.world_of(str(WORLD)) == WORLD
    assert made.world_of("made") == made.world_of("made:") == World()
    first, second = data.open(text), data.open(WORLD)
    assert first.name == second.name == str(WORLD)
    assert first.ids == second.ids
    np.testing.assert_array_equal(first.pixels(3), second.pixels(3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("made:backgrund=1", r"has 'backgrund=1', which turns no knob. Did you mean 'background'\? Knobs are written"),
        ("made:background", "has 'background', which turns no knob"),
        ("made:background=much", "The knob 'background' of .* is 'much'; expected a number, or two as 0.9:0"),
        ("made:background=1:2:3", "is '1:2:3'; expected a number, or two as 0.9:0"),
        ("made:side=32.5", "is '32.5'; expected a whole number"),
        ("made:minority=.1:.2", "is '.1:.2'; expected a number"),
        ("made:classes=9", "2 to 4 classes, not 9"),
    ],
)
def test_a_knob_that_cannot_be_read_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        data.open(text)


def test_a_data_set_holds_what_the_scene_says():
    dataset, scene = data.open(WORLD), WORLD.scene((*WORLD.ids("train"), *WORLD.ids("test")))
    assert len(dataset) == len(WORLD) == 60
    assert dataset.splits == ("train",) * 40 + ("test",) * 20
    assert dataset.classes == ("cross", "disc", "square")
    assert dataset.targets == tuple(scene["label"])
    assert set(dataset.tags) == {"shape", "colour", "background", "mark", "tint", "group"}
    for name, column in dataset.tags.items():
        assert column == tuple(scene[name])
    pixels, masks, boxes = scene.pixels(), scene.masks(), scene.boxes()
    for row in (0, 39, 40, 59):
        example = dataset[row]
        assert torch_equal(example.inputs["image"], scene.images()[row])
        np.testing.assert_array_equal(dataset.pixels(row), pixels[row])
        np.testing.assert_array_equal(example.mask, masks[row])
        np.testing.assert_array_equal(example.boxes.corners, boxes[row : row + 1])
        assert example.boxes.labels == (scene["shape"][row],)


def torch_equal(first, second):
    return first.shape == second.shape and bool((first == second).all())


def test_many_images_take_no_memory_and_little_room_on_their_way_to_a_worker():
    dataset = data.open(World(train=3000))
    assert len(pickle.dumps(dataset.source)) < 1000
    assert len(pickle.dumps(dataset)) < 500 * len(dataset)


def test_a_folder_of_that_name_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.open("made").problems == ()
    (tmp_path / "made").mkdir()
    (problem,) = data.open("made").problems
    assert "./made would mean that one" in problem.what


def test_the_folder_holds_the_same_images_to_the_bit(tmp_path):
    folder = made.write(WORLD, tmp_path / "world")
    there, here = data.open(folder), data.open(WORLD)
    assert there.problems == ()
    assert there.classes == here.classes
    assert dict(there.tags) == dict(here.tags)
    assert there.splits == here.splits
    assert there.targets == here.targets
    for row, (first, second) in enumerate(zip(there, here, strict=True)):
        np.testing.assert_array_equal(there.pixels(row), here.pixels(row))
        np.testing.assert_array_equal(first.mask, second.mask)
        np.testing.assert_array_equal(first.boxes.corners, second.boxes.corners)
        assert first.boxes.labels == second.boxes.labels
    rows = list(csv.DictReader((folder / "metadata.csv").read_text().splitlines()))
    assert all(row["file_name"].split("/")[:2] == [row["split"], row["label"]] for row in rows)
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_world_is_never_written_over_anything(tmp_path):
    (tmp_path / "world").mkdir()
    with pytest.raises(FileExistsError, match="is there already; a made world is written to a new folder"):
        made.write(WORLD, tmp_path / "world")


@pytest.mark.parametrize(
    "world", [World(train=500, test=100), World(classes=4, background=0.95, mark=0.95, grain=2.0, train=900, test=100)]
)
def test_the_scan_finds_nothing_wrong_and_no_two_alike(world):
    scan = last(scanning.scan(data.open(world), threads=1))
    assert scan.problems == ()
    assert scan.same == ()
    assert scan.near == ()


def last(steps):
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value
