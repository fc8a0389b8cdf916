"""What every network on the shelf must do, in every size; a new file is tested the moment it is there."""

import inspect
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from seewhy import hooks, networks, shelf
from seewhy.model import Model, Normalised, exporting
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

FAMILIES = list(shelf.members("networks"))
NAMES = networks.names()
SIZES = [name for name, (family, size) in NAMES.items() if name == size]

#: Parameters of each size as published: from the paper where it counts them, else counted by hand or in the reference.
PARAMETERS = {
    "lenet5": 61_706,  # 156 + 2,416 + 48,120 + 10,164 + 850
    "lenet5_relu": 61_706,
    "lenet5_1998": 60_840,  # the paper's 60,000 to learn, and codes of 84 numbers for ten classes
    "lite0": 4_652_008,  # 4.7 million
    "resnet20": 269_722,  # 0.27 million, table 6 of the paper; and so on
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,  # 19.4 million
    "plain20": 269_722,
    "plain32": 464_154,
    "plain44": 658_586,
    "plain56": 853_018,
    "plain110": 1_727_962,
    "resnet_small": 299_562,
    "resnet_tiny": 298_026,
    "alexnet": 60_965_224,  # 60 million, and Caffe's file of weights
    "alexnet_one": 61_100_840,  # torchvision; resnet18 to preresnet152: torchvision, timm
    "vgg11": 132_863_336,  # 133 million, table 2 of the paper; 133, 138, 144
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "vgg11_cifar": 9_231_114,  # pytorch-cifar, from which the form is
    "vgg13_cifar": 9_416_010,
    "vgg16_cifar": 14_728_266,
    "vgg19_cifar": 20_040_522,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet50_v1": 25_557_032,
    "resnet101_v1": 44_549_160,
    "resnet152_v1": 60_192_808,
    "preresnet18": 11_687_720,
    "preresnet34": 21_795_880,
    "preresnet50": 25_549_352,
    "preresnet101": 44_541_480,
    "preresnet152": 60_185_128,
    "resnext50_32x4d": 25_028_904,  # 25.0 million, table 1 of the paper
    "resnext101_32x4d": 44_177_704,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "resnext29_32x4d": 4_775_754,
    "resnext29_8x64d": 34_426_698,  # 34.4 million, table 7
    "resnext29_16x64d": 68_155_210,  # 68.1 million
    "densenet40_k12": 1_019_722,  # 1.0 million, table 2 of the paper; and so on to 25.6
    "densenet100_k12": 6_979_642,
    "densenet100_k24": 27_249_082,
    "densenet_bc100_k12": 769_162,
    "densenet_bc250_k24": 15_324_406,
    "densenet_bc190_k40": 25_624_430,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
    "vit_mini": 2_693_578,
    "vit_ti16": 5_717_416,
    "vit_s16": 22_050_664,
    "vit_b16": 86_567_656,  # 86 million, table 1 of the paper
    "vit_b32": 88_224_232,
    "vit_l16": 304_326_632,  # 307 million
    "googlenet": 6_998_552,
    "googlenet_bn": 6_624_904,
    "bn_inception": 11_285_224,
    "inception_v3": 23_834_568,
    "inception_v4": 42_679_816,
    "inception_resnet_v1": 22_756_328,
    "inception_resnet_v2": 55_843_464,
    "xception": 22_855_952,
    "mobilenet_w100": 4_231_976,
    "mobilenet_w75": 2_585_560,
    "mobilenet_w50": 1_331_592,
    "mobilenet_w25": 470_072,
    "shufflenet_g1_w25": 209_746,
    "shufflenet_g1_w50": 534_484,
    "shufflenet_g1_w100": 1_531_936,
    "shufflenet_g1_w150": 2_993_032,
    "shufflenet_g1_w200": 4_918_744,
    "shufflenet_g2_w25": 265_318,
    "shufflenet_g2_w50": 643_116,
    "shufflenet_g2_w100": 1_733_848,
    "shufflenet_g2_w150": 3_270_084,
    "shufflenet_g2_w200": 5_257_896,
    "shufflenet_g3_w25": 305_902,
    "shufflenet_g3_w50": 718_324,
    "shufflenet_g3_w100": 1_865_728,
    "shufflenet_g3_w150": 3_442_168,
    "shufflenet_g3_w200": 5_450_776,
    "shufflenet_g4_w25": 336_088,
    "shufflenet_g4_w50": 776_844,
    "shufflenet_g4_w100": 1_968_344,
    "shufflenet_g4_w150": 3_570_896,
    "shufflenet_g4_w200": 5_593_528,
    "shufflenet_g8_w25": 454_504,
    "shufflenet_g8_w50": 1_011_448,
    "shufflenet_g8_w100": 2_434_768,
    "shufflenet_g8_w150": 4_269_952,
    "shufflenet_g8_w200": 6_522_232,
    "se_resnet50": 28_088_024,  # timm's seresnet50; 101, 152 and the ResNeXts alike
    "se_resnet101": 49_326_872,
    "se_resnet152": 66_821_848,
    "se_resnext50_32x4d": 27_559_896,
    "se_resnext101_32x4d": 48_955_416,
    "cbam_resnet18": 11_779_392,  # 11.78, 21.96, 28.09, 49.33 million, table 1 of the paper of CBAM
    "cbam_resnet34": 21_960_468,
    "cbam_resnet50": 28_089_624,
    "cbam_resnet101": 49_330_172,
    "cbam_resnext50_32x4d": 27_561_496,
    "cbam_resnext101_32x4d": 48_958_716,
    "nonlocal_resnet50": 32_915_496,  # resnet50, and twice (4 x 512 x 256 + 3 x 256 + 3 x 512), thrice the like of 1024
    "se_bn_inception": 11_931_622,  # bn_inception, and of each module's c channels 2 c (c // 16) + c // 16 + c
    "se_inception_resnet_v2": 64_387_444,
    "se_mobilenet_w100": 4_718_044,  # 4.7 million, table 3 of the paper of squeeze-excitation
    "se_shufflenet_g3_w100": 2_484_533,
    "googlenet_small": 5_871_914,  # ours: the large form with another stem and a head for ten classes
    "inception_v3_small": 21_763_850,
    "inception_v4_small": 40_793_898,
    "inception_resnet_v1_small": 20_533_162,
    "xception_small": 20_827_442,
    "mobilenet_small": 3_217_226,
    "shufflenet_small": 914_338,
}

