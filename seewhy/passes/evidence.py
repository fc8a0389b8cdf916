"""What an explainer is handed, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seewhy.passes.budget import Passes
from seewhy.passes.run import Need, Unsuitable


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
