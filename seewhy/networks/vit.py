"""What if an image is a sentence of patches, and each patch may look at every other one?

    tokens = [class token, linear(patch) for each patch] + positions
    block(x) = x + attention(norm(x)), then x + linear(gelu(linear(norm(x))))
    logits = head(norm(tokens)[class token])

Dosovitskiy and others 2020, https://arxiv.org/abs/2010.11929. `vit_b16` and `vit_l16` are the paper's Base and Large
with patches of 16 x 16 (86.6 and 304.3 million parameters), `vit_b32` has larger patches, `vit_ti16` and `vit_s16` are
the Tiny and Small of Touvron et al. 2020, https://arxiv.org/abs/2012.12877 (5.7 and 22.1 million). `vit_mini` is ours,
for images of about 32 pixels: patches of 4 x 4 and six blocks, 2.7 million parameters. Without convolutions nothing
tells it that neighbours belong together: from few images it learns less than a ResNet does.

Positions are learnt for images of `input_size`. Images of other sizes get interpolated ones (section 3.2 of the paper),
and zeros to the right and below where patches do not fill them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.networks import _parts

channels = 3

sizes: dict[str, dict[str, Any]] = {
    "vit_mini": {"patch": 4, "width": 192, "depth": 6, "heads": 3, "input_size": 32},
    "vit_ti16": {"patch": 16, "width": 192, "depth": 12, "heads": 3, "input_size": 224},
    "vit_s16": {"patch": 16, "width": 384, "depth": 12, "heads": 6, "input_size": 224},
    "vit_b16": {"patch": 16, "width": 768, "depth": 12, "heads": 12, "input_size": 224},
    "vit_b32": {"patch": 32, "width": 768, "depth": 12, "heads": 12, "input_size": 224},
    "vit_l16": {"patch": 16, "width": 1024, "depth": 24, "heads": 16, "input_size": 224},
}
classes = {name: 10 if name == "vit_mini" else 1000 for name in sizes}
input_size = {name: settings["input_size"] for name, settings in sizes.items()}
year = 2020
paper = {
    name: f"https://arxiv.org/abs/{'2012.12877' if name in ('vit_ti16', 'vit_s16') else '2010.11929'}" for name in sizes
}


def build(
    *,
    size: str = "vit_mini",
    classes: int = 10,
    channels: int = 3,
    patch: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    input_size: int | None = None,
    dropout: float = 0.0,
    activation: str = "gelu",
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A vision transformer; what is None is as the size has it.

    `patch` is the side of a patch in pixels, `width` the numbers of a token, `depth` the number of blocks, each with
    `heads` heads of attention. `init` None draws the linear layers from N(0, 0.02).
    """
    chosen = _parts.chosen(sizes[size], patch=patch, width=width, depth=depth, heads=heads, input_size=input_size)
    if chosen["width"] % chosen["heads"]:
        raise ValueError(
            f"{chosen['heads']} heads share the width evenly: it must be a multiple, not {chosen['width']}"
        )
    network = ViT(
        patch=chosen["patch"],
        width=chosen["width"],
        depth=chosen["depth"],
        heads=chosen["heads"],
        grid=-(-chosen["input_size"] // chosen["patch"]),
        dropout=dropout,
        activation=activation,
        channels=channels,
        classes=classes,
    )
    if init is not None:
        _parts.begin(network, init)
        return network
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return network


class ViT(nn.Module):
    """Patches become tokens, blocks let them look at each other, and the head reads the class token."""

    def __init__(
        self,
        *,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        grid: int,
        dropout: float,
        activation: str,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + grid * grid, width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.cut = nn.Conv2d(channels, width, patch, stride=patch)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            OrderedDict(
                (f"block{number}", Block(width, heads, dropout=dropout, activation=activation))
                for number in range(1, depth + 1)
            )
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        below, right = -image.shape[2] % self.patch, -image.shape[3] % self.patch
        if below or right:
            image = functional.pad(image, (0, right, 0, below))
        patches = self.cut(image)  # batch, width, height/patch, width/patch
        tokens = patches.flatten(2).transpose(1, 2)  # batch, patches, width
        first = self.class_token.expand(tokens.shape[0], -1, -1)  # `len` would fix the batch in an export
        tokens = torch.cat([first, tokens], 1) + self._positions(patches)  # batch, 1 + patches, width
        tokens = self.norm(self.blocks(self.drop(tokens)))
        return self.head(tokens[:, 0])

    def _positions(self, patches: Float[Tensor, "batch numbers height width"]) -> Float[Tensor, "1 tokens numbers"]:
        height, width = patches.shape[2:]
        if (height, width) == (self.grid, self.grid):
            return self.positions
        of_class, of_patches = self.positions[:, :1], self.positions[:, 1:]
        square = of_patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        fitted = functional.interpolate(square, (height, width), mode="bicubic", antialias=True)
        return torch.cat([of_class, fitted.flatten(2).transpose(1, 2)], 1)


class Block(nn.Module):
    """The tokens look at each other, then each thinks for itself; both add to what was there."""

    def __init__(self, width: int, heads: int, *, dropout: float, activation: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.drop1 = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.linear1 = nn.Linear(width, 4 * width)
        self.act = _parts.activate(activation)
        self.linear2 = nn.Linear(4 * width, width)
        self.drop2 = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        tokens = tokens + self.drop1(self.attention(self.norm1(tokens)))
        return tokens + self.drop2(self.linear2(self.act(self.linear1(self.norm2(tokens)))))


class Attention(nn.Module):
    """softmax(queries keys^T / sqrt(width/heads)) values, in each head by itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        batch, count, width = tokens.shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)  # each batch, heads, tokens, width/heads
        seen = functional.scaled_dot_product_attention(queries, keys, values)
        return self.join(seen.transpose(1, 2).reshape(batch, count, width))