#: Networks of more parameters run in `make test-slow` only, but for the lightest of each family; all are counted.
LIGHT = 1_000_000


def lightest(family):
    """Not one with a small stem: it has fewer parameters and takes many times as long."""
    sizes = [size for size in shelf.load("networks", family).sizes if not size.endswith("_small")]
    return min(sizes, key=lambda size: PARAMETERS.get(size, 0))


LIGHTEST = {lightest(family) for family in FAMILIES}
DRAWN = [
    name if name in LIGHTEST or PARAMETERS.get(name, 0) <= LIGHT else pytest.param(name, marks=pytest.mark.slow)
    for name in SIZES
]


def side_of(name, built=None):
    """A small image that the network takes, in pixels a side; those with a size of their own work at others too."""
    if built and built.preprocessing and not built.pretrained:
        return built.preprocessing.size[0]
    smallest = getattr(shelf.load("networks", NAMES[name][0]), "SMALLEST", 40)
    return max(40, smallest["large"] if isinstance(smallest, dict) else smallest)


def settings_of(name):
    """Wide linear layers need not be wide here; 600 blocks that add overflow before they have learnt their means."""
    if name.endswith("1202"):
        return {"norm": "group"}
    build = shelf.load("networks", NAMES[name][0]).build
    return {"hidden": 16} if "hidden" in inspect.signature(build).parameters and not name.endswith("cifar") else {}


def small(name):
    built = networks.find(name, classes=3, pretrained=False, **settings_of(name))
    return built, side_of(name, built)


