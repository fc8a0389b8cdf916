"""A network around its body: images in [0, 1] come in, are normalised, seen in several ways, and classes merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.model.views import Views, mean_over_views


class Normalised(nn.Module):
    """A network for RGB images in [0, 1]: (image - mean) / std a channel, then the body in each of the views, then the
    merge if any."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        merge: nn.Module | None = None,
        views: Views = "none",
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None], persistent=False)
        self.body = body
        self.merge = merge
        self.views = views

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Any:
        x = (image - self.mean) / self.std
        output = self.body(x) if self.views == "none" else mean_over_views(self.body, x, self.views)
        return output if self.merge is None else self.merge(output)


class Merge(nn.Module):
    """Logits of new classes from those of the old ones that each stands for.

    logit(new) = log sum exp(logit(old)): softmax then gives a new class the summed probability of its old ones, as a
    share of what all new classes together have.
    """

    index: Tensor
    empty: Tensor

    def __init__(self, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        longest = max(map(len, groups))
        padded = [[*group, *[0] * (longest - len(group))] for group in groups]
        empty = [[place >= len(group) for place in range(longest)] for group in groups]
        self.register_buffer("index", torch.tensor(padded), persistent=False)
        self.register_buffer("empty", torch.tensor(empty), persistent=False)

    def forward(self, logits: Float[Tensor, "batch outputs"]) -> Float[Tensor, "batch classes"]:
        gathered = logits[:, self.index]  # batch, classes, longest
        return gathered.masked_fill(self.empty, -torch.inf).logsumexp(2)
