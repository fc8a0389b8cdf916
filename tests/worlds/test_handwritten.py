"""Networks written by hand do what is written: effects are exactly 1, 0, or the weights."""

import numpy as np
import pytest
import torch

from seewhy.model import Model
from seewhy.worlds import World, handwritten

CLASSES = 3
WORLD = World(classes=CLASSES, train=90, clutter=12.0, grain=14.0, background=0.5, mark=0.5, seed=2)
VISIBLE = ("shape", "colour", "background", "mark", "tint")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scene():
    return WORLD.scene(WORLD.ids("train"))


def logits(network, scene):
    with torch.no_grad():
        return network.eval()(scene.images())


def goes_with(scene, variable):
    """The class that the values of a variable go with."""
    return torch.from_numpy(1 - scene.places["mark"] if variable == "mark" else scene.places[variable])


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("variable", VISIBLE)
def test_every_reader_reads_its_variable_exactly_whatever_the_others_are(variable, classes):
    world = World(classes=classes, train=200, clutter=12.0, grain=14.0, grain_b=0.0, seed=3)
    scene = world.scene(world.ids("train"))
    read = logits(handwritten.READERS[variable](classes, 32), scene)
    assert torch.equal(read, torch.nn.functional.one_hot(goes_with(scene, variable), classes).float())


@pytest.mark.parametrize("read", VISIBLE)
def test_the_effect_of_what_a_network_reads_is_1_and_that_of_all_else_0(scene, read):
    network = getattr(handwritten, f"reads_{'object' if read == 'shape' else read}")(classes=CLASSES)
    before = logits(network, scene)
    assert torch.equal(before.argmax(1), goes_with(scene, read))
    for variable in VISIBLE:
        for value in WORLD.values(variable):
            after = logits(network, scene.edit(**{variable: value}))
            if variable == read:
                to = goes_with(scene.edit(**{variable: value}), read)
                assert torch.equal(after.argmax(1), to)
                moved = (to != goes_with(scene, read)).float()
                assert torch.equal((after != before).any(1).float(), moved)
            else:
                assert torch.equal(after, before)


def test_in_the_additive_network_effects_add_up_and_are_the_weights(scene):
    network = handwritten.additive(classes=CLASSES)
    place = CLASSES - 1
    changes = {"shape": "cross", "background": "sea", "mark": "yes"}
    base = logits(network, scene)
    alone = {name: logits(network, scene.edit(**{name: value})) - base for name, value in changes.items()}
    together = logits(network, scene.edit(**changes)) - base
    torch.testing.assert_close(together, sum(alone.values()), atol=1e-6, rtol=0)
    third = goes_with(scene, "shape") == place
    assert (alone["shape"][third][:, place] == -4).all()
    assert (alone["background"][goes_with(scene, "background") != 1][:, 1] == 2).all()
    assert (alone["mark"][goes_with(scene, "mark") != 0][:, 0] == 1).all()


def test_the_two_paths_work_together_only_with_the_interaction(scene):
    agreeing = scene.edit(background=[("sand", "sea", "meadow")[place] for place in scene.places["shape"]])
    against = agreeing.edit(background=[("sea", "meadow", "sand")[place] for place in scene.places["shape"]])
    true = goes_with(scene, "shape")[:, None]
    for interaction, expected in ((False, 1.0), (True, 1.0 + handwritten.STRENGTH)):
        network = handwritten.two_path(classes=CLASSES, interaction=interaction)
        lost = logits(network, agreeing).gather(1, true) - logits(network, against).gather(1, true)
        assert (lost == expected).all()
        assert network.paths == ("shape", "background", "both")[: 2 + interaction]


def test_an_exchange_of_units_gives_the_effect_along_their_path(scene):
    network = handwritten.two_path(classes=CLASSES)
    before, after = scene.edit(shape="cross", background="sand"), scene.edit(shape="disc", background="sea")
    kept = []
    handle = network.units.register_forward_hook(lambda module, given, output: kept.append(output.clone()))
    first, second = logits(network, before), logits(network, after)
    handle.remove()
    units = dict(zip(network.paths, torch.arange(kept[0].shape[1]).chunk(len(network.paths)), strict=True))

    def exchanged(into, out_of, *paths):
        mixed = into.clone()
        for path in paths:
            mixed[:, units[path]] = out_of[:, units[path]]
        with torch.no_grad():
            return network.head(mixed)

    total = (second - first)[:, 1]
    assert (total == 2 + handwritten.STRENGTH).all()
    assert ((exchanged(kept[0], kept[1], "shape") - first)[:, 1] == 1).all()
    assert ((exchanged(kept[0], kept[1], "background") - first)[:, 1] == 1).all()
    assert ((exchanged(kept[0], kept[1], "both") - first)[:, 1] == handwritten.STRENGTH).all()
    assert torch.equal(exchanged(kept[0], kept[1], *network.paths), second)


def test_the_interaction_is_nothing_by_either_way_alone(scene):
    network = handwritten.two_path(classes=CLASSES)
    start = scene.edit(shape="cross", background="sand")
    both_units = slice(2 * CLASSES, None)

    def at_units(scene):
        with torch.no_grad():
            images = scene.images()
            read = torch.cat([reader(images) for reader in network.readers.values()], 1)
            return network.units(network.combine(read))[:, both_units][:, 1]

    assert (at_units(start) == 0).all()
    assert (at_units(start.edit(shape="disc")) == 0).all()
    assert (at_units(start.edit(background="sea")) == 0).all()
    assert (at_units(start.edit(shape="disc", background="sea")) == 1).all()


def test_it_works_as_anybodys_own_network():
    model = Model.resolve("seewhy.worlds.handwritten:reads_background")
    assert model.classes == ("cross", "disc")
    two = World(train=20)
    shown = two.scene(two.ids("train"))
    expected = [{"sand": "cross", "sea": "disc"}[value] for value in shown["background"]]
    assert [answer.value for answer in model(shown.images())] == expected


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="Nothing reads 'group'; there are readers of shape, colour"):
        handwritten.Handwritten({"group": 1.0})
    with pytest.raises(ValueError, match="from 32 pixels a side on, not from 28"):
        handwritten.reads_object(side=28)
    with pytest.raises(ValueError, match="for 2 to 4 classes, not for 5"):
        handwritten.reads_object(classes=5)


@pytest.mark.slow
def test_no_shape_is_ever_taken_for_another():
    world = World(classes=4, train=6000, clutter=12.0, grain=14.0, seed=11)
    network = handwritten.reads_object(classes=4)
    for start in range(0, 6000, 500):
        scene = world.scene(world.ids("train")[start : start + 500])
        np.testing.assert_array_equal(logits(network, scene).argmax(1), scene.places["shape"])
