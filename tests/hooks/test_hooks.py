"""A network is read, changed and traced, and is afterwards what it was."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from seewhy import hooks
from seewhy.types import Batch, Question


def small(activation: nn.Module | None = None) -> Named:
    """Convolutions down to 4 x 4 and a linear head; `trunk`, `pool`, `head` by name."""
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("first", nn.Conv2d(3, 6, 3, padding=1))
    network.add_module("act", activation or nn.ReLU())
    network.add_module("last", nn.Conv2d(6, 8, 3, padding=1, stride=2))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(8, 5))
    return Named(network)


class Named(nn.Module):
    """Called by name, as every network here, with the wrapped one under `body`."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Any:
        return self.body(image - 0.5)


def state(network: nn.Module) -> dict[str, Any]:
    """Everything that looking into a network might disturb."""
    modules = dict(network.named_modules())
    return {
        "weights": {name: value.clone() for name, value in network.state_dict().items()},
        "modes": {name: module.training for name, module in modules.items()},
        "learning": {name: parameter.requires_grad for name, parameter in network.named_parameters()},
        "gradients": {
            name: None if parameter.grad is None else parameter.grad.clone()
            for name, parameter in network.named_parameters()
        },
        "hooks": {
            name: [len(getattr(module, kind)) for kind in vars(module) if "hooks" in kind]
            for name, module in modules.items()
        },
        "generator": torch.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return torch.equal(left, right) if isinstance(left, Tensor) else left == right


def mixed(network: nn.Module) -> nn.Module:
    """A network that is half in training, has frozen weights and old gradients: nothing may be tidied up."""
    network.train()
    modules = list(network.modules())
    modules[-1].training = False
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.full_like(parameters[1], 7.0)
    return network


def test_a_frozen_network_evaluates_and_is_afterwards_what_it_was() -> None:
    network = mixed(small(nn.Dropout(0.5)))
    before = state(network)
    with hooks.frozen(network):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        torch.rand(3)
    assert same(before, state(network))


def spoil(network: nn.Module, image: Tensor) -> None:
    """Raise in the midst of everything that can be put on a network."""
    reading = hooks.read(network, ["last"])
    with hooks.frozen(network), reading, hooks.tracing(network, {}), hooks.change(network, {"act": lambda x: 1 / 0}):
        network(image=image)


def test_a_frozen_network_is_put_back_when_the_block_raises() -> None:
    network = mixed(small())
    before = state(network)
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ZeroDivisionError):
        spoil(network, image)
    assert same(before, state(network))


def test_freezing_calls_neither_train_nor_eval_which_some_modules_use_to_fold_weights() -> None:
    class Folding(nn.Linear):
        def train(self, mode: bool = True) -> Folding:
            raise AssertionError("train was called")

    network = nn.Sequential(nn.Dropout(), Folding(2, 2))
    with hooks.frozen(network):
        assert not network[0].training
    assert network[0].training


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode])
def test_freezing_works_inside_no_grad_and_inference_mode(outer: Any) -> None:
    network = small()
    with outer(), hooks.frozen(network):
        network(image=torch.rand(1, 3, 8, 8))
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_reading_gives_the_activation_by_the_name_that_was_asked_for() -> None:
    network = small()
    image = torch.rand(2, 3, 8, 8)
    with hooks.read(network, ["last", "body.act"]) as seen:
        network(image=image)
    activation = network.body.act(network.body.first(image - 0.5))
    assert torch.equal(seen["body.act"], activation)
    assert torch.equal(seen["last"], network.body.last(activation))


def test_a_relu_in_place_behind_a_layer_leaves_what_was_read_alone() -> None:
    network = small(nn.ReLU(inplace=True))
    with hooks.read(network, ["first"]) as seen:
        network(image=torch.rand(2, 3, 8, 8))
    assert (seen["first"] < 0).any()


def test_what_is_read_is_differentiable_where_the_run_is() -> None:
    network = small()
    image = torch.rand(2, 3, 8, 8, requires_grad=True)
    with hooks.frozen(network), hooks.read(network, ["last"]) as seen:
        network(image=image)
    (gradient,) = torch.autograd.grad(seen["last"].sum(), image)
    assert gradient.any()


def test_a_layer_used_twice_is_read_at_its_last_use_and_changed_at_each() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Identity()

        def forward(self, image: Tensor) -> Tensor:
            return self.step(self.step(image) + 1)

    network = Twice()
    with hooks.change(network, {"step": lambda x: 2 * x}), hooks.read(network, ["step"]) as seen:
        network(image=torch.ones(1, 3, 4, 4))
    assert seen["step"].unique().item() == 2 * (2 * 1 + 1)
    (layer,) = hooks.layers(network, {"image": torch.ones(1, 3, 4, 4)})
    assert (layer.uses, layer.order) == (2, 1)


class Pair(NamedTuple):
    map: Tensor
    size: int


