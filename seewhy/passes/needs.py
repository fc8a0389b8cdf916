"""What an explainer may need, what it costs, and what it is handed: the nouns of gathering."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from seewhy.passes.run import Run


@dataclass(frozen=True, slots=True)
class Passes:
    """Runs of the whole network an example."""

    forwards: float = 0.0
    backwards: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.forwards + self.backwards

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)


class Unsuitable(ValueError):
    """This network, or this score, has nothing that the explainer could look at; the message says what is missing."""


class Need(ABC):
    """One kind of evidence with its settings: a frozen dataclass in a file of its own, equal where it asks the same.

    `together` names the needs that come from the same passes, so that their costs are not added up. `traced` says
    whether any of the layers, or how much memory a run takes, is asked for: then the first pass follows them. `scored`
    says whether anybody asks for the score of the unchanged inputs, which is a run where no other pass gives it.
    """

    __slots__ = ()
    together: ClassVar[str] = ""
    traced: ClassVar[bool] = True
    scored: ClassVar[bool] = True

    @abstractmethod
    def passes(self, run: Run) -> Passes:
        """What gathering costs at most, beyond the one forward pass that gives the score of the unchanged inputs."""

    @abstractmethod
    def gather(self, run: Run) -> Iterator[Any]:
        """Better and better evidence; the last is whole. Raises Unsuitable where there can be none."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was gathered, by need; the score of the unchanged inputs, None where nobody needs it; and what it cost.

    `absent` says why a need has no evidence: the network is unsuitable, or the budget was spent. `partial` names those
    that the budget cut short: their evidence is good, but could be better. `costs` is what each need costs at most.
    """

    gathered: Mapping[Need, Any]
    baseline: Float[Tensor, " batch"] | None
    spent: Passes
    absent: Mapping[Need, str] = field(default_factory=dict)
    partial: frozenset[Need] = frozenset()
    costs: Mapping[Need, Passes] = field(default_factory=dict)

    def __getitem__(self, need: Need) -> Any:
        if need in self.absent:
            raise Unsuitable(self.absent[need])
        if need not in self.gathered:
            raise KeyError(f"{need} was not asked for in `needs`; there are: {', '.join(map(str, self.gathered))}")
        return self.gathered[need]

    def alone(self, needs: Iterable[Need]) -> Passes:
        """What some of the needs would have cost by themselves, at most."""
        return whole_cost({need: self.costs[need] for need in needs if need in self.costs})

    @property
    def forwards(self) -> float:
        """Forward runs of the whole network an example."""
        return self.spent.forwards

    @property
    def backwards(self) -> float:
        """Backward runs of the whole network an example."""
        return self.spent.backwards


def whole_cost(costs: Mapping[Need, Passes]) -> Passes:
    """What needs cost together: those from the same passes as much as the dearest; and the run for the baseline."""
    total, shared = Passes(1, 0), dict[str, Passes]()
    for need, cost in costs.items():
        if need.together:
            known = shared.get(need.together, Passes())
            shared[need.together] = Passes(max(known.forwards, cost.forwards), max(known.backwards, cost.backwards))
        else:
            total += cost
    return sum(shared.values(), total)
