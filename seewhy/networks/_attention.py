"""What if a network could say which channels, and which places, matter in this image?

    se         x * sigmoid(linear(relu(linear(mean over the places of x))))
    cbam       the same by mean and by maximum, then x * sigmoid(norm(conv7x7([mean, maximum over the channels])))
    nonlocal   x + norm(conv1x1(softmax(queries of x, keys of x) values of x)), each place with every other

Squeeze-excitation: Hu, Shen, Albanie, Sun and Wu 2017, https://arxiv.org/abs/1709.01507. CBAM: Woo, Park, Lee and Kweon
2018, https://arxiv.org/abs/1807.06521. Non-local: Wang, Girshick, Gupta and He 2018, https://arxiv.org/abs/1711.07971.

Families take them as the setting `attention`. The first two scale: in a residual block what it adds (`refine`),
elsewhere what a module or a stage puts out (`behind`). The third adds, and its cost grows with the square of the
places, so it stands where the maps are of middle size, behind every second block (`relate`): 5 times in a ResNet-50, as
in its paper.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.networks import _parts
from seewhy.shelf import nearest

Kind = Literal["none", "se", "cbam", "nonlocal"]
KINDS: tuple[Kind, ...] = ("none", "se", "cbam", "nonlocal")

#: Year and paper, by how the names of the sizes begin.
PUBLISHED = {
    "se": (2017, "https://arxiv.org/abs/1709.01507"),
    "cbam": (2018, "https://arxiv.org/abs/1807.06521"),
    "nonlocal": (2018, "https://arxiv.org/abs/1711.07971"),
}

#: By how much the hidden layer of squeeze-excitation and CBAM is narrower than the map has channels, as in both papers.
REDUCTION = 16


def refine(kind: str, channels: int) -> nn.Module:
    """What scales the output of a residual block's last convolution before it is added; nothing for "nonlocal"."""
    _check(kind)
    if kind == "se":
        return SqueezeExcitation(channels)
    return CBAM(channels) if kind == "cbam" else nn.Identity()


def relate(kind: str, channels: int, number: int, *, norm: str) -> dict[str, nn.Module]:
    """A layer `nonlocal2` behind block 2 of a stage; for the other kinds none."""
    return {f"nonlocal{number}": NonLocal(channels, norm=norm)} if kind == "nonlocal" else {}


def behind(kind: str, channels: int, *, norm: str, middle: bool) -> dict[str, nn.Module]:
    """A layer `attention` behind a module that is no residual block; "nonlocal" only if its map is of `middle` size."""
    _check(kind)
    if kind == "nonlocal":
        return {"attention": NonLocal(channels, norm=norm)} if middle else {}
    return {} if kind == "none" else {"attention": refine(kind, channels)}


class SqueezeExcitation(nn.Module):
    """Each channel times a number from 0 to 1, which all channels' means decide together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = _narrow(channels)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        scale = self.excite(functional.relu(self.squeeze(x.mean((2, 3)))))  # batch, channels
        return x * scale.sigmoid()[:, :, None, None]


class CBAM(nn.Module):
    """Each channel, then each place, times a number from 0 to 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = _narrow(channels)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        told = [self.excite(functional.relu(self.squeeze(pooled))) for pooled in (x.mean((2, 3)), x.amax((2, 3)))]
        x = x * (told[0] + told[1]).sigmoid()[:, :, None, None]
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)  # batch, 2, height, width
        return x * self.norm(self.conv(seen)).sigmoid()


class NonLocal(nn.Module):
    """To each place is added what it finds at all others; of these every second pixel a side, the largest of four.

    The scale of the norm begins at 0, so that the block begins as the identity.
    """

    def __init__(self, channels: int, *, norm: str) -> None:
        super().__init__()
        if norm == "none":
            raise ValueError("attention='nonlocal' begins as the identity by the scale of a norm; norm='none' has none")
        inner = max(1, channels // 2)
        self.queries = nn.Conv2d(channels, inner, 1)
        self.keys = nn.Conv2d(channels, inner, 1)
        self.values = nn.Conv2d(channels, inner, 1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.join = nn.Conv2d(inner, channels, 1)
        self.norm = _parts.normalise(norm, channels)
        nn.init.zeros_(self.norm.get_parameter("weight"))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        queries, keys, values = (
            part.flatten(2).transpose(1, 2)  # batch, places, inner
            for part in (self.queries(x), self.pool(self.keys(x)), self.pool(self.values(x)))
        )
        found = functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        return x + self.norm(self.join(found.transpose(1, 2).unflatten(2, x.shape[2:])))


def _narrow(channels: int) -> tuple[nn.Linear, nn.Linear]:
    hidden = max(1, channels // REDUCTION)
    return nn.Linear(channels, hidden), nn.Linear(hidden, channels)


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"No attention {kind!r}. {nearest(kind, KINDS)}There are: {', '.join(KINDS)}")
