"""Rules reach every function of their kind, however it is spelled, and touch nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import hooks

#: One ReLU in every spelling.
RELUS: dict[str, Any] = {
    "module": lambda: nn.ReLU(),
    "module in place": lambda: nn.ReLU(inplace=True),
    "functional": lambda: functional.relu,
    "functional in place": lambda: lambda x: functional.relu(x, inplace=True),
    "torch": lambda: torch.relu,
    "torch in place": lambda: torch.relu_,
    "method": lambda: Tensor.relu,
    "method in place": lambda: Tensor.relu_,
    "result thrown away": lambda: lambda x: (x.relu_(), x)[1],
}


def halved(call: hooks.Call) -> Tensor:
    """As it is on the way up; half of everything on the way back."""
    return hooks.redirected(call(), call.input, lambda gradient: gradient / 2)


@pytest.mark.parametrize("spelled", RELUS)
def test_every_spelling_of_an_activation_is_reached_and_puts_out_what_it_did(spelled: str) -> None:
    relu = RELUS[spelled]()
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with hooks.rewriting({"activation": halved}):
        output = relu(x * 1)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert output.tolist() == [0, 2]
    assert gradient.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: functional.hardtanh(x, -0.5, 0.5, True), "hardtanh"),
        (functional.gelu, "gelu"),
        (nn.SiLU(inplace=True), "silu"),
        (nn.ReLU6(inplace=True), "hardtanh"),
        (nn.LeakyReLU(0.3), "leaky_relu"),
        (torch.sigmoid_, "sigmoid"),
        (lambda x: x.tanh(), "tanh"),
        (lambda x: functional.hardswish(x, inplace=True), "hardswish"),
    ],
)
def test_an_activation_knows_its_own_name_and_can_be_run_again_elsewhere(function: Any, name: str) -> None:
    seen: list[str] = []

    def rule(call: hooks.Call) -> Tensor:
        seen.append(call.name)
        assert torch.equal(call(call.input), call())
        return call(call.input + 1) - call(call.input + 1) + call()

    x = torch.linspace(-2, 2, 9)
    plain = function(x.clone())
    with hooks.rewriting({"activation": rule}):
        assert torch.allclose(function(x.clone()), plain)
    assert seen == [name]


def test_an_argument_is_read_and_exchanged_by_the_name_that_pytorch_gives_it() -> None:
    convolution, linear = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(4, 2, bias=False)
    calls: list[hooks.Call] = []

    def positive(call: hooks.Call) -> Tensor:
        calls.append(call)
        return call(weight=call["weight"].clamp(min=0))

    with hooks.rewriting({"convolution": positive, "linear": positive}):
        found, line = convolution(torch.ones(1, 2, 4, 4)), linear(torch.ones(1, 4))
    weight = convolution.weight.clamp(min=0)
    assert torch.allclose(found, functional.conv2d(torch.ones(1, 2, 4, 4), weight, convolution.bias, padding=1))
    assert torch.allclose(line, linear.weight.clamp(min=0).sum(1)[None])
    assert (calls[0]["stride"], calls[0]["padding"], calls[0]["groups"]) == ((1, 1), (1, 1), 1)
    assert calls[1]["bias"] is None
    with pytest.raises(KeyError, match="linear has no argument 'wieght'; it has: weight, bias"):
        calls[1](wieght=weight)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("add", lambda x: x + x),
        ("add", lambda x: x.clone().add_(x)),
        ("multiply", lambda x: x * x.sigmoid()),
        ("concatenate", lambda x: torch.cat([x, x], 1)),
        ("softmax", lambda x: x.softmax(-1)),
        ("softmax", lambda x: functional.softmax(x, dim=1)),
        ("matmul", lambda x: x @ x.transpose(-2, -1)),
        ("max_pool", nn.MaxPool2d(2)),
        ("average_pool", nn.AdaptiveAvgPool2d(1)),
        ("average_pool", nn.AvgPool2d(2)),
        ("batch_norm", nn.BatchNorm2d(3).eval()),
        ("layer_norm", nn.LayerNorm(4)),
        ("layer_norm", nn.GroupNorm(1, 3)),
        ("attention", lambda x: functional.scaled_dot_product_attention(x, x, x)),
    ],
)
def test_each_kind_is_reached_and_runs_as_it_is(kind: str, function: Any) -> None:
    count = [0]

    def counted(call: hooks.Call) -> Tensor:
        count[0] += 1
        assert call.kind == kind
        return call()

    x = torch.rand(2, 3, 4, 4)
    plain = function(x)
    with hooks.rewriting({kind: counted}):
        assert torch.allclose(function(x), plain)
    assert count == [1]


@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"batch_first": True}, {"kdim": 6, "vdim": 6}], ids=str)
@pytest.mark.parametrize("weights", [True, False])
def test_pytorchs_attention_in_its_parts_gives_what_it_gives_whole(settings: dict[str, Any], weights: bool) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, **settings).eval()
    query, other = torch.rand(5, 3, 8), torch.rand(5, 3, 6 if "kdim" in settings else 8)
    mask = torch.rand(3 if "batch_first" in settings else 5, 3 if "batch_first" in settings else 5) < 0.3
    mask.fill_diagonal_(False)
    whole, maps = attention(query, other, other, need_weights=weights, attn_mask=mask)
    count = [0]

    def counted(call: hooks.Call) -> Tensor:
        count[0] += 1
        return call()

    with hooks.rewriting({"attention": counted}):
        parts, found = attention(query, other, other, need_weights=weights, attn_mask=mask)
    assert count == [1]
    assert torch.allclose(parts, whole, atol=1e-6)
    assert maps is found is None or torch.allclose(found, maps, atol=1e-6)


def test_a_rule_is_gone_when_the_block_raises() -> None:
    def spoiled() -> None:
        with hooks.rewriting({"activation": lambda call: 1 / 0}):
            functional.relu(torch.ones(1))

    with pytest.raises(ZeroDivisionError):
        spoiled()
    assert functional.relu(torch.ones(1)).item() == 1


def test_a_kind_that_there_is_not_is_answered_with_the_nearest() -> None:
    with (
        pytest.raises(KeyError, match="No kind of function 'activations'. Did you mean 'activation'"),
        hooks.rewriting({"activations": halved}),
    ):
        pass
