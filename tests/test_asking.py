"""What a person asks in words: classes, layers, channels, units; and what it is worth by pencil and paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from seewhy import asking, explaining, hooks, networks, passes, shelf
from seewhy.model import Model
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing


class Grid(nn.Module):
    """A convolution of 1 x 1 without bias, a flattening, an answer; in its middle all can be worked out."""

    def __init__(self, classes=2):
        super().__init__()
        self.look = nn.Conv2d(3, 3, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, classes)
        with torch.no_grad():
            self.look.weight.copy_(torch.diag(torch.tensor([1.0, 2.0, 3.0]))[:, :, None, None])

    def forward(self, x):
        return self.head(self.act(self.look(x)).mean((2, 3)))


class Tokens(nn.Module):
    """A class token before the 4 x 4 patches of the image; one block of attention."""

    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(3, 4, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.norm = nn.LayerNorm(4)
        self.block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        patches = self.cut(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.token.expand(len(x), -1, -1), patches], 1))
        return self.head(self.block(tokens)[:, 0])


def assembled(network, classes=("dark", "light")):
    """Without a normalisation, so that the network sees the image as it is."""
    task = Classify(classes, Preprocessing((16, 16), "squash", (0.0,) * 3, (1.0,) * 3))
    return Model.assemble(networks.Built(network, "mine", {}, None, None, False), task)


def image(seed=0):
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed))


def scored(model, text, pixels):
    question = asking.question(model.task, model.network, text)
    with torch.no_grad():
        output = hooks.run(model.network, {"image": pixels[None]}, at=question.at)
    return float(question.score(output)), question.text


def test_a_channel_is_its_mean_a_unit_itself_and_a_layer_its_mean_square():
    model, pixels = assembled(Grid()), image()
    value, text = scored(model, "look:1", pixels)
    assert value == pytest.approx(2 * float(pixels[1].mean()))
    assert text == "channel 1 of look"
    value, text = scored(model, "look:2,4,5", pixels)
    assert value == pytest.approx(3 * float(pixels[2, 4, 5]))
    assert text == "channel 2 of look at row 4, column 5"
    value, text = scored(model, "look", pixels)
    weights = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    assert value == pytest.approx(float((weights * pixels).square().mean()))
    assert text == "the size of look"
    value, text = scored(model, "look:2 - look:0", pixels)
    assert value == pytest.approx(float(3 * pixels[2].mean() - pixels[0].mean()), abs=1e-6)
    assert text == "channel 2 of look rather than channel 0 of look"
    value, text = scored(model, "head:1", pixels)
    assert value == pytest.approx(float(model.network(pixels[None]).detach()[0, 1]))


def test_tokens_have_channels_at_places_of_the_image_and_by_their_number():
    torch.manual_seed(0)
    model, pixels = assembled(Tokens()), image()
    with torch.no_grad(), hooks.frozen(model.network), hooks.read(model.network, ["block"]) as seen:
        model.network(pixels[None])
    block = seen["block"][0]  # the class token, then the patches row by row
    for text, value in (
        ("block:3", block[1:, 3].mean()),
        ("block:3,2,1", block[1 + 2 * 4 + 1, 3]),
        ("block:3,0", block[0, 3]),
        ("block", block.square().mean()),
    ):
        with hooks.frozen(model.network):
            assert scored(model, text, pixels)[0] == pytest.approx(float(value)), text


def test_a_class_wins_over_a_layer_of_its_name():
    model = assembled(Grid(4), ("look", "look:1", "dark", "look - head"))
    for name in model.classes:
        question = asking.question(model.task, model.network, name)
        assert (question.text, question.at) == (name, None)
    assert asking.question(model.task, model.network, "look:2").at is not None
    assert asking.question(model.task, model.network, "look - dark").text == "look rather than dark"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("lihgt", KeyError, "No class 'lihgt'. Did you mean 'light'? There are: dark, light."),
        ("lok", KeyError, "No class 'lok'. There are: dark, light. Or did you mean the layer 'look'?"),
        ("loko:1", KeyError, "No layer 'loko'. Did you mean 'look'?"),
        ("look:1 - loko:2", KeyError, "No layer 'loko'. Did you mean 'look'?"),
        ("dark - lihgt", KeyError, "No class 'lihgt'. Did you mean 'light'?"),
        ("look:3", ValueError, "The layer 'look' has no channel 3; it has channels 0 to 2"),
        ("look:0,16,0", ValueError, "The layer 'look' has no row 16; it has rows 0 to 15"),
        ("look:0,0,16", ValueError, "The layer 'look' has no column 16; it has columns 0 to 15"),
        ("look:0,4", ValueError, "The layer 'look' has no tokens; name a row and a column: look:0,0,0"),
        ("head:0,1,1", ValueError, "The layer 'head' puts out (2,) an image, which has no rows and columns"),
        ("look:one", ValueError, "'look:one' names no part of the layer 'look'"),
        ("look:1,2,3,4", ValueError, "'look:1,2,3,4' names no part of the layer 'look'"),
        ("look:-1", ValueError, "'look:-1' names no part of the layer 'look'"),
        ("look:0 - head:1", ValueError, "is asked at body.look and 'channel 1 of head' at body.head; ask both at one"),
        ("dark - look:0", ValueError, "'dark' is asked at the output and 'channel 0 of look' at body.look"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(text, kind, words):
    model = assembled(Grid())
    with pytest.raises(kind) as error:
        explaining.check(model, target=text)
    assert words in str(error.value.args[0])


def heat(model, text, method, **wishes):
    found = explaining.explain_one(model, image(), methods=[method], target=text, **wishes)
    return torch.from_numpy(found[method].heat["image"])


def test_of_a_channel_the_maps_are_what_algebra_says():
    """channel 1 = mean over places of 2 * green: each place gives its own share, by every method that adds up."""
    model, pixels = assembled(Grid()), image()
    share = 2 * pixels[1] / 256
    for method in ("input_x_gradient", "integrated_gradients", "lrp_z_plus", "deep_lift"):
        assert torch.allclose(heat(model, "look:1", method), share, atol=2e-5), method
    assert torch.allclose(heat(model, "look:1", "grad_cam"), share / 1.0, atol=1e-6)  # the default layer is its own
    unit = heat(model, "look:1,4,5", "input_x_gradient")
    assert unit[4, 5] == pytest.approx(float(2 * pixels[1, 4, 5]))
    unit[4, 5] = 0
    assert not unit.any()
    weights = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    square = (weights * pixels).square().sum(0) / (3 * 256)
    assert torch.allclose(heat(model, "look", "input_x_gradient"), 2 * square, atol=1e-6)  # a square has degree 2
    assert torch.allclose(heat(model, "look", "integrated_gradients"), square, atol=1e-5)


def test_what_covers_the_unit_takes_its_score_and_nothing_else_does():
    """One square covers the unit in the middle of the 8 x 8 of its squares; nothing that lies elsewhere counts."""
    lost = heat(assembled(Grid()), "look:1,4,5", "occlusion").abs()
    assert lost[4, 5] > 0
    assert not lost[10:].any()
    assert not lost[:, 12:].any()


@pytest.mark.slow
def test_the_whole_shelf_answers_for_a_channel_or_says_why_not():
    torch.manual_seed(0)
    for network, text, without in (
        (Grid(), "look:1", {"attention_rollout", "chefer", "le_grad"}),
        (Tokens(), "norm:1", {"attention_rollout", "chefer", "le_grad"}),
        (Grid(), "look", {"attention_rollout", "chefer", "le_grad", "cam", *LRP}),
    ):
        model = assembled(network)
        found = explaining.explain_one(model, image(), methods=["all"], target=text)
        assert shelf.members("explainers").keys() - found.keys() == without, text
        assert all(np.isfinite(each.heat["image"]).all() for each in found.values())


LRP = {name for name in shelf.members("explainers") if name.startswith("lrp")}


def test_a_method_that_a_question_at_a_layer_does_not_suit_says_why():
    torch.manual_seed(0)
    grid, tokens = assembled(Grid()), assembled(Tokens())
    with pytest.raises(
        passes.Unsuitable, match="Relevance shares out a score that is a sum, and 'the size of look' is"
    ):
        heat(grid, "look", "lrp")
    with pytest.raises(passes.Unsuitable, match="Attention is followed to the token that the head reads"):
        heat(tokens, "block:1", "chefer")
    with pytest.raises(
        passes.Unsuitable, match="'channel 1 of norm' has no gradient: nothing .* leads from the layer 'body.block'"
    ):
        heat(tokens, "norm:1", "grad_cam", layer="block")


def test_a_layer_behind_the_question_takes_no_other_method_along():
    torch.manual_seed(0)
    model = assembled(Tokens())
    methods = ["gradient", "rise", "grad_cam", "ablation_cam", "score_cam"]
    wishes = {"target": "norm:1", "layer": "block", "budget": "300 forwards"}
    assert set(explaining.explain_one(model, image(), methods=methods, **wishes)) == {"gradient", "rise"}


def test_measures_try_maps_of_a_channel_and_leave_out_what_needs_another_class(tmp_path):
    from PIL import Image

    path = tmp_path / "a.png"
    Image.fromarray((image().permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path)
    model = assembled(Grid())
    row = explaining.write_pictures(
        model,
        path,
        model(path),
        methods=["input_x_gradient"],
        target="look:1",
        measured=["deletion", "random_logit", "parameter_randomisation"],
        out=tmp_path / "out",
    )
    assert row["question"] == "channel 1 of look"
    assert set(row["faithfulness"]["input_x_gradient"]) == {"deletion", "parameter_randomisation"}
