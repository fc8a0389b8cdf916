"""A made world is what its knobs say, `do` changes what it should and nothing else, and nothing depends on the order."""

import math
import pickle
from itertools import product

import numpy as np
import pytest
import torch

from seewhy.worlds import COMPANIONS, NAMES, VARIABLES, World, drawing

WORLD = World(classes=4, background=0.6, colour=0.4, mark=0.5, tint=0.5, group=0.5, noise=0.2, grain_b=3.0, train=200)


def v(first, second):
    """Cramér's V of two columns of places, from their table of counts."""
    rows, columns = first.astype(int), second.astype(int)
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    return math.sqrt(((counts - expected) ** 2 / expected).sum() / counts.sum() / (min(counts.shape) - 1))


# -------------------------------------------------------------------------------------------- variables and knobs


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("knob", [0.0, 0.35, 0.9, 1.0])
def test_a_knob_is_the_association_with_the_label(classes, knob):
    world = World(classes=classes, train=20_000, **dict.fromkeys(COMPANIONS, knob))
    scene = world.scene(world.ids("train"))
    for variable in COMPANIONS:
        label = scene.places["label"]
        if variable == "mark":
            label = label == 0
        if variable == "group":
            if classes == 3:
                continue  # every second one of three: not half of them, so the knob is not V
            label = label % 2
        assert abs(v(label, scene.places[variable]) - knob) < 0.025, variable


def test_knobs_at_0_leave_all_variables_independent_of_each_other():
    world = World(classes=3, train=20_000)
    scene = world.scene(world.ids("train"))
    for first, second in product(COMPANIONS, COMPANIONS):
        if first < second:
            assert v(scene.places[first], scene.places[second]) < 0.025
    for variable in COMPANIONS:
        assert v(scene.places["shape"], scene.places[variable]) < 0.025


@pytest.mark.parametrize("variable", COMPANIONS)
def test_what_is_drawn_is_what_the_exact_table_says(variable):
    world = World(classes=4, minority=0.2, train=20_000, test=0, **{variable: (0.7, 0.0)})
    scene = world.scene(world.ids("train"))
    expected = world.share(variable, "train")
    np.testing.assert_allclose(expected.sum(1), 1)
    for label in range(4):
        rows = scene.places["label"] == label
        found = np.bincount(scene.places[variable][rows], minlength=expected.shape[1]) / rows.sum()
        np.testing.assert_allclose(found, expected[label], atol=0.03)


def test_a_knob_of_two_values_breaks_in_the_test():
    world = World(background=(0.9, 0.0), noise=(0.0, 0.3), train=10_000, test=10_000)
    train, test = (world.scene(world.ids(split)) for split in ("train", "test"))
    assert abs(v(train.places["label"], train.places["background"]) - 0.9) < 0.02
    assert v(test.places["label"], test.places["background"]) < 0.03
    assert (train["label"] == train["shape"]).all()
    assert abs((test["label"] != test["shape"]).mean() - 0.3) < 0.02


def test_class_and_group_sizes_are_as_asked():
    world = World(classes=3, first=0.9, minority=0.05, train=20_000)
    scene = world.scene(world.ids("train"))
    shares = np.bincount(scene.places["shape"]) / 20_000
    np.testing.assert_allclose(shares, [0.9, 0.05, 0.05], atol=0.01)
    assert abs((scene["group"] == "b").mean() - 0.05) < 0.01


def test_all_that_is_random_follows_from_the_seed_and_the_id_alone():
    ids = WORLD.ids("train")[:70]
    whole, order = WORLD.scene(ids), np.random.default_rng(0).permutation(70)
    pixels = whole.pixels()
    shuffled = WORLD.scene([ids[place] for place in order])
    np.testing.assert_array_equal(shuffled.pixels(), pixels[order])
    for row in (0, 33, 69):
        alone = WORLD.scene([ids[row]])
        np.testing.assert_array_equal(alone.pixels()[0], pixels[row])
        np.testing.assert_array_equal(alone.masks()[0], whole.masks()[row])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(WORLD)).scene(ids).pixels(), pixels)
    other = World(**{**vars(WORLD), "seed": 1}).scene(ids)
    assert (other.pixels() != pixels).any((1, 2, 3)).all()


