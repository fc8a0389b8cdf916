"""Images under a kernel: a disc, or a line in a direction of its own for each example."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.passes.fillings import blurred


def convolved(
    image: Float[Tensor, "batch channels height width"], kernel: Float[Tensor, "kernels side side"]
) -> Float[Tensor, "batch channels height width"]:
    """Each image under its kernel, or all under one; sides are odd. Beyond the edge the image goes on as it ends.

    By Fourier transform: a kernel of 41 x 41 pixels costs what one of 3 x 3 does.
    """
    height, width = image.shape[2:]
    side = kernel.shape[-1]
    padded = functional.pad(image, (side // 2,) * 4, mode="replicate")
    size = list(padded.shape[2:])
    product = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=size)[:, None]
    return torch.fft.irfft2(product, s=size)[:, :, side - 1 : side - 1 + height, side - 1 : side - 1 + width]


def disc(radius: float, soft: float, *, like: Tensor) -> Float[Tensor, "1 side side"]:
    """All pixels within the radius alike, the edge softened by a Gaussian of `soft` pixels."""
    reach = math.floor(radius) + max(1, math.ceil(2 * soft))
    offset = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    inside = (offset[:, None].square() + offset.square() <= radius**2).to(like.dtype)
    edge = blurred(inside[None, None], sigma=soft)[0]
    return edge / edge.sum()


def line(radius: float, sigma: float, angle: Float[Tensor, " batch"]) -> Float[Tensor, "batch side side"]:
    """A streak that begins in the middle and fades as a Gaussian of `sigma`, 2 x `radius` pixels long at most.

    `angle` in radians, from right to down; a point between pixels is shared among its four neighbours.
    """
    reach = max(1, math.ceil(min(2 * radius, 4 * sigma)))
    step = torch.arange(reach + 1, device=angle.device, dtype=angle.dtype)
    weight = (-(step**2) / (2 * sigma**2)).softmax(0)
    place = torch.stack([angle.sin(), angle.cos()], 1)[:, :, None] * step + reach  # batch, (down, across), steps
    first, side = place.floor(), 2 * reach + 2
    kernel = angle.new_zeros(len(angle), side * side)
    for down in (0, 1):
        for across in (0, 1):
            corner = first + first.new_tensor([down, across])[:, None]
            share = (1 - (place - corner).abs()).clamp(min=0).prod(1)  # batch, steps
            kernel.scatter_add_(1, (corner[:, 0] * side + corner[:, 1]).long(), share * weight)
    return kernel.view(-1, side, side)[:, :-1, :-1]  # nothing reaches the last row and column


def coarse(
    image: Float[Tensor, "batch channels height width"], waves: float
) -> Float[Tensor, "batch channels height width"]:
    """Under a Gaussian that halves what has so many waves across the image: exp(-2 (pi sigma waves / side)^2) = 1/2."""
    sigma = min(image.shape[2:]) / waves * math.sqrt(math.log(2) / 2) / math.pi
    reach = math.ceil(3 * sigma)
    offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = (-(offset**2) / (2 * sigma**2)).softmax(0)
    return convolved(image, (kernel[:, None] * kernel)[None])
