"""Attention is read whatever computes it, and its gradients are those of the network."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from seewhy import hooks, passes
from seewhy.passes.attention import AttentionGradients, BlockAttentionGradients
from seewhy.types import Batch, Question

QUESTION = Question("one", lambda output: output[:, 1])
IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def vit(*, fused: bool = True, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=3, **settings)
    nn.init.normal_(network.head.weight)
    for block in network.blocks:
        block.attn.fused_attn = fused
    return network


def gathered(network: nn.Module, need: Any) -> Any:
    return passes.gather(network, Batch(ids=("a", "b"), inputs={"x": IMAGE}), QUESTION, [need])[need]


def test_fused_and_plain_attention_give_the_same_maps_and_gradients() -> None:
    for need in (AttentionGradients(), BlockAttentionGradients()):
        fused, plain = (gathered(vit(fused=fused), need) for fused in (True, False))
        assert len(fused.maps) == 3
        for one, other in zip((*fused.maps, *fused.gradients), (*plain.maps, *plain.gradients), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
        assert torch.allclose(fused.maps[0].sum(-1), torch.ones(2, 3, 17))


def test_pytorchs_own_attention_is_taken_apart() -> None:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=3)
    nn.init.normal_(network.heads.head.weight)
    found = gathered(network, AttentionGradients())
    weights: list[torch.Tensor] = []
    attention = network.encoder.layers[0].self_attention
    with hooks.frozen(network), torch.no_grad():
        handle = attention.register_forward_pre_hook(
            lambda module, given: weights.append(
                nn.functional.multi_head_attention_forward(
                    *(given[0].transpose(0, 1),) * 3, 32, 2, module.in_proj_weight, module.in_proj_bias, None, None,
                    False, 0.0, module.out_proj.weight, module.out_proj.bias, average_attn_weights=False,
                )[1]
            )
        )  # fmt: skip
        network(IMAGE)
        handle.remove()
    assert torch.allclose(found.maps[0], weights[0], atol=1e-6)
    assert found.grid == hooks.Grid("tokens", 4, 4, prefix=1)


def test_the_gradient_at_a_map_is_the_change_of_the_score() -> None:
    network = vit(fused=False).double()
    batch = Batch(ids=("a", "b"), inputs={"x": IMAGE.double()})
    found = passes.gather(network, batch, QUESTION, [AttentionGradients()])[AttentionGradients()]
    step, calls = 1e-5, [0]

    def shaken(call: hooks.Call) -> torch.Tensor:
        calls[0] += 1
        weights = call()
        if calls[0] == 2:  # the second block's
            weights = weights.clone()
            weights[:, 1, 0, 5] += step
        return weights

    with hooks.frozen(network), torch.no_grad():
        before = QUESTION.score(network(IMAGE.double()))
        with hooks.rewriting({"softmax": shaken}):
            after = QUESTION.score(network(IMAGE.double()))
    assert torch.allclose((after - before) / step, found.gradients[1][:, 1, 0, 5], rtol=1e-3, atol=1e-8)


def test_the_last_block_is_asked_as_the_whole_network_and_earlier_ones_by_themselves() -> None:
    network = vit()
    whole, single = gathered(network, AttentionGradients()), gathered(network, BlockAttentionGradients())
    assert torch.allclose(whole.gradients[-1], single.gradients[-1], atol=1e-5)
    assert not torch.allclose(whole.gradients[0], single.gradients[0], atol=1e-5)
    short = vit()
    short.blocks = short.blocks[:1]
    assert torch.allclose(gathered(short, BlockAttentionGradients()).gradients[0], single.gradients[0], atol=1e-5)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: torchvision.models.resnet18(num_classes=3), "This network has no attention between all places"),
        (
            lambda: timm.create_model(
                "swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1), num_classes=3, window_size=4
            ),
            "This network has no attention between all places",
        ),
    ],
    ids=["none", "windows"],
)
def test_a_network_without_such_attention_is_told_so(build: Any, words: str) -> None:
    with pytest.raises(passes.Unsuitable, match=words):
        gathered(build(), AttentionGradients())
