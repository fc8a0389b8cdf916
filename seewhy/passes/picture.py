"""The image itself, for what looks at it without asking the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Run


@dataclass(frozen=True, slots=True)
class Picture(Need):
    """One of the inputs as it is; gives a tensor (batch, channels, height, width)."""

    into: str = "image"
    traced = False

    def passes(self, run: Run) -> Passes:
        """None."""
        return Passes()

    def gather(self, run: Run) -> Iterator[Float[Tensor, "batch channels height width"]]:
        """At once."""
        yield run.image(self.into)
