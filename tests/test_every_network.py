"""What every network on the shelf must do, in every size; a new file is tested the moment it is there."""

import inspect

import pytest
import torch
from torch import nn

from seewhy import hooks, networks, shelf
from seewhy.model import Model, Normalised
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

FAMILIES = list(shelf.members("networks"))
SIZES = [name for name, (family, size) in networks.names().items() if name == size]

#: Parameters of each size as published: from the paper where it counts them, else counted by hand or in the reference.
PARAMETERS = {
    "lenet5": 61_706,  # 156 + 2,416 + 48,120 + 10,164 + 850
    "lenet5_relu": 61_706,
    "lite0": 4_652_008,  # 4.7 million
    "resnet20": 269_722,  # 0.27 million, table 6 of the paper; and so on
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "plain20": 269_722,
    "plain32": 464_154,
    "plain44": 658_586,
    "plain56": 853_018,
    "plain110": 1_727_962,
    "resnet_small": 299_562,
    "resnet_tiny": 298_026,
}


def side_of(built):
    """A small image that the network takes, in pixels a side; those with a size of their own work at others too."""
    return built.preprocessing.size[0] if built.preprocessing and not built.pretrained else 40


def small(name, **settings):
    built = networks.find(name, classes=3, pretrained=False, **settings)
    return built, side_of(built)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens_with_a_question_and_tells_its_paper(family):
    member, module = shelf.members("networks")[family], shelf.load("networks", family)
    assert member.question.endswith("?")
    assert member.question[0].isupper()
    assert "http" in module.paper
    assert 1980 < module.year < 2100
    build = inspect.signature(module.build)
    assert {"size", "classes", "channels"} <= set(build.parameters)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in build.parameters.values())
    assert build.parameters["size"].default in module.sizes
    for settings in module.sizes.values():
        assert set(settings) <= set(build.parameters)


def test_every_size_has_exactly_the_parameters_that_were_published():
    assert {row["name"]: row["parameters"] for row in networks.table()} == PARAMETERS


@pytest.mark.parametrize("name", SIZES)
def test_every_network_ends_in_its_classifier_and_its_layers_have_stable_names(name):
    built, side = small(name)
    linear = [(place, module) for place, module in built.module.named_modules() if isinstance(module, nn.Linear)]
    assert linear[-1][1].out_features == 3
    given = next(iter(inspect.signature(built.module.forward).parameters))
    ran = [layer.name for layer in hooks.layers(built.module, {given: torch.zeros(1, 3, side, side)})]
    assert linear[-1][0] in ran
    assert len(set(ran)) == len(ran)


@pytest.mark.parametrize("name", SIZES)
def test_every_network_feels_each_pixel_of_its_image(name):
    built, side = small(name)
    image = torch.rand(2, 3, side, side, requires_grad=True)
    output = built.module.eval()(image)
    assert output.shape == (2, 3)
    (gradient,) = torch.autograd.grad(output.square().sum(), image)
    assert gradient.isfinite().all()
    assert (gradient[:, :, 4:-4, 4:-4].abs().sum(1) > 0).float().mean() > 0.9


@pytest.mark.parametrize("name", SIZES)
def test_in_evaluation_an_answer_does_not_depend_on_the_other_images_of_the_batch(name):
    built, side = small(name)
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = built.module.eval()(images)
        alone = torch.cat([built.module(images[row : row + 1]) for row in range(3)])
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SIZES)
def test_every_network_is_the_same_for_the_same_seed_and_leaves_the_generator_alone(name):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = networks.find(name, classes=3, pretrained=False, seed=1).module.state_dict()
    again = networks.find(name, classes=3, pretrained=False, seed=1).module.state_dict()
    other = networks.find(name, classes=3, pretrained=False, seed=2).module.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", SIZES)
def test_every_network_answers_equally_after_it_was_saved_and_loaded(name, tmp_path):
    built, side = small(name)
    preprocessing = Preprocessing((side, side), "squash")
    model = Model.assemble(built, Classify(("a", "b", "c"), preprocessing))
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    image = torch.rand(1, 3, side, side)
    assert isinstance(loaded.network, Normalised)
    with torch.no_grad():
        assert torch.equal(model.network.eval()(image), loaded.network(image))
    assert loaded.digest == model.digest


@pytest.mark.parametrize("name", SIZES)
def test_every_network_can_be_built_for_grey_images(name):
    family, size = networks.names()[name]
    with torch.device("meta"):
        network = shelf.load("networks", family).build(size=size, classes=3, channels=1).eval()
        side = networks.find(name, classes=3, pretrained=False).preprocessing
        image = torch.zeros(1, 1, *(side.size if side else (40, 40)))
        assert network(image).shape == (1, 3)


@pytest.mark.parametrize("name", [name for name in SIZES if name in networks.with_weights()])
def test_every_network_with_weights_names_its_classes_and_takes_a_new_head(name):
    own = networks.find(name)
    assert own.pretrained
    assert len(set(own.class_names)) == len(own.class_names)
    under = networks.find(name, classes=3)
    assert under.pretrained
    assert under.class_names is None
    assert under.preprocessing == own.preprocessing
    old, new = own.module.state_dict(), under.module.state_dict()
    assert [key for key in old if old[key].shape != new[key].shape] == list(old)[-2:]
    assert all(torch.equal(old[key], new[key]) for key in list(old)[:-2])