def test_turning_one_knob_leaves_every_other_variable_as_it_was():
    ids = WORLD.ids("train")
    before, after = WORLD.scene(ids), World(**{**vars(WORLD), "tint": 0.9}).scene(ids)
    for variable in VARIABLES:
        assert (before[variable] == after[variable]).all() == (variable != "tint")


# -------------------------------------------------------------------------------------------------------------- do


def changed(before, after):
    """Where any channel differs: images x side x side."""
    return (before.pixels() != after.pixels()).any(3)


@pytest.mark.parametrize("variable", ["colour", "background", "mark", "tint"])
def test_do_changes_one_variable_and_its_own_pixels_alone(variable):
    scene = WORLD.scene(WORLD.ids("train"))
    for value in WORLD.values(variable):
        other = scene.do(**{variable: value})
        assert (other[variable] == value).all()
        for unchanged in VARIABLES:
            assert unchanged == variable or (other[unchanged] == scene[unchanged]).all()
        different = changed(scene, other)
        was_so = scene[variable] == value
        assert not different[was_so].any()
        assert different[~was_so].any((1, 2)).all()
        np.testing.assert_array_equal(other.masks(), scene.masks())
        if variable == "colour":
            assert not (different & ~scene.masks()).any()
        if variable == "background":
            free = ~scene.masks() & ~scene.marks()
            assert different[~was_so][free[~was_so]].all()
            assert not (different & (drawing.coverage(32, scene.places["shape"], scene.place) == 1)).any()
            assert not (different & scene.marks()).any()
        if variable == "mark":
            np.testing.assert_array_equal(different, scene.marks() ^ other.marks())
            assert (other.pixels()[other.marks()] == 255).all()


def test_what_follows_from_a_variable_follows_and_an_edit_does_not():
    scene = WORLD.scene(WORLD.ids("train"))
    square = scene.do(shape="square")
    moved = scene["shape"] != "square"
    assert (square["shape"] == "square").all()
    noisy = scene["label"] != scene["shape"]
    assert (square["label"][~noisy] == "square").all()
    assert (square["label"][noisy] != "square").all()  # the same noise strikes
    for variable in COMPANIONS:
        assert (square[variable] != scene[variable])[moved].any()
        assert (square[variable] == scene[variable])[~moved].all()
    edited = scene.edit(shape="square")
    assert (edited["shape"] == "square").all()
    for variable in VARIABLES[1:]:
        assert (edited[variable] == scene[variable]).all()
    np.testing.assert_array_equal(edited.place, scene.place)


def test_the_label_gives_the_companions_their_values_and_the_shape_stays():
    scene = WORLD.scene(WORLD.ids("train"))
    other = scene.do(label="triangle")
    assert (other["shape"] == scene["shape"]).all()
    assert ((other["background"] == scene["background"]) | (other["background"] == "heath")).all()
    assert (other["background"] == "heath").mean() > 0.55


def test_the_group_of_grainy_images_is_seen_in_the_grain_alone():
    scene = WORLD.scene(WORLD.ids("train"))
    a, b = scene.do(group="a"), scene.do(group="b")
    assert (a.images() - b.images()).abs().max() <= (10 - 3 + 1) / 255
    assert changed(a, b).any((1, 2)).all()
    quiet = World(**{**vars(WORLD), "grain_b": None}).scene(scene.ids)
    assert not changed(quiet.do(group="a"), quiet.do(group="b")).any()


def test_doing_it_back_gives_the_image_back_and_two_at_once_are_one_after_the_other():
    scene = WORLD.scene(WORLD.ids("train")[:50])
    back = scene.do(background="sea").do(background=scene["background"].tolist())
    np.testing.assert_array_equal(back.pixels(), scene.pixels())
    both = scene.do(background="sea", mark="yes")
    np.testing.assert_array_equal(both.pixels(), scene.do(mark="yes").do(background="sea").pixels())