def without_memory(name, **settings):
    family, size = NAMES[name]
    with torch.device("meta"):
        return shelf.load("networks", family).build(size=size, **settings).eval()


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
    for fact in ("paper", "year", "classes", "channels", "input_size"):
        value = getattr(module, fact)
        assert not isinstance(value, dict) or set(value) == set(module.sizes)
    papers = module.paper.values() if isinstance(module.paper, dict) else [module.paper]
    years = module.year.values() if isinstance(module.year, dict) else [module.year]
    assert all(paper.startswith("http") for paper in papers)
    assert all(1980 < year < 2100 for year in years)
    build = inspect.signature(module.build)
    assert {"size", "classes", "channels"} <= set(build.parameters)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in build.parameters.values())
    assert build.parameters["size"].default in module.sizes
    for settings in module.sizes.values():
        assert set(settings) <= set(build.parameters)


@pytest.mark.parametrize("name", SIZES)
def test_every_size_has_exactly_the_parameters_that_were_published(name):
    family, size = NAMES[name]
    module = shelf.load("networks", family)
    facts = {
        fact: value[size] if isinstance(value, dict) else value
        for fact, value in (("classes", module.classes), ("channels", module.channels))
    }
    network = without_memory(name, **facts)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", DRAWN)
def test_every_network_takes_grey_images_and_ends_in_its_classifier_and_its_layers_have_stable_names(name):
    network = without_memory(name, classes=3, channels=1)
    linear = [(place, module) for place, module in network.named_modules() if isinstance(module, nn.Linear)]
    assert linear[-1][1].out_features == 3
    given = next(iter(inspect.signature(network.forward).parameters))
    side = getattr(network, "input_size", side_of(name))
    ran = [layer.name for layer in hooks.layers(network, {given: torch.zeros(1, 1, side, side, device="meta")})]
    assert linear[-1][0] in ran
    assert len(set(ran)) == len(ran)


@pytest.mark.parametrize("name", DRAWN)
def test_every_network_feels_each_pixel_of_its_image(name):
    built, side = small(name)
    image = torch.rand(2, 3, side, side, requires_grad=True)
    output = built.module.eval()(image)
    assert output.shape == (2, 3)
    (gradient,) = torch.autograd.grad(output.square().sum(), image)
    assert gradient.isfinite().all()
    least = 0.7 if name.endswith("_w25") else 0.9  # six first filters: ReLU and pooling lose a pixel now and then
    assert (gradient[:, :, 4:-4, 4:-4].abs().sum((0, 1)) > 0).float().mean() > least


@pytest.mark.parametrize("name", DRAWN)
def test_in_evaluation_an_answer_does_not_depend_on_the_other_images_of_the_batch(name):
    built, side = small(name)
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = built.module.eval()(images)
        alone = torch.cat([built.module(images[row : row + 1]) for row in range(3)])
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", DRAWN)
def test_every_network_is_the_same_for_the_same_seed_and_leaves_the_generator_alone(name):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (
        networks.find(name, classes=3, pretrained=False, seed=seed, **settings_of(name)).module.state_dict()
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", DRAWN)
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


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["onnx", "pt2", "torchscript"])
@pytest.mark.parametrize("name", sorted(LIGHTEST))
def test_every_family_leaves_as_a_file_that_takes_any_number_of_images(name, ending, tmp_path):
    built, side = small(name)
    model = Model.assemble(built, Classify(("a", "b", "c"), Preprocessing((side, side), "squash")))
    exported = exporting.export(model, tmp_path / f"x.{ending}")
    assert exported.batches == (1, 2, 5)
    assert exported.bytes > PARAMETERS[name] / 100  # the weights are in it, but for those of a head made smaller


COMPILED = """
import torch
from seewhy import networks
network = networks.find({name!r}, classes=3, pretrained=False, **{settings}).module.eval()
image = torch.rand(2, 3, {side}, {side})
with torch.no_grad():
    expected, found = network(image), torch.compile(network, fullgraph=True)(image)
assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4), (found - expected).abs().max()
"""


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", sorted(LIGHTEST))
def test_every_family_compiles_whole_to_the_same_answers(name):
    _, side = small(name)
    program = COMPILED.format(name=name, settings=settings_of(name), side=side)
    # In a process of its own: the compiler cannot look through the checks of shapes that tests put into each function.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
