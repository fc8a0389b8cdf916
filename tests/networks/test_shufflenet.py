"""ShuffleNet v1 in every number of groups and every width."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from seewhy.networks import shufflenet

#: Those that pytorchcv counts: its weights were trained by others, its widths are the paper's.
PARAMETERS = {
    "shufflenet_g1_w100": 1_531_936,
    "shufflenet_g2_w100": 1_733_848,
    "shufflenet_g3_w100": 1_865_728,
    "shufflenet_g4_w100": 1_968_344,
    "shufflenet_g8_w100": 2_434_768,
    "shufflenet_g1_w50": 534_484,
    "shufflenet_g3_w50": 718_324,
    "shufflenet_g1_w25": 209_746,
    "shufflenet_g3_w25": 305_902,
}

#: Millions of multiply-adds: table 1 of the paper, which leaves out the head; those of the authors' code.
TABLE = {1: 143, 2: 140, 3: 137, 4: 133, 8: 137}
AUTHORS = {
    "shufflenet_g3_w50": (38, 0.7),
    "shufflenet_g8_w50": (40, 1.0),
    "shufflenet_g3_w100": (138, 1.9),
    "shufflenet_g8_w100": (138, 2.4),
    "shufflenet_g3_w150": (292, 3.4),
    "shufflenet_g8_w150": (290, 4.3),
    "shufflenet_g3_w200": (524, 5.4),
    "shufflenet_g8_w200": (522, 6.5),
}


def measured(size):
    """Parameters and multiply-adds of the network, and those of its head alone."""
    with torch.device("meta"):
        network, image = shufflenet.build(size=size).eval(), torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(image)
    return sum(p.numel() for p in network.parameters()), counted.get_total_flops() / 2, network.head.weight.numel()


def test_every_number_of_groups_has_every_width():
    wanted = {(groups, width) for groups in (1, 2, 3, 4, 8) for width in (0.25, 0.5, 1.0, 1.5, 2.0)}
    assert {(size["groups"], size["width"]) for size in shufflenet.sizes.values()} == wanted


@pytest.mark.parametrize("size", list(PARAMETERS))
def test_it_has_exactly_the_parameters_of_the_reference(size):
    assert measured(size)[0] == PARAMETERS[size]


@pytest.mark.parametrize("groups", list(TABLE))
def test_it_has_the_multiply_adds_of_the_papers_first_table(groups):
    _, all_of_them, head = measured(f"shufflenet_g{groups}_w100")
    assert (all_of_them - head) / 1e6 == pytest.approx(TABLE[groups], abs=1)


@pytest.mark.parametrize("size", list(AUTHORS))
def test_it_has_the_parameters_and_multiply_adds_that_the_authors_tell_of_their_code(size):
    parameters, multiply_adds, _ = measured(size)
    millions, rounded = AUTHORS[size]
    assert multiply_adds / 1e6 == pytest.approx(millions, abs=0.6)
    assert round((parameters - 1000) / 1e6, 1) == rounded  # their head has no biases


def test_shuffling_deals_the_channels_of_each_group_out_to_all():
    x = torch.arange(6.0).reshape(1, 6, 1, 1).expand(2, 6, 3, 4)
    assert shufflenet.Shuffle(2)(x)[1, :, 2, 3].tolist() == [0, 3, 1, 4, 2, 5]
    assert torch.equal(shufflenet.Shuffle(3)(shufflenet.Shuffle(2)(x)), x)


@pytest.mark.parametrize("halve", [False, True])
def test_a_unit_is_what_figure_2_draws(halve):
    settings = {"groups": 2, "shuffle": True, "norm": "none", "attention": "none", "activation": "relu", "halve": halve}
    unit = shufflenet.Unit(8, 24 if halve else 8, **settings).double()
    x, w = torch.randn(1, 8, 7, 5, dtype=torch.float64), unit.state_dict()

    def conv(x, name, **kind):
        return functional.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], **kind)

    inner = w["reduce.conv.weight"].shape[0]
    y = conv(x, "reduce", groups=2).relu()
    y = torch.stack([y[:, : inner // 2], y[:, inner // 2 :]], dim=2).flatten(1, 2)
    y = conv(y, "depthwise", padding=1, stride=2 if halve else 1, groups=inner)
    y = conv(y, "expand", groups=2)
    y = torch.cat([functional.avg_pool2d(x, 3, 2, 1), y], dim=1) if halve else x + y
    assert torch.allclose(unit(x), y.relu())


def test_without_shuffling_groups_hear_nothing_of_each_other():
    for shuffle, heard in ((False, False), (True, True)):
        unit = shufflenet.Unit(16, 16, groups=2, shuffle=shuffle, norm="none", attention="none", activation="none")
        x = torch.randn(1, 16, 3, 3, requires_grad=True)
        unit(x)[:, :8].sum().backward()
        assert bool((x.grad[:, 8:] != 0).any()) == heard


def test_groups_and_widths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="ShuffleNet has 1, 2, 3, 4 or 8 groups, not 5"):
        shufflenet.build(groups=5)
    with pytest.raises(
        ValueError, match="With a width of 0.1 the 38 channels of the first stage do not fall into 8 groups"
    ):
        shufflenet.build(groups=8, width=0.1)