@dataclass
class Wrapped:
    size: int
    map: Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, 2),
        lambda x: [None, x],
        lambda x: {"map": x, "size": 2},
        lambda x: Pair(x, 2),
        lambda x: Wrapped(2, x),
        lambda x: {"deep": [(x,)]},
    ],
    ids=["tensor", "tuple", "list", "dict", "namedtuple", "dataclass", "nested"],
)
def test_a_layer_may_put_out_any_structure_whose_first_tensor_is_read_and_changed(wrap: Any) -> None:
    class Odd(nn.Module):
        def forward(self, image: Tensor) -> Any:
            return wrap(image)

    network = Named(Odd())
    image = torch.ones(1, 3, 4, 4)
    with hooks.change(network, {"body": lambda x: x * 4}), hooks.read(network, ["body"]) as seen:
        output = network(image=image)
    assert seen["body"].unique().item() == 2
    assert type(output) is type(wrap(image))
    assert hooks.layers(network, {"image": image})[0].shape == (1, 3, 4, 4)


def test_a_layer_without_a_tensor_is_named_in_the_error() -> None:
    class Wordy(nn.Module):
        def forward(self, image: Tensor) -> str:
            return "a cat"

    network = Named(Wordy())
    with hooks.read(network, ["body"]), pytest.raises(ValueError, match="The layer 'body' puts out no tensor but str"):
        network(image=torch.ones(1, 3, 4, 4))


def test_a_layer_is_found_with_and_without_the_wrappers_name() -> None:
    network = small()
    assert hooks.resolve(network, "last") == hooks.resolve(network, "body.last") == "body.last"
    assert hooks.resolve(network.body, "body.last") == "last"


def test_a_wrong_layer_name_is_answered_with_the_nearest_and_what_there_is() -> None:
    with pytest.raises(
        KeyError, match=r"No layer 'lasst'. Did you mean 'last'\? There are: body, body.first, body.act"
    ):
        hooks.resolve(small(), "lasst")
    with pytest.raises(KeyError, match=r"There are: conv1, .* and 55 more"):
        hooks.resolve(torchvision.models.resnet18(), "")


def test_layers_come_in_the_order_in_which_they_end_with_shapes_and_work_done() -> None:
    found = hooks.layers(small(), Batch(ids=("a", "b"), inputs={"image": torch.rand(2, 3, 8, 8)}))
    assert " ".join(layer.name for layer in found).replace("body.", "") == "first act last pool flat head body"
    assert [layer.kind for layer in found][:3] == ["Conv2d", "ReLU", "Conv2d"]
    assert found[2].shape == (2, 8, 4, 4)
    multiplications = [3 * 6 * 9 * 64, 6 * 8 * 9 * 16, 8 * 5]
    shares = [sum(multiplications[: place + 1]) / sum(multiplications) for place in range(3)]
    assert [found[0].done, found[2].done, found[5].done] == pytest.approx(shares)


def test_a_network_without_weights_counts_its_layers_as_work() -> None:
    found = hooks.layers(Named(nn.Sequential(nn.ReLU(), nn.ReLU())), {"image": torch.rand(1, 3, 4, 4)})
    assert [layer.done for layer in found] == pytest.approx([1 / 3, 2 / 3, 1])


def layout(network: nn.Module, name: str, size: int = 64) -> hooks.Grid | None:
    found = {layer.name: layer.grid for layer in hooks.layers(network, {"x": torch.rand(1, 3, size, size)})}
    return found[name]


def test_the_grid_of_tokens_and_of_channels_last_is_found_by_tracing() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=3)
    registers = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, reg_tokens=4, num_classes=3)
    swin = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1), num_classes=3, window_size=4)
    assert layout(vit, "blocks.1") == hooks.Grid("tokens", 4, 4, prefix=1)
    assert layout(registers, "blocks.0.norm1") == hooks.Grid("tokens", 4, 4, prefix=5)
    assert layout(swin, "layers.1") == hooks.Grid("channels last", 8, 8)
    assert layout(swin, "patch_embed.proj") == hooks.Grid("channels first", 16, 16)


def test_a_cube_is_told_apart_by_the_kind_of_its_layer_and_then_by_what_ran_before() -> None:
    class Cube(nn.Module):
        """Every activation is (batch, 8, 8, 8)."""

        def __init__(self, first: nn.Module) -> None:
            super().__init__()
            self.first, self.then = first, nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.then(self.first(x[:, :1].expand(-1, 8, -1, -1)))

    for first, expected in [
        (nn.Conv2d(8, 8, 1), "channels first"),
        (nn.Linear(8, 8), "channels last"),
        (nn.ReLU(), "channels first"),
    ]:
        grid = layout(Cube(first), "then", 8)
        assert grid is not None
        assert grid.layout == expected


