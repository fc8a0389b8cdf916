"""Sixteen bits where they are safe, and a sentence where a step cannot be computed as asked."""

import pytest
import torch
from torch import nn

from seewhy.training.computing import Arithmetic, compiled, generators_kept

CPU = torch.device("cpu")


def test_auto_is_32_bits_on_a_cpu():
    assert Arithmetic("auto", CPU).precision == "fp32"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_network_runs_in_the_numbers_named_and_the_loss_in_32_bits(precision, dtype):
    arithmetic, layer = Arithmetic(precision, CPU), nn.Linear(3, 2)
    with arithmetic.autocast():
        output = layer(torch.ones(4, 3))
    assert output.dtype == dtype
    full = arithmetic.full({"logits": [output, "words"], "places": torch.ones(2, dtype=torch.int64)})
    assert full["logits"][0].dtype == torch.float32
    assert full["logits"][1] == "words"
    assert full["places"].dtype == torch.int64


def test_fp16_gradients_come_out_unscaled():
    wanted, found = [], []
    for precision, kept in (("fp32", wanted), ("fp16", found)):
        torch.manual_seed(0)
        arithmetic, layer = Arithmetic(precision, CPU), nn.Linear(3, 2)
        sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
        with arithmetic.autocast():
            output = layer(torch.tensor([[1.0, 2.0, 3.0]]))
        arithmetic.backward(arithmetic.full(output).square().sum() / 100)  # else 2 ** 16 times it overflows
        arithmetic.unscale(sgd)
        kept.append(layer.weight.grad.clone())
        arithmetic.step(sgd)
        kept.append(layer.weight.detach())
    assert all(torch.allclose(a, b, rtol=5e-3) for a, b in zip(wanted, found, strict=True))


def test_without_a_compiler_the_network_itself_comes_back_with_the_reason(monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("\nNo working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", refuse)
    layer = nn.Linear(3, 2)
    assert compiled(layer) == (layer, "Training is not compiled: No working C++ compiler found")


def test_what_is_drawn_inside_is_not_missed_outside():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with generators_kept(CPU):
        torch.rand(7)
    assert torch.equal(torch.rand(2), expected)
