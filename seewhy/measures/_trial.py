"""What a measure works with: maps of several methods for one batch, and the network that they speak of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seewhy import hooks, passes
from seewhy.passes.heating import Methods
from seewhy.passes.masks import MaskScores, MaskTable
from seewhy.passes.run import Run
from seewhy.types import Batch, Question


class Trial:
    """Maps by method and example, and the means to ask the network, or the explainers, again.

    `heat` is signed as the methods gave it, maps x batch x height x width, on the device of the batch.
    """

    def __init__(
        self,
        network: nn.Module,
        batch: Batch,
        question: Question,
        methods: Methods,
        heat: Mapping[str, Float[Tensor, "batch height width"]] | None = None,
        *,
        rival: Question | None = None,
        chunk: int | None = None,
    ) -> None:
        if not methods:
            raise ValueError("There are no maps to measure: name at least one method")
        self.network, self.batch, self.question, self.rival = network, batch, question, rival
        self.methods, self.chunk = dict(methods), chunk
        self.run = Run(network, question, batch, chunk=chunk)
        given = heat or {}
        missing = {name: method for name, method in self.methods.items() if name not in given}
        made = passes.explain(network, batch, question, missing, chunk=chunk).heat if missing else {}
        self.heat = torch.stack([{**made, **given}[name].float() for name in self.methods])

    @property
    def image(self) -> Float[Tensor, "batch channels height width"]:
        """What the maps lie over."""
        return self.run.image("image")

    @contextmanager
    def looking(self) -> Iterator[None]:
        """The network frozen, and no graph recorded."""
        with hooks.frozen(self.network), torch.inference_mode(False), torch.no_grad():
            yield

    def again(
        self, *, batch: Batch | None = None, question: Question | None = None, network: nn.Module | None = None
    ) -> Float[Tensor, "maps batch height width"]:
        """The maps that the same methods make of something else: another batch, another question, another network."""
        asked = batch or self.batch, question or self.question
        heat = passes.explain(network or self.network, *asked, self.methods, chunk=self.chunk).heat
        return torch.stack([heat[name].float() for name in self.methods])

    def copied(self) -> nn.Module:
        """A copy of the network, to be spoiled."""
        return copy.deepcopy(self.network)

    def scores(
        self,
        copies: int,
        covered: Callable[[int], Bool[Tensor, "batch height width"]],
        filling: Float[Tensor, "batch channels _ _"],
    ) -> Float[Tensor, "copies batch"]:
        """The score where, of copy i, the pixels that `covered(i)` names show the filling; in few, large runs."""
        image, found = self.image, []
        filling = filling.expand_as(image)
        for some in self.run.chunks(copies):
            hidden = torch.stack([covered(place) for place in range(some.start, some.stop)])
            images = torch.where(hidden[:, :, None], filling, image)  # copies, batch, channels, height, width
            found.append(self.run.scores(self.run.repeated(len(images), {"image": images.flatten(0, 1)}), len(images)))
        return torch.cat(found)

    def table(self, need: MaskScores) -> MaskTable:
        """The score under masks; run once for all measures that read the same ones."""
        return self.run.once(_last, need)

    def ranks(self) -> Float[Tensor, "maps batch height width"]:
        """The place of each pixel, 0 the hottest to just below 1 the coldest; equal ones in a random order."""
        pixels = self.heat.flatten(2)
        shuffled = torch.randperm(pixels.shape[2], generator=torch.Generator().manual_seed(0)).to(pixels.device)
        order = shuffled[pixels[:, :, shuffled].argsort(dim=2, descending=True, stable=True)]
        place = torch.arange(pixels.shape[2], device=pixels.device) / pixels.shape[2]
        return torch.empty_like(pixels).scatter_(2, order, place.expand_as(pixels)).view_as(self.heat)


def _last(run: Run, need: MaskScores) -> MaskTable:
    for table in need.gather(run):
        found = table
    return found
