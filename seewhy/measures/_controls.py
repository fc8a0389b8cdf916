"""Maps that never asked the network: a method must beat them before its map says anything of the network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from seewhy.passes import Evidence, Need
from seewhy.passes.picture import Picture
from seewhy.types import Question


def _needs(**settings: Any) -> tuple[Need, ...]:
    return (Picture(),)


def _edges(evidence: Evidence, question: Question) -> Float[Tensor, "batch height width"]:
    """Sobel's filter on the grey image: what Adebayo et al. 2018 found many maps to be."""
    grey = evidence[Picture()].mean(1, keepdim=True)
    across = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    return functional.conv2d(functional.pad(grey, (1,) * 4, mode="replicate"), kernels).square().sum(1).sqrt()


def _centre(evidence: Evidence, question: Question) -> Float[Tensor, "batch height width"]:
    """A Gaussian in the middle, a quarter of the image wide: where photographers put things."""
    image = evidence[Picture()]
    down, across = (torch.linspace(-2, 2, side, device=image.device) for side in image.shape[2:])
    return (-(down[:, None] ** 2 + across**2) / 2).exp().expand(len(image), -1, -1)


def _random(evidence: Evidence, question: Question) -> Float[Tensor, "batch height width"]:
    """Noise, the same for every image."""
    image = evidence[Picture()]
    noise = torch.rand(image.shape[2:], generator=torch.Generator().manual_seed(0))
    return noise.to(image.device).expand(len(image), -1, -1)


#: By name, as explainers with no settings: fit to stand among methods.
CONTROLS: dict[str, tuple[Any, dict[str, Any]]] = {
    f"control: {name}": (SimpleNamespace(needs=_needs, heat=heat), {})
    for name, heat in (("edges", _edges), ("centre", _centre), ("random", _random))
}
