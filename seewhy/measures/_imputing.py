"""Pixels put back from their neighbours, so that what was taken away leaves no edge to be seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def imputed(
    image: Float[Tensor, "batch channels height width"],
    hidden: Bool[Tensor, "batch height width"],
    *,
    noise: float = 0.01,
    iterations: int = 200,
) -> Float[Tensor, "batch channels height width"]:
    """Each hidden pixel the mean of its eight neighbours, the straight ones twice as heavy; then a little noise.

    One linear system an image (Rong et al. 2022, https://arxiv.org/abs/2202.00449, section 4), here its symmetric form,
    solved by conjugate gradients without ever building the matrix. Where all is hidden: the image's mean.
    """
    channels = image.shape[1]
    weights = image.new_tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]).expand(channels, 1, 3, 3) / 12
    free = hidden[:, None].to(image.dtype)

    def around(values: Tensor) -> Tensor:
        return functional.conv2d(values, weights, padding=1, groups=channels)

    degree = around(torch.ones_like(image))  # less at the edge of the image

    def apply(values: Tensor) -> Tensor:
        return free * (degree * values - around(values))

    x = free * image.mean((2, 3), keepdim=True)
    residual = free * around(image * (1 - free)) - apply(x)
    residual = residual * (1 - free.amin((2, 3), keepdim=True))  # all hidden: nothing to go by
    direction, size = residual, residual.square().sum((2, 3), keepdim=True)
    for _ in range(iterations):
        if float(size.max()) < 1e-8:
            break
        onward = apply(direction)
        step = size / (direction * onward).sum((2, 3), keepdim=True).clamp(min=1e-30)
        x, residual = x + step * direction, residual - step * onward
        before, size = size, residual.square().sum((2, 3), keepdim=True)
        direction = residual + size / before.clamp(min=1e-30) * direction
    drawn = torch.randn(image.shape[1:], generator=torch.Generator().manual_seed(0)).to(image)
    return torch.where(hidden[:, None], x + noise * drawn, image)
