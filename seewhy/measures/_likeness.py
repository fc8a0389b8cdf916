"""How alike two maps are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rank_correlation(
    first: Float[Tensor, "maps batch height width"], second: Float[Tensor, "maps batch height width"]
) -> Float[Tensor, "maps batch"]:
    """Spearman's over pixels, ties by mean rank, -1 to 1; NaN where a map is even."""
    a, b = _ranked(first.flatten(2)), _ranked(second.flatten(2))
    return correlation(a, b)


def correlation(a: Float[Tensor, "maps batch values"], b: Float[Tensor, "maps batch values"]) -> Float[Tensor, ...]:
    """Pearson's over the last axis; NaN where one of the two does not vary."""
    a, b = (x.double() - x.double().mean(-1, keepdim=True) for x in (a, b))
    spread = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(spread > 0, (a * b).sum(-1) / spread, torch.nan).float()


def _ranked(values: Float[Tensor, "maps batch pixels"]) -> Float[Tensor, "maps batch pixels"]:
    values = values.contiguous()
    in_order = values.sort(-1).values
    first, last = (torch.searchsorted(in_order, values, right=right) for right in (False, True))
    return (first + last - 1).double() / 2