def test_tokens_without_a_convolution_before_them_lie_in_square_patches_of_the_image() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(3 * 8 * 8, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.embed(nn.functional.unfold(x, 8, stride=8).transpose(1, 2))

    network = Cut()
    (layer,) = hooks.layers(network, {"x": torch.rand(2, 3, 16, 32)})
    assert layer.grid == hooks.Grid("tokens", 2, 4)


def test_every_token_is_laid_where_its_patch_is() -> None:
    """One bright patch, in a network that looks at each patch by itself: the grid is bright in that place alone."""
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=3, pos_embed="none").eval()
    image = torch.zeros(1, 3, 64, 64)
    image[..., 16:32, 48:64] = 1  # row 1, column 3 of 4 x 4
    layer = next(layer for layer in hooks.layers(vit, {"x": image}) if layer.name == "blocks.0.norm1")
    with torch.no_grad(), hooks.read(vit, ["blocks.0.norm1"]) as seen:
        vit(image)
    laid = hooks.grid(seen["blocks.0.norm1"], layer)  # 1, channels, 4, 4
    different = (laid - laid[..., :1, :1]).abs().sum(1)[0] > 1e-3
    assert different.nonzero().tolist() == [[1, 3]]


def test_what_does_not_lie_over_the_image_has_no_grid() -> None:
    network = small()
    head = hooks.layers(network, {"image": torch.rand(2, 3, 8, 8)})[-2]
    with pytest.raises(
        ValueError, match=r"'body.head' \(Linear\) puts out \(2, 5\), which does not lie over the image"
    ):
        hooks.grid(torch.rand(2, 5), head)


def default(network: nn.Module, size: int, question: Question | None = None) -> str:
    return hooks.default_layer(network, {"x": torch.rand(2, 3, size, size)}, question).name


def test_the_default_layer_of_a_cnn_is_the_end_of_its_convolutions() -> None:
    assert default(timm.create_model("resnet18", num_classes=3), 128) == "layer4"
    assert default(torchvision.models.densenet.DenseNet(4, (1, 1), 8), 32) == "features"  # a functional ReLU in place


def test_the_default_layer_is_a_coarser_one_only_where_there_is_no_finer() -> None:
    assert default(timm.create_model("resnet18", num_classes=3), 64) == "layer3"  # layer4 tells 2 x 2 places apart
    flat = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    assert hooks.default_layer(Named(flat), {"image": torch.rand(1, 3, 16, 16)}).name == "body.1"


def test_the_default_layer_of_a_tiny_network_is_taken_before_the_pooling_that_blurs_it() -> None:
    tiny = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    assert hooks.default_layer(Named(tiny), {"image": torch.rand(1, 3, 8, 8)}).name == "body.4"


def test_the_default_layer_of_a_vit_that_reads_its_class_token_is_before_the_last_attention() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=3)
    assert default(vit, 64) == "blocks.2.norm1"
    averaged = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=3, global_pool="avg")
    assert default(averaged, 64) == "blocks"


def test_the_default_layer_of_a_swin_is_channels_last() -> None:
    swin = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1), num_classes=3, window_size=4)
    assert default(swin, 64) == "norm"


class TwoHeads(nn.Module):
    """A map of classes and, run after it, a map of boxes, as in a detector."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.classes, self.boxes = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {"classes": self.classes(features), "boxes": self.boxes(features)}


def test_the_default_layer_is_one_that_the_question_depends_on() -> None:
    network = TwoHeads()
    assert default(network, 16) == "boxes"
    assert default(network, 16, Question("a class", lambda output: output["classes"][:, 0].mean((1, 2)))) == "classes"
    assert default(network, 16, Question("a neuron", lambda x: x[:, 0, 3, 3], at="trunk.0")) == "trunk.0"


def test_the_default_layer_of_a_network_whose_score_never_moves_is_the_last_on_the_way() -> None:
    network = small()
    nn.init.zeros_(network.body.head.weight)
    name = hooks.default_layer(
        network, {"image": torch.rand(2, 3, 8, 8)}, Question("0", lambda output: output[:, 0])
    ).name
    assert name == "body.last"


def test_a_network_without_a_map_is_told_so() -> None:
    network = Named(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)))
    with pytest.raises(
        ValueError, match=r"No layer of this network lies over an image; the last ones put out: .*\(1, 5"
    ):
        hooks.default_layer(network, {"image": torch.rand(1, 3, 4, 4)})


def test_tracing_and_searching_leave_the_network_and_the_inputs_alone() -> None:
    network = mixed(small(nn.ReLU(inplace=True)))
    image = torch.rand(2, 3, 8, 8)
    before, given = state(network), copy.deepcopy(image)
    hooks.layers(network, {"image": image})
    hooks.default_layer(network, {"image": image})
    assert same(before, state(network))
    assert torch.equal(image, given)


def test_one_output_is_spread_over_several_rows_whatever_its_structure() -> None:
    anchors = torch.rand(7, 4)
    spread = hooks.spread({"scores": torch.ones(1, 3), "anchors": anchors, "found": [{"boxes": torch.ones(2, 4)}]}, 5)
    assert spread["scores"].shape == (5, 3)
    assert spread["anchors"] is anchors
    assert len(spread["found"]) == 5
