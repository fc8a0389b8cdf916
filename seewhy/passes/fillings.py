"""What stands where the image is taken away: the colours that cover, and the image from which a path begins."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from seewhy.shelf import nearest

#: Black is 0; "mean" the image's own mean colour; "blur" the image without detail.
FILLINGS = ("mean", "black", "blur")


def filled(
    image: Float[Tensor, "batch channels height width"], fill: str, *, detail: float
) -> Float[Tensor, "batch channels _ _"]:
    """An image with nothing to see; for "blur" nothing finer than `detail` pixels. Raises ValueError for others."""
    if fill == "black":
        return torch.zeros_like(image)
    if fill == "mean":
        return image.mean((2, 3), keepdim=True)
    if fill == "blur":
        return blurred(image, sigma=detail / 2)
    raise ValueError(f"No filling {fill!r}. {nearest(fill, FILLINGS)}There are: {', '.join(FILLINGS)}.")


def blurred(
    image: Float[Tensor, "batch channels height width"], *, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """A Gaussian blur of `sigma` pixels; beyond the edge the image goes on as it ends."""
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = (-(offset**2) / (2 * sigma**2)).softmax(0)
    channels = image.shape[1]
    padded = functional.pad(image, (radius,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(across, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)


#: What may stand under a mask: besides the fillings, which do not know it, the surroundings drawn into the hole.
COVERS = (*FILLINGS, "inpaint")


class Covering:
    """Images of which parts are taken away, and what then stands there. Raises ValueError for no such filling."""

    def __init__(self, image: Float[Tensor, "batch channels height width"], fill: str, *, detail: float) -> None:
        if fill not in COVERS:
            raise ValueError(f"No filling {fill!r}. {nearest(fill, COVERS)}There are: {', '.join(COVERS)}.")
        self.image, self.inpaints = image, fill == "inpaint"
        self.filling = image if self.inpaints else filled(image, fill, detail=detail).expand_as(image)

    def cover(
        self, covered: Float[Tensor, "masks alike height width"]
    ) -> Float[Tensor, "masks batch channels height width"]:
        """The images with so much of each pixel covered, 0 to 1."""
        covered = covered[:, :, None].expand(-1, len(self.image), *self.image.shape[1:])
        image = self.image.expand_as(covered)
        if not self.inpaints:
            return torch.lerp(image, self.filling, covered)
        visible = 1 - covered[:, :, :1].flatten(0, 1)
        filling = inpainted(image.flatten(0, 1), visible).unflatten(0, covered.shape[:2])
        return torch.lerp(image, filling, covered)


def inpainted(
    image: Float[Tensor, "batch channels height width"], visible: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Each pixel as the visible ones around it say, at the finest scale that has any; 0 where nothing is visible.

    Means of visible pixels are taken over squares of 2, 4, 8, ... pixels, and each scale fills the holes of the finer
    one: the "pull, push" of Gortler and others 1996, https://doi.org/10.1145/237170.237200, section 3.6.
    """
    colour, weight, levels = image, visible, [(image, visible)]
    while max(weight.shape[2:]) > 1:
        total = 4 * functional.avg_pool2d(weight, 2, ceil_mode=True)
        colour = 4 * functional.avg_pool2d(colour * weight, 2, ceil_mode=True) / total.clamp(min=1e-12)
        weight = total.clamp(max=1)
        levels.append((colour, weight))
    filling = torch.zeros_like(colour)
    for colour, weight in reversed(levels):
        coarser = functional.interpolate(filling, size=weight.shape[2:], mode="bilinear", align_corners=False)
        filling = torch.lerp(coarser, colour, weight)
    return filling


#: The sum of squared residuals below which a channel of an image counts as solved.
SOLVED = 1e-8


def imputed(
    image: Float[Tensor, "batch channels height width"],
    hidden: Bool[Tensor, "batch height width"],
    *,
    noise: float = 0.01,
    iterations: int = 200,
) -> Float[Tensor, "batch channels height width"]:
    """Each hidden pixel the mean of its eight neighbours, the straight ones twice as heavy; then a little noise.

    So that what was taken away leaves no edge to be seen. One linear system an image (Rong et al. 2022,
    https://arxiv.org/abs/2202.00449, section 4), here its symmetric form, solved by conjugate gradients without ever
    building the matrix, beginning with what `inpainted` says. Where all is hidden: the image's mean.
    """
    channels = image.shape[1]
    weights = image.new_tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]).expand(channels, 1, 3, 3) / 12
    free = hidden[:, None].to(image.dtype)

    def around(values: Tensor) -> Tensor:
        return functional.conv2d(values, weights, padding=1, groups=channels)

    degree = around(torch.ones_like(image))  # less at the edge of the image

    def apply(values: Tensor) -> Tensor:
        return free * (degree * values - around(values))

    nothing = free.amin((2, 3), keepdim=True)  # 1 where all is hidden: nothing to go by
    start = torch.lerp(inpainted(image * (1 - free), 1 - free), image.mean((2, 3), keepdim=True), nothing)
    x = free * start
    residual = (1 - nothing) * (free * around(image * (1 - free)) - apply(x))
    direction, size = residual, residual.square().sum((2, 3), keepdim=True)
    for _ in range(iterations):
        going = size > SOLVED  # each image stops by itself, whatever else is in the batch
        if not going.any():
            break
        onward = apply(direction)
        step = going * size / (direction * onward).sum((2, 3), keepdim=True).clamp(min=1e-30)
        x, residual = x + step * direction, residual - step * onward
        before, size = size, residual.square().sum((2, 3), keepdim=True)
        direction = residual + size / before.clamp(min=1e-30) * direction
    if noise:
        x = x + noise * torch.randn(image.shape[1:], generator=torch.Generator().manual_seed(0)).to(image)
    return torch.where(hidden[:, None], x, image)
