"""Fields of random numbers by example: pure functions of the seed and the id, on the images' device."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy import chance
from seewhy.types import Batch

#: How many numbers are drawn at once.
AT_ONCE = 16384


def uniform(batch: Batch, shape: tuple[int, ...], *, seed: int, stream: str) -> Float[Tensor, "batch ..."]:
    """Numbers in [0, 1), so many an example; `stream` keeps different uses apart."""
    keys = chance.keys(batch.ids).to(batch.inputs["image"].device)
    draws = torch.Size(shape).numel()
    # So few examples at a time that their numbers fit into a processor's cache, which halves the time.
    some = keys.split(max(1, AT_ONCE // max(1, draws)))
    each = [chance.uniform(part, seed=seed, stream=stream, draws=draws) for part in some]
    return torch.cat(each).reshape(len(batch), *shape)


def gaussian(batch: Batch, shape: tuple[int, ...], *, seed: int, stream: str) -> Float[Tensor, "batch ..."]:
    """Standard normal numbers, by inverting the distribution: sqrt(2) erfinv(2 u - 1)."""
    drawn = uniform(batch, shape, seed=seed, stream=stream).clamp_(min=2.0**-25)  # 0 would be minus infinity
    return drawn.mul_(2).sub_(1).erfinv_().mul_(2**0.5)


def smooth(
    batch: Batch, size: tuple[int, int], sigma: float, *, seed: int, stream: str
) -> Float[Tensor, "batch 2 height width"]:
    """Two fields of uniform numbers in -1 to 1 under a Gaussian filter of `sigma` pixels, which runs on from the other
    side at the edge: like everywhere, in the middle and at the border."""
    field = uniform(batch, (2, *size), seed=seed, stream=stream) * 2 - 1
    down = torch.fft.fftfreq(size[0], device=field.device)[:, None]  # cycles a pixel
    across = torch.fft.rfftfreq(size[1], device=field.device)[None]
    keeps = torch.exp(-2 * (torch.pi * sigma) ** 2 * (down.square() + across.square()))
    return torch.fft.irfft2(torch.fft.rfft2(field) * keeps, s=size)


def plasma(
    batch: Batch, size: tuple[int, int], decay: float, *, seed: int, stream: str
) -> Float[Tensor, "batch 1 height width"]:
    """Clouds from 0 to 1: random grids of 2, 4, 8, ... points a side, drawn smooth and added, each by decay^2 fainter.

    The published one displaces midpoints (Fournier, Fussell and Carpenter 1982), which gives the same octaves.
    """
    sides = [2**level for level in range(1, max(max(size) - 1, 2).bit_length() + 1)]
    total = torch.zeros(len(batch), 1, *size, device=batch.inputs["image"].device)
    for level, side in enumerate(sides):
        grid = uniform(batch, (1, side, side), seed=seed, stream=f"{stream} {side}") * 2 - 1
        total += decay ** (-2.0 * level) * functional.interpolate(grid, size, mode="bilinear", align_corners=True)
    least, most = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - least) / (most - least).clamp(min=1e-6)
