"""Squeeze-excitation, CBAM and non-local blocks, against timm's and against plain algebra; and where families put them."""

import inspect

import pytest
import timm
import torch
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import nn

from seewhy import networks, shelf
from seewhy.networks import _attention, resnet_imagenet, resnext
from seewhy.networks._count import Counting

FAMILIES = [
    family
    for family in shelf.members("networks")
    if "attention" in inspect.signature(shelf.load("networks", family).build).parameters
]
PARTS = {"se": _attention.SqueezeExcitation, "cbam": _attention.CBAM, "nonlocal": _attention.NonLocal}
X = torch.rand(2, 64, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.3


def same_weights(theirs, ours):
    """Ours get the weights of theirs, in order; linear layers stand for convolutions of 1 x 1."""
    values = [torch.rand_like(value) for value in ours.state_dict().values() if value.is_floating_point()]
    for network in (theirs, ours):
        state = network.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        for name, value in zip(floating, values, strict=True):
            state[name] = value.reshape(state[name].shape)
        network.load_state_dict(state)
    return theirs.eval(), ours.eval()


def test_squeeze_excitation_is_timms():
    theirs, ours = same_weights(SEModule(64, rd_channels=4).double(), _attention.SqueezeExcitation(64).double())
    assert torch.allclose(ours(X), theirs(X), atol=1e-12)


def test_cbam_is_timms_with_biases():
    theirs, ours = same_weights(CbamModule(64, rd_channels=4, mlp_bias=True).double(), _attention.CBAM(64).double())
    assert torch.allclose(ours(X), theirs(X), atol=1e-12)


def test_a_non_local_block_is_its_equation_and_begins_as_the_identity():
    block = _attention.NonLocal(64, norm="batch").double().eval()
    assert torch.equal(block(X), X)
    nn.init.uniform_(block.norm.weight)

    def at_each_place(conv, x):
        return torch.einsum("oc,bcyx->boyx", conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]

    def largest_of_four(x):
        rows = [x[:, :, top : top + 2].amax(2) for top in range(0, 9, 2)]
        return torch.stack([torch.stack(rows, 2)[..., left : left + 2].amax(3) for left in range(0, 7, 2)], 3)

    queries = at_each_place(block.queries, X).flatten(2)
    keys, values = (largest_of_four(at_each_place(conv, X)).flatten(2) for conv in (block.keys, block.values))
    shares = torch.einsum("bcp,bcq->bpq", queries, keys).softmax(2)
    found = torch.einsum("bpq,bcq->bcp", shares, values).reshape(2, 32, 9, 7)
    wanted = X + at_each_place(block.join, found) * block.norm.weight[:, None, None] / (1 + block.norm.eps) ** 0.5
    assert torch.allclose(block(X), wanted, atol=1e-12)


@pytest.mark.parametrize(("size", "name"), [("se_resnet50", "seresnet50"), ("se_resnext50_32x4d", "seresnext50_32x4d")])
def test_with_timms_weights_a_network_with_squeeze_excitation_answers_as_timms(equal_weights, size, name):
    family = resnet_imagenet if size in resnet_imagenet.sizes else resnext
    with torch.device("meta"):
        theirs, ours = timm.create_model(name, num_classes=7), family.build(size=size, classes=7)
    theirs, ours = equal_weights(theirs, ours)
    image = torch.rand(1, 3, 65, 50, dtype=torch.float64)
    assert theirs(image).std() > 0.01
    assert torch.allclose(ours(image), theirs(image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "millions"),
    [  # table 1 of the paper of CBAM, table 2 of that of squeeze-excitation
        ("cbam_resnet18", 11.78),
        ("cbam_resnet34", 21.96),
        ("cbam_resnet50", 28.09),
        ("cbam_resnet101", 49.33),
        ("se_resnet50", 28.09),
        ("se_resnet101", 49.33),
    ],
)
def test_the_parameters_are_as_many_as_the_papers_say(name, millions):
    with torch.device("meta"):
        network = resnet_imagenet.build(size=name)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_resnet_50_has_five_non_local_blocks_in_its_middle_stages():
    with torch.device("meta"):
        network = resnet_imagenet.build(size="nonlocal_resnet50")
    places = [name for name, module in network.named_modules() if isinstance(module, _attention.NonLocal)]
    assert places == [f"stage2.nonlocal{number}" for number in (2, 4)] + [
        f"stage3.nonlocal{number}" for number in (2, 4, 6)
    ]


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_every_kind_and_runs_with_it(family, kind):
    module = shelf.load("networks", family)
    with torch.device("meta"), Counting():  # which builds quickly
        plain = module.build(classes=3, attention="none", norm="batch")
        network = module.build(classes=3, attention=kind, norm="batch")
        assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 3)
    added = set(network.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(network.state_dict())  # no layer has another name for it
    assert added
    places = [name for name, part in network.named_modules() if isinstance(part, PARTS[kind])]
    assert len(places) > 1
    assert all(any(name.startswith(f"{place}.") for place in places) for name in added)


def test_with_non_local_blocks_a_network_begins_as_what_it_was():
    for family in ("resnet", "densenet"):
        plain = networks.find(family, classes=3).module.eval()
        network = networks.find(family, classes=3, attention="nonlocal").module.eval()
        network.load_state_dict(plain.state_dict(), strict=False)
        image = torch.rand(1, 3, 48, 40)
        with torch.no_grad():
            assert torch.allclose(network(image), plain(image), atol=1e-5)


def test_an_unknown_kind_and_one_without_a_norm_are_named():
    with pytest.raises(ValueError, match="No attention 'cbm'. Did you mean 'cbam'"):
        _attention.refine("cbm", 64)
    with pytest.raises(ValueError, match="begins as the identity by the scale of a norm; norm='none' has none"):
        networks.find("resnet20", classes=3, attention="nonlocal", norm="none")