def test_images_are_what_a_network_gets():
    scene = WORLD.scene(WORLD.ids("train")[:3])
    images = scene.images()
    assert images.shape == (3, 3, 32, 32)
    assert torch.equal((images * 255).round().to(torch.uint8).permute(0, 2, 3, 1), torch.from_numpy(scene.pixels()))


# ------------------------------------------------------------------------------------------------- the best accuracy


@pytest.mark.parametrize("using", [(), ("shape",), ("background",), ("shape", "background", "mark")])
@pytest.mark.parametrize("learnt_on", [None, "train"])
def test_the_best_accuracy_is_that_of_the_most_frequent_label_in_each_situation(using, learnt_on):
    world = World(classes=3, first=0.5, background=(0.8, 0.1), mark=(0.2, 0.9), noise=0.3, train=20_000, test=20_000)
    scene = {split: world.scene(world.ids(split)) for split in ("train", "test")}

    def situations(split):
        return sum(scene[split].places[name] * 3**place for place, name in enumerate(using)) + np.zeros(20_000, int)

    source = learnt_on or "test"
    counts = np.zeros((27, 3))
    np.add.at(counts, (situations(source), scene[source].places["label"]), 1)
    said = counts.argmax(1)[situations("test")]
    counted = (said == scene["test"].places["label"]).mean()
    assert abs(world.best_accuracy(*using, learnt_on=learnt_on) - counted) < 0.015


def test_the_best_accuracies_of_plain_worlds_are_those_one_can_work_out():
    world = World(classes=2, background=(0.8, 0.0), noise=0.25)
    assert world.best_accuracy("shape") == pytest.approx(0.75)
    assert world.best_accuracy("background", split="train") == pytest.approx(0.9)
    assert world.best_accuracy("background") == pytest.approx(0.5)
    assert world.best_accuracy("background", learnt_on="train") == pytest.approx(0.5)
    assert world.best_accuracy() == pytest.approx(0.5)
    # In training the background is the better sign, so the rule goes by it alone and breaks with it.
    assert world.best_accuracy("shape", "background", learnt_on="train") == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"classes": 5}, "2 to 4 classes, not 5: cross, disc, square, triangle"),
        ({"side": 8}, "24 to 512 pixels, not 8"),
        ({"background": 1.5}, "'background' of a made world is 1.5; it lies between 0 and 1"),
        ({"mark": (0.5, -0.1)}, "'mark' of a made world is -0.1"),
        ({"noise": math.nan}, "'noise' of a made world is nan"),
        ({"clutter": 40.0}, "'clutter' of a made world is 40; it lies between 0 and 12"),
        ({"grain_b": 40.0}, "'grain_b' of a made world is 40"),
        ({"train": 0, "test": 0}, "train=0 and test=0 make none"),
    ],
)
def test_a_knob_that_cannot_be_turned_so_far_is_named(knobs, words):
    with pytest.raises(ValueError, match=words):
        World(**knobs)


def test_what_is_not_there_is_named_with_what_is():
    world = World()
    scene = world.scene(world.ids("test")[:2])
    with pytest.raises(ValueError, match=r"no variable 'backgroud'. Did you mean 'background'\? It has: shape, label"):
        scene.do(backgroud="sea")
    with pytest.raises(ValueError, match=r"The background is never 'see' here. Did you mean 'sea'\? It is sand, sea"):
        scene.do(background="see")
    with pytest.raises(ValueError, match="3 values of mark came for 2 images"):
        scene.do(mark=["yes", "no", "no"])
    with pytest.raises(ValueError, match="has the splits train and test, not 'val'"):
        world.ids("val")
    with pytest.raises(ValueError, match="A rule is told shape, colour, .*, not 'label'"):
        world.best_accuracy("label")


def test_every_variable_has_names_that_no_table_takes_for_something_else():
    for values in NAMES.values():
        assert len(set(values)) == len(values)
    assert World(background=(0.9, 0.0), classes=3).__str__() == "made:classes=3,background=0.9:0.0"
    assert str(World()) == "made"
